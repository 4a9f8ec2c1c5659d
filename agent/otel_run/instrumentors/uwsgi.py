"""uWSGI: the applications that its options name, in the modules that it imports.

The server is C and looks a callable up by its name, just after it has imported the module. An object with a `__call__`
of its own is observed in its class; for a function another stands in its place, until the first request.

A file (--wsgi-file) is executed without an import, and nothing tells of its end. A framework's application in it has
the framework's span; a bare one has none.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from otel_run import report
from otel_run.instrumentors import wsgi
from otel_run.instrumentors.http_application import ServerInstrumentor
from otel_run.patching import on_import
from otel_run.patching.wrap import Around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Contained, Patch

_UNIT = "instrumentor uwsgi"
_FILE = (".py", ".wsgi")


class UwsgiInstrumentor(ServerInstrumentor):
    """Waits for the modules that hold an application; the server itself has nothing to be patched."""

    library = "uwsgi"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return none: what there is to patch comes with the modules."""
        import uwsgi

        finder = on_import.in_place()
        for name, attribute in applications(uwsgi.opt):
            if not attribute:
                why = f"{name} is executed without an import, so that only a framework's application in it is seen"
                report.note("uwsgi", "not traced", f"{why}. hint: --module")
            elif finder is not None:
                finder.wait_for(name, functools.partial(self._watch, tracer, name, attribute))
        return []

    def layer(self, tracer: Tracer) -> HttpServer:
        """Return the layer of this server, which sends the status that it was told, whatever follows."""
        server = super().layer(tracer)
        server.answers_instead = False
        server.answer_to_silence = None
        return server

    def _watch(self, tracer: Tracer, name: str, attribute: str) -> None:
        module = sys.modules[name]
        # "make()" is called for its result.
        found = getattr(module, attribute.removesuffix("()"), None)
        if found is None:
            return
        watch = wsgi.watching(self, tracer)
        if attribute.endswith("()"):
            _stand_in(module, attribute[:-2], found, lambda *args: watch(found(*args)))
        elif isinstance(getattr(type(found), "__call__", None), FunctionType):  # noqa: B004 - what it is, not whether
            patch = Around(_UNIT, type(found), "__call__", _around_calls_of(found, self.layer(tracer)))
            patch.apply()
            self._applied.append(patch)
        else:
            _stand_in(module, attribute, found, watch(found))


def _around_calls_of(found: Any, server: HttpServer) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    """Observe the server's calls of `found`: others of its class, and other calls of it, need not be requests."""
    around = wsgi.around_method(server)

    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        observed = around(original, contained)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            is_request = self is found and len(args) == 2 and not kwargs and isinstance(args[0], dict)
            return (observed if is_request else original)(self, *args, **kwargs)

        return call

    return make


def applications(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (module, attribute) for each application that uWSGI's options name, (file, "") for each in a file."""
    # Of an option that is given twice, uWSGI 2.0 tells the last; its documentation promises a list.
    texts = {name: [_text(value) for value in _all(given)] for name, given in options.items()}
    callables = texts.get("callable", [])
    attribute = callables[-1] if callables else "application"
    mounted = [value.partition("=")[2] for value in texts.get("mount", [])]
    # `project.wsgi` is a module for --module, and a file for --mount.
    files = [value for value in mounted if value.partition(":")[0].endswith(_FILE)]
    for value in (*texts.get("module", []), *texts.get("wsgi", []), *mounted):
        if value not in files:
            module, _, named = value.partition(":")
            yield module, named or attribute
    for value in (*texts.get("wsgi-file", []), *texts.get("file", []), *files):
        yield value, ""


def _all(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _stand_in(module: ModuleType, name: str, found: Any, instead: Callable[..., Any]) -> None:
    """Put a function that calls `instead` in the place of `found`, until it is called for the first time."""

    def call(*args: Any, **kwargs: Any) -> Any:
        # By then the server knows it, and others are to find what the module has made.
        if vars(module).get(name) is call:
            setattr(module, name, found)
        return (found if kwargs else instead)(*args, **kwargs)

    # A class's own attributes are no function's.
    updated = ("__dict__",) if isinstance(found, FunctionType) else ()
    setattr(module, name, functools.update_wrapper(call, found, updated=updated))

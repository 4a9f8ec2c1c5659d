"""gevent.subprocess: a Popen of gevent's own, which forks and executes in Python and so passes by `fork_exec`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run.boundary import contained
from otel_run.patching import on_import
from otel_run.patching.wrap import Around
from otel_run.tracing import carrier

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.wrap import Contained

_UNIT = "instrumentor subprocess"
_MODULE = "gevent.subprocess"


def patch_when_imported() -> None:
    """Patch it when the program imports it; gevent must be the first to import much of what it brings."""
    finder = on_import.in_place()
    if finder is not None:
        finder.wait_for(_MODULE, lambda: contained(_UNIT, _patch) or None)


def _patch() -> None:
    popen = getattr(sys.modules[_MODULE], "Popen", None)
    execute = getattr(popen, "_execute_child", None)
    names = getattr(getattr(execute, "__code__", None), "co_varnames", ())
    if "env" in names and not hasattr(execute, "__wrapped__"):
        Around(_UNIT, popen, "_execute_child", _telling_at(names.index("env"))).apply()


def _telling_at(place: int) -> Callable[[Callable[..., Any], Contained], Any]:
    """Return what replaces the environment, which is the argument at that place, `self` included."""

    def tell(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        change = carrier.change()
        if change is None or len(args) <= place:
            return None
        try:
            environment = change.in_mapping(args[place])
        except (AttributeError, TypeError, ValueError):
            return None  # the program's call fails as it does without us
        return None if environment is None else (*args[:place], environment, *args[place + 1 :])

    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        def _execute_child(*args: Any, **kwargs: Any) -> Any:
            return original(*(contained(tell, args) or args), **kwargs)

        return _execute_child

    return make

"""gunicorn: the application that a worker has loaded, in whichever of the two gateways' ways the worker calls it.

The worker's class decides, since the application does not tell: a class of somebody else's that is none of
gunicorn's own (uvicorn's, aiohttp's) knows what to do with what it loads, and is left alone.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from otel_run.instrumentors import asgi, wsgi
from otel_run.instrumentors.http_application import ServerInstrumentor, replace
from otel_run.patching.wrap import Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Finish

# Of the modules gunicorn.workers.*: sync, gthread, and what gevent's and eventlet's are made of.
_SPEAKING_WSGI = ("SyncWorker", "ThreadWorker", "AsyncWorker")
_UNIT = "instrumentor gunicorn"


class GunicornInstrumentor(ServerInstrumentor):
    """Patches what loads the application, which a worker does after its fork, with --preload too."""

    library = "gunicorn"
    # Those that are patched; each process has one instrumentor.
    _speaking_asgi: ClassVar[set[type]] = set()

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches of the class that all workers are made of."""
        from gunicorn.workers.base import Worker

        return [
            Patch(_UNIT, Worker, "load_wsgi", _watching_wsgi(wsgi.watching(self, tracer))),
            Patch(_UNIT, Worker, "__init__", functools.partial(self._begin_worker, tracer)),
        ]

    def layer(self, tracer: Tracer) -> HttpServer:
        """Return the layer of this server, which sends "HTTP/1.1 None" for an application that told no status."""
        server = super().layer(tracer)
        server.answer_to_silence = None
        return server

    def _begin_worker(self, tracer: Tracer, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        # Its module imports that of the base, and so isn't there yet when this instrumentor is applied.
        for cls in type(args[0]).__mro__:
            if cls.__name__ == "ASGIWorker" and _is_gunicorns(cls) and cls not in self._speaking_asgi:
                self._speaking_asgi.add(cls)
                patch = self.after(cls, "load_wsgi", "asgi", asgi.watching(self, tracer))
                patch.apply()
                self._applied.append(patch)

    def _uninstrument(self, **kwargs: Any) -> None:
        self._speaking_asgi.clear()
        super()._uninstrument(**kwargs)


def _watching_wsgi(watch: Callable[[Any], Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], Finish | None]:
    def begin(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        worker = args[0]
        if not _speaks_wsgi(type(worker)):
            return None

        def finish(_result: Any, error: BaseException | None) -> None:
            if error is None:
                replace(worker, "wsgi", watch)

        return finish

    return begin


def _speaks_wsgi(worker: type) -> bool:
    return any(cls.__name__ in _SPEAKING_WSGI and _is_gunicorns(cls) for cls in worker.__mro__)


def _is_gunicorns(cls: type) -> bool:
    return cls.__module__.startswith("gunicorn.")

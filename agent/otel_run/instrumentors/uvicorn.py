"""uvicorn: the application that its configuration has loaded.

A WSGI application is called in a thread, by a2wsgi or else by a bridge of uvicorn's own, which gives it no context.
Ours is carried there: what is inside, such as Flask, finds its request and makes no second span of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import asgi
from otel_run.instrumentors.http_application import ServerInstrumentor, carried
from otel_run.patching.wrap import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish


class UvicornInstrumentor(ServerInstrumentor):
    """Patches the loading: what comes out speaks ASGI 3, whatever went in."""

    library = "uvicorn"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches."""
        from uvicorn.config import Config
        from uvicorn.middleware import wsgi

        yield self.after(Config, "load", "loaded_app", asgi.watching(self, tracer))
        if hasattr(wsgi, "WSGIResponder"):
            yield Patch("instrumentor uvicorn", wsgi.WSGIResponder, "__init__", _begin_response)


def _begin_response(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish:
    def finish(_result: Any, error: BaseException | None) -> None:
        if error is None:
            # What the thread will run.
            args[0].wsgi = carried(args[0].wsgi)

    return finish

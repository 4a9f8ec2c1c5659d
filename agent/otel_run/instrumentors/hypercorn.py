"""hypercorn: the application, as its two wrappers call it for each request.

A WSGI application is called in a thread. asyncio's executors give it no context, so ours is carried there: what is
inside, such as Flask, finds its request and makes no second span of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import asgi, http_application
from otel_run.instrumentors.http_application import ServerInstrumentor, carried
from otel_run.patching.wrap import Around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Contained, Patch

    Make = Callable[[Callable[..., Any], Contained], Callable[..., Any]]


class HypercornInstrumentor(ServerInstrumentor):
    """Patches the calls: the same under asyncio, uvloop and trio."""

    library = "hypercorn"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches."""
        from hypercorn.app_wrappers import ASGIWrapper, WSGIWrapper

        unit, takes, make = "instrumentor hypercorn", "scope receive send sync_spawn", _around(self.layer(tracer))
        return [Around(unit, wrapper, "__call__", make, takes) for wrapper in (ASGIWrapper, WSGIWrapper)]


def _around(server: HttpServer) -> Make:
    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        observed = asgi.observed(server, http_application.call, contained)

        async def call(
            self: Any, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send, sync_spawn: Any, *rest: Any
        ) -> None:
            async def application(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
                await original(self, scope, receive, send, contained(_carrying, sync_spawn) or sync_spawn, *rest)

            await observed(application, scope, receive, send)

        return call

    return make


def _carrying(spawn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda function, *args: spawn(carried(function), *args)

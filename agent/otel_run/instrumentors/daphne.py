"""daphne: the application that its server was given, which it calls by the names of the arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import asgi, http_application

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Patch


class DaphneInstrumentor(http_application.ServerInstrumentor):
    """Patches the server; its module installs a reactor of Twisted's, so whoever imports it is not us."""

    library = "daphne"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patch."""
        from daphne.server import Server

        observed = asgi.observed(self.layer(tracer), _call, self.fuse().contained)
        return [self.after(Server, "__init__", "application", lambda found: _WatchedApplication(found, observed))]


class _WatchedApplication(http_application.WatchedApplication):
    """An ASGI application, whose arguments may have no places."""

    __slots__ = ()

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> Any:
        """Call it, with its request's span around."""
        return await self._observed(self.__wrapped__, scope, receive, send)


def _call(application: Any, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> Any:
    return application(scope=scope, receive=receive, send=send)

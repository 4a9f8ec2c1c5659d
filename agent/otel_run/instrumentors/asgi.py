"""ASGI 3: a request from the call of the application to the last message that it sends.

Every server and framework that speaks it is observed here, in one way. `lifespan` is left alone. A WebSocket is one
span, from its handshake to its end; the handshake is the GET of RFC 6455.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import http_application
from otel_run.instrumentors.asgi_arrival import AsgiArrival
from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_request import Request
    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Contained

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[Any]]


class Gateway:
    """Where requests come in by ASGI: one server's or framework's layer."""

    def __init__(self, server: HttpServer, contained: Contained) -> None:
        self._server = server
        self._contained = contained

    async def call(self, application: Application, scope: Scope, receive: Receive, send: Send) -> Any:
        """Call the application as the server would, with its request's span around it."""
        contained = self._contained
        request: Request | None = contained(self._begin, scope)
        if request is None:
            return await application(scope, receive, send)
        if request.is_recording or (self._server.tells_client and not request.is_excluded):
            watch = Watch(request, self._server, contained, receive, send)
            receive, send = watch.receive, watch.send
        token = enter(request.context)
        try:
            result = await application(scope, receive, send)
        except BaseException as error:
            _leave(request, token, error)
            contained(request.end, error)
            raise
        leave(token)
        contained(_returned, request)
        return result

    def _begin(self, scope: Scope) -> Request | None:
        return self._server.begin(AsgiArrival(scope)) if scope["type"] in ("http", "websocket") else None


def _returned(request: Request) -> None:
    # What servers answer for an application that has not.
    request.respond_if_silent(500)
    request.end()


def _leave(request: Request, token: Any, error: BaseException) -> None:
    # A coroutine that was abandoned ends wherever it is collected: that context is not ours to restore.
    if not isinstance(error, GeneratorExit) or now() is request.context:
        leave(token)


# Messages that end an answer, unless they say that there is more.
_LAST = frozenset((
    "http.response.body", "http.response.pathsend", "http.response.zerocopysend", "websocket.http.response.body",
))  # fmt: skip


class Watch:
    """The messages of one request, as they pass."""

    __slots__ = ("_contained", "_has_trailers", "_receive", "_request", "_send", "_server", "_tells_client")

    def __init__(
        self, request: Request, server: HttpServer, contained: Contained, receive: Receive, send: Send
    ) -> None:
        self._request = request
        self._server = server
        self._contained = contained
        self._receive = receive
        self._send = send
        self._has_trailers = False
        self._tells_client = server.tells_client and not request.is_excluded

    async def receive(self) -> dict[str, Any]:
        """Hand on what comes; the span ends with the client."""
        message = await self._receive()
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            self._contained(self._request.end)
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Hand on what the application sends; the span ends with the last of it."""
        # Read before it is sent: the message is the server's then, to change as it likes. Told after: it may refuse.
        tell = self._contained(self._read, message)
        if self._tells_client:
            message = self._contained(self._with_header, message) or message
        try:
            await self._send(message)
        except OSError:
            # How a server says that the client has gone (ASGI 2.4, "Disconnected Client").
            self._contained(self._request.end)
            raise
        if tell is not None:
            self._contained(tell)

    def _read(self, message: Any) -> Callable[[], None] | None:
        """Return what there is to tell when it has been sent."""
        if not isinstance(message, dict):
            return None
        kind, request = message.get("type"), self._request
        if kind in _LAST:
            return None if message.get("more_body") or self._has_trailers else request.end
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._has_trailers = bool(message.get("trailers"))
            status = message.get("status", 500)
            if status >= 500:
                # A page is sent while its exception is being handled.
                cause = sys.exc_info()[1]
                if cause is not None:
                    request.note(cause)
            return partial(request.respond, status, message.get("headers") or ())
        if kind == "websocket.accept":
            return partial(request.respond, 101, message.get("headers") or ())
        if kind == "websocket.close":
            return self._close
        return request.end if kind == "http.response.trailers" and not message.get("more_trailers") else None

    def _close(self) -> None:
        # Of a handshake that was not accepted.
        self._request.respond_if_silent(403)
        self._request.end()

    def _with_header(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if not isinstance(message, dict) or message.get("type") not in ("http.response.start", "websocket.accept"):
            return None
        more = [
            (name.lower().encode(), value.encode()) for name, value in self._server.headers_for_client(self._request)
        ]
        return {**message, "headers": [*(message.get("headers") or ()), *more]}


def around_method(
    server: HttpServer, is_left: Callable[[type], bool] | None = None
) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    """Return what makes of `__call__(self, scope, receive, send)` of a framework's class one with a span around.

    Subclasses for which `is_left` is true have a layer of their own.
    """

    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        gateway = Gateway(server, contained)

        async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> Any:
            if is_left is not None and contained(is_left, type(self)):
                return await original(self, scope, receive, send)
            return await gateway.call(original.__get__(self), scope, receive, send)

        return call

    return make


class WatchedApplication(http_application.WatchedApplication):
    """An ASGI application that a server was given."""

    __slots__ = ()

    # Servers and middleware look whether this is a coroutine function.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Call it, with its request's span around."""
        return await self._gateway.call(self.__wrapped__, scope, receive, send)


def watching(instrumentor: http_application.ServerInstrumentor, tracer: Tracer) -> Callable[[Any], WatchedApplication]:
    """Return what makes of an application that `instrumentor` has found in its server one that is watched."""
    gateway = Gateway(instrumentor.layer(tracer), instrumentor.fuse().contained)
    return lambda application: WatchedApplication(application, gateway)

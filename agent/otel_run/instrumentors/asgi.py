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

    from otel_run.instrumentors.http_request import Passing, Request
    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Contained

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[Any]]


def observed(
    server: HttpServer,
    original: Callable[..., Awaitable[Any]],
    contained: Contained,
    is_left: Callable[[type], bool] | None = None,
) -> Callable[..., Any]:
    """Return what calls `original(application, scope, receive, send)` with a request's span around it.

    It is one function, where several would be plainer: each coroutine more costs all requests, and each message that
    they wait for. Applications of classes for which `is_left` is true have a layer of their own.
    """
    tells_client = server.tells_client

    def begin(scope: Scope) -> Passing | None:
        return server.begin(AsgiArrival, scope) if scope["type"] in ("http", "websocket") else None

    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> Any:
        if is_left is not None and contained(is_left, type(self)):
            return await original(self, scope, receive, send)
        request: Any = contained(begin, scope)
        if request is None:
            return await original(self, scope, receive, send)
        is_recording = request.is_recording
        if tells_client and not request.is_excluded:
            send = _telling(request, server, contained, send)
        if is_recording:
            watch = Watch(request, contained, receive, send)
            receive, send = watch.receive, watch.send
        token = enter(request.context)
        try:
            result = await original(self, scope, receive, send)
        except BaseException as error:
            # A coroutine that was abandoned ends wherever it is collected: that context is not ours to restore.
            if not isinstance(error, GeneratorExit) or now() is request.context:
                leave(token)
            contained(request.end, error)
            raise
        leave(token)
        if is_recording:
            contained(_returned, request)
        return result

    return call


def _telling(request: Passing, server: HttpServer, contained: Contained, send: Send) -> Send:
    """Return a `send` that tells the client which trace its request became."""

    def with_headers(message: Any) -> dict[str, Any] | None:
        if not isinstance(message, dict) or message.get("type") not in ("http.response.start", "websocket.accept"):
            return None
        more = [(name.lower().encode(), value.encode()) for name, value in server.headers_for_client(request)]
        return {**message, "headers": [*(message.get("headers") or ()), *more]}

    def tell(message: Any) -> Any:
        return send(contained(with_headers, message) or message)

    return tell


def _returned(request: Request) -> None:
    # What servers answer for an application that has not.
    request.respond_if_silent(500)
    request.end()


# Messages that end an answer, unless they say that there is more.
_LAST = frozenset((
    "http.response.body", "http.response.pathsend", "http.response.zerocopysend", "websocket.http.response.body",
))  # fmt: skip


class Watch:
    """The messages of one request, as they pass."""

    __slots__ = ("_contained", "_has_trailers", "_receive", "_request", "_send")

    def __init__(self, request: Request, contained: Contained, receive: Receive, send: Send) -> None:
        self._request = request
        self._contained = contained
        self._receive = receive
        self._send = send
        self._has_trailers = False

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
        try:
            await self._send(message)
        except OSError:
            # How a server says that the client has gone (ASGI 2.4, "Disconnected Client").
            self._contained(self._request.end)
            raise
        if type(tell) is tuple:
            self._request.status, self._request.headers = tell
        elif tell is not None:
            self._contained(tell)

    def _read(self, message: Any) -> Any:
        """Return what there is to do when it has been sent, or, of an answer, the status and headers."""
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
            return status, message.get("headers") or ()
        if kind == "websocket.accept":
            return 101, message.get("headers") or ()
        if kind == "websocket.close":
            return self._close
        return request.end if kind == "http.response.trailers" and not message.get("more_trailers") else None

    def _close(self) -> None:
        # Of a handshake that was not accepted.
        self._request.respond_if_silent(403)
        self._request.end()


def around_method(
    server: HttpServer, is_left: Callable[[type], bool] | None = None
) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    """Return what makes of `__call__(self, scope, receive, send)` of a framework's class one with a span around.

    Subclasses for which `is_left` is true have a layer of their own.
    """
    return partial(observed, server, is_left=is_left)


class WatchedApplication(http_application.WatchedApplication):
    """An ASGI application that a server was given."""

    __slots__ = ()

    # Servers and middleware look whether this is a coroutine function.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Call it, with its request's span around."""
        return await self._observed(self.__wrapped__, scope, receive, send)


def watching(instrumentor: http_application.ServerInstrumentor, tracer: Tracer) -> Callable[[Any], WatchedApplication]:
    """Return what makes of an application that `instrumentor` has found in its server one that is watched."""
    call = observed(instrumentor.layer(tracer), http_application.call, instrumentor.fuse().contained)
    return lambda application: WatchedApplication(application, call)

"""Django's handlers that no gateway has called: those of its test clients, and handlers of the program's own making.

They get their request's span where all handlers meet, from the HttpRequest to the HttpResponse. It ends when the
response is closed, as a server would do after the last byte. What a streaming body calls then is in the context of
whoever reads it: here, that is the program itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors.asgi_arrival import AsgiArrival
from otel_run.instrumentors.wsgi import WsgiArrival
from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from otel_run.instrumentors.http_request import Passing, Request
    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Contained

    Make = Callable[[Callable[..., Any], Contained], Callable[..., Any]]


def around_methods(server: HttpServer, seen: Container[object]) -> tuple[Make, Make]:
    """Return what goes around `get_response` and `get_response_async`.

    `seen` are the `__call__`s in which a request has had its span already. Any other may have been handed it by one
    of those, or not: then the context is asked.
    """

    def begin(http_request: Any) -> Passing | None:
        if hasattr(http_request, "environ"):
            return server.begin(WsgiArrival, http_request.environ)
        if hasattr(http_request, "scope"):
            return server.begin(AsgiArrival, http_request.scope)
        return None

    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        def get_response(self: Any, request: Any) -> Any:
            served: Passing | None = None if type(self).__call__ in seen else contained(begin, request)
            if served is None:
                return original(self, request)
            token = enter(served.context)
            try:
                response = original(self, request)
            except BaseException as error:
                leave(token)
                contained(served.end, error)
                raise
            leave(token)
            if served.is_recording:
                contained(_end_with_close, served, response, contained)
            return response

        return get_response

    def make_async(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        async def get_response_async(self: Any, request: Any) -> Any:
            served: Passing | None = None if type(self).__call__ in seen else contained(begin, request)
            if served is None:
                return await original(self, request)
            token = enter(served.context)
            try:
                response = await original(self, request)
            except BaseException as error:
                # A coroutine that was abandoned ends wherever it is collected: that context is not ours to restore.
                if not isinstance(error, GeneratorExit) or now() is served.context:
                    leave(token)
                contained(served.end, error)
                raise
            leave(token)
            if served.is_recording:
                contained(_end_with_close, served, response, contained)
            return response

        return get_response_async

    return make, make_async


def _end_with_close(served: Request, response: Any, contained: Contained) -> None:
    served.respond(response.status_code, response.items())
    response._resource_closers.append(_Ending(served, contained))


class _Ending:
    """Ends a request's span when it is called, or when nobody has done so."""

    __slots__ = ("_contained", "_served")

    def __init__(self, served: Request, contained: Contained) -> None:
        self._served = served
        self._contained = contained

    def __call__(self) -> None:
        self._contained(self._served.end)

    __del__ = __call__

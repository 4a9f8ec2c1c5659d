"""Django: the route that its URL resolver found, and the exception that it made a page of.

The request's span stands around the handler that a server calls, unless a server that we know has one already. All
this is hung up while Django is being imported, which is before its settings are there: a program configures them when
it likes, and they are never asked for here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import asgi, django_handler, wsgi
from otel_run.instrumentors.http_layer import LayerInstrumentor
from otel_run.instrumentors.http_request import current
from otel_run.patching.wrap import Around, Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_request import Request
    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Begin, Contained

_UNIT = "instrumentor django"

# module -> its handler, what makes of the handler's call one with a span around, the call's arguments
_GATEWAYS: dict[str, tuple[str, Callable[[HttpServer], Any], str]] = {
    "django.core.handlers.wsgi": ("WSGIHandler", wsgi.around_method, "environ start_response"),
    "django.core.handlers.asgi": ("ASGIHandler", asgi.around_method, "scope receive send"),
}


class DjangoInstrumentor(LayerInstrumentor):
    """Patches the handlers, the resolving of URLs, and the handling of errors."""

    library = "django"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches."""
        from django.core.handlers import exception
        from django.core.handlers.base import BaseHandler

        server = self.layer(tracer)
        self._seen: set[object] = set()
        made, made_async = django_handler.around_methods(server, self._seen)
        return [
            Patch(_UNIT, BaseHandler, "load_middleware", self._begin_loading(server)),
            Around(_UNIT, BaseHandler, "get_response", made, takes="request"),
            Around(_UNIT, BaseHandler, "get_response_async", made_async, takes="request"),
            Around(_UNIT, BaseHandler, "resolve_request", _around_resolving, takes="request"),
            Around(
                _UNIT, BaseHandler, "process_exception_by_middleware", _around_middleware, takes="exception request"
            ),
            Patch(_UNIT, exception, "handle_uncaught_exception", _begin_page, takes="resolver exc_info"),
        ]

    def _begin_loading(self, server: HttpServer) -> Begin:
        """Patch the gateways as they come: the modules of both need the one that we have waited for."""
        left = dict(_GATEWAYS)

        def begin(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
            for module in list(left):
                handler = getattr(sys.modules.get(module), _GATEWAYS[module][0], None)
                # Of two threads, one gets it.
                if handler is not None and left.pop(module, None) is not None:
                    _, around, takes = _GATEWAYS[module]
                    patch = Around(_UNIT, handler, "__call__", around(server), takes)
                    patch.apply()
                    self._applied.append(patch)
                    self._seen.add(handler.__call__)

        return begin


def _around_resolving(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def resolve_request(self: Any, request: Any) -> Any:
        # Django leaves such a frame out of the page that it makes of an exception.
        __traceback_hide__ = True
        match = original(self, request)
        served = current()
        if served is not None:
            contained(_take_route, served, request, match)
        return match

    return resolve_request


def _take_route(served: Request, request: Any, match: Any) -> None:
    route = match.route
    if route is not None:
        # As Django joins routes, of which those that are regular expressions begin with their own anchor.
        served.set_route("/" + route.removeprefix("^"), request.META.get("SCRIPT_NAME", "").rstrip("/"))


def _around_middleware(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def process_exception_by_middleware(self: Any, exception: BaseException, request: Any) -> Any:
        __traceback_hide__ = True
        response = original(self, exception, request)
        if response is not None:
            contained(_take_answered, exception, response)
        return response

    return process_exception_by_middleware


def _take_answered(error: BaseException, response: Any) -> None:
    # An answer that is none of an error is the end of the matter, whatever fails later. It may be no response at all,
    # which Django finds out further on.
    if getattr(response, "status_code", 0) >= 500:
        _note(error)


def _begin_page(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Take the exception of which the page for status 500 is made; the other errors have had their own by now."""
    exc_info = args[2] if len(args) > 2 else kwargs["exc_info"]
    _note(exc_info[1])


def _note(error: BaseException) -> None:
    request = current()
    if request is not None:
        # In place of one that was handled before: that is not what made the page, or is the context of what did.
        request.note(error, instead=True)

"""Flask: the route that its URL map found, and the exception that it made a page of.

The request's span stands around the whole application (`Flask.__call__`), middleware that is wrapped around
`app.wsgi_app` included, unless a server that we know has one already. All else is taken from functions that have
returned before the program's own are called, or that are called after them: the tracebacks that Flask logs show none
of ours.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import wsgi
from otel_run.instrumentors.http_layer import LayerInstrumentor
from otel_run.instrumentors.http_request import current
from otel_run.patching.wrap import Around, Patch
from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_request import Request
    from otel_run.patching.wrap import Contained

_UNIT = "instrumentor flask"


class FlaskInstrumentor(LayerInstrumentor):
    """Patches the application's entry, where it matches URLs, and where it looks for who handles an error."""

    library = "flask"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the patches."""
        import flask
        from flask import Flask, ctx, got_request_exception

        server = self.layer(tracer)
        # Flask 3.2 has one context for both, and warns of the old name.
        context = vars(ctx).get("RequestContext", ctx.AppContext)
        # Found before the handler is called; the other is public, and in the traceback of whatever a handler raises.
        finding = "_find_error_handler" if hasattr(Flask, "_find_error_handler") else "handle_user_exception"
        return [
            Around(_UNIT, Flask, "__call__", wsgi.around_method(server), takes="environ start_response"),
            Around(_UNIT, context, "match_request", _around_matching),
            Patch(_UNIT, Flask, finding, _begin_handling),
            # What Flask calls for an error that nobody handles, and so do extensions that replace its own handling.
            Patch(_UNIT, got_request_exception, "send", _begin_telling),
            *(Around(_UNIT, module, "copy_current_request_context", _around_copying) for module in (flask, ctx)),
        ]


def _around_matching(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def match_request(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        request = current()
        if request is not None:
            contained(_take_route, request, self)
        return result

    return match_request


def _take_route(request: Request, context: Any) -> None:
    http_request = context.request
    rule, environ = http_request.url_rule, http_request.environ
    if rule is None:
        return
    # A program may also match URLs for itself, with a `test_request_context`.
    if environ.get("wsgi.input") is request.mark or request.is_about(wsgi.WsgiArrival(environ)):
        root = environ.get("SCRIPT_NAME")
        request.set_route(rule.rule, wsgi.decoded(root).rstrip("/") if root else "")


def _begin_handling(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # Flask 3.2 has put its context before the error.
    error = next((one for one in (*args, *kwargs.values()) if isinstance(one, BaseException)), None)
    request = current()
    # Werkzeug's 404 is an answer, also when the page for it fails.
    if request is not None and error is not None and not _is_answer(error):
        request.note(error)


def _begin_telling(_args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    request, error = current(), kwargs.get("exception")
    # A program may send the signal by itself, with whatever its own receivers want.
    if request is not None and isinstance(error, BaseException):
        # In place of one that was handled before: that is not what made the page, or is the context of what did.
        request.note(error, instead=True)


def _is_answer(error: BaseException) -> bool:
    from werkzeug.exceptions import HTTPException

    return isinstance(error, HTTPException) and (error.code or 0) < 500


def _around_copying(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:  # noqa: ARG001
    """Have what a program takes to a thread, to go on there with its request, go on with its trace too."""

    def copy_current_request_context(*args: Any, **kwargs: Any) -> Any:
        copied = original(*args, **kwargs)
        around = now()
        if not around:
            return copied

        def in_context(*args: Any, **kwargs: Any) -> Any:
            token = enter(around)
            try:
                return copied(*args, **kwargs)
            finally:
                leave(token)

        return functools.wraps(copied)(in_context)

    return copy_current_request_context

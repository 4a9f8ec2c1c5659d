"""What happens inside a Starlette application, and only it can tell: which route, which exception, which tasks.

The patches are in place while one of the instrumentors that need them is: Starlette's or FastAPI's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otel_run import __version__
from otel_run.instrumentors.http_request import current
from otel_run.instrumentors.starlette_background import Background
from otel_run.patching.instrumentor import SCHEMA_URL
from otel_run.patching.wrap import Around, Patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.instrumentors.asgi import Receive, Scope, Send
    from otel_run.instrumentors.http_request import Request
    from otel_run.patching.wrap import Contained

_UNIT = "instrumentor starlette"


class Inside:
    """The patches, and who needs them."""

    def __init__(self) -> None:
        self._users: set[str] = set()
        self._applied: list[Patch] = []

    def enter(self, user: str, provider: trace.TracerProvider | None) -> None:
        """Put them in place, if they aren't. Raises DoesNotFit."""
        if not self._users:
            self._applied = _patches(provider)
            for patch in self._applied:
                patch.apply()
        self._users.add(user)

    def leave(self, user: str) -> None:
        """Take them away, if nobody else needs them."""
        self._users.discard(user)
        if not self._users:
            for patch in reversed(self._applied):
                patch.undo()
            self._applied = []


def _patches(provider: trace.TracerProvider | None) -> list[Patch]:
    from starlette.background import BackgroundTask
    from starlette.middleware.exceptions import ExceptionMiddleware
    from starlette.routing import Mount, Route, WebSocketRoute

    tracer = trace.get_tracer("otel_run.instrumentors.starlette", __version__, provider, schema_url=SCHEMA_URL)
    return [
        Patch(_UNIT, Route, "handle", _begin_route, takes="scope"),
        Patch(_UNIT, WebSocketRoute, "handle", _begin_route, takes="scope"),
        Patch(_UNIT, Mount, "handle", _begin_mount, takes="scope"),
        Around(_UNIT, ExceptionMiddleware, "__call__", _around_pages, takes="scope receive send"),
        Patch(_UNIT, BackgroundTask, "__call__", Background(tracer)),
    ]


def _begin_route(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    request = current()
    if request is None:
        return
    path = getattr(args[0], "path", None)
    if isinstance(path, str):
        scope = args[1] if len(args) > 1 else kwargs["scope"]
        request.set_route(path, (scope.get("root_path") or "").rstrip("/"))


def begin_included(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Take the route of FastAPI's `APIRoute.handle`, whose path may have a prefix that it doesn't know itself."""
    request = current()
    if request is not None:
        included = _inclusion(args, kwargs)
        at = included if getattr(included, "original_route", None) is args[0] else args[0]
        _set_route(request, getattr(at, "path", None), args, kwargs)


def begin_frontend(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Take the route of FastAPI's files for a frontend: where they are, and whatever is below."""
    request = current()
    if request is not None:
        prefix = getattr(_inclusion(args, kwargs), "frontend_prefix", "")
        _set_route(request, f"{prefix}{args[0].path}".rstrip("/") + "/{path}", args, kwargs)


def _begin_mount(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Take where the application inside is; a route of its own, if it has any that we know, comes later."""
    request = current()
    path = getattr(args[0], "path", None)
    if request is not None and isinstance(path, str):
        scope = _scope(args, kwargs)
        request.mount(_root(scope), path, (scope.get("app_root_path") or "").rstrip("/"))
        _set_route(request, "/{path}", args, kwargs)


def _set_route(request: Request, path: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if isinstance(path, str):
        request.set_route(path, _root(_scope(args, kwargs)))


def _scope(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope:
    scope: Scope = args[1] if len(args) > 1 else kwargs["scope"]
    return scope


def _root(scope: Scope) -> str:
    root: str = scope.get("root_path") or ""
    return root.rstrip("/")


def _inclusion(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what FastAPI has noted about the inclusion of a router by which the request has come."""
    noted = _scope(args, kwargs).get("fastapi")
    return noted.get("effective_route_context") if isinstance(noted, dict) else None


def _around_pages(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    """Return an `ExceptionMiddleware.__call__` that tells of exceptions, those that it makes pages of and the others.

    Where the page passes the server's layer that may be too late: `BaseHTTPMiddleware` hands it on by a queue, and
    middleware of the program's may answer by itself.
    """

    async def call(self: Any, scope: Scope, receive: Receive, send: Send) -> Any:
        request = current()
        if request is None:
            return await original(self, scope, receive, send)

        def watched_send(message: dict[str, Any]) -> Any:
            # Most are pieces of a body, and not worth the call.
            if type(message) is not dict or message.get("type") == "http.response.start":
                contained(_note_page, request, message)
            return send(message)

        try:
            return await original(self, scope, receive, watched_send)
        except BaseException as error:
            contained(request.note, error)
            raise

    return call


def _note_page(request: Request, message: dict[str, Any]) -> None:
    if message["type"] == "http.response.start" and message["status"] >= 500:
        # A page is sent while its exception is being handled.
        error = sys.exc_info()[1]
        if error is not None:
            request.note(error)

"""What programs that ask an ASGI application in process begin with; they print what the application sends."""

from __future__ import annotations

ASK = '''
import asyncio
import sys

from opentelemetry import trace

tracer = trace.get_tracer("program")


async def ask(application, path, method="GET", kind="http", headers=(), incoming=None, refuse=(), **more):
    """Call `application` as a server would, and return the messages it sends, and what it raises, last.

    `incoming` are the messages it receives; then nothing comes any more. What is in `refuse` raises OSError.
    """
    path, _, query = path.partition("?")
    scope = {
        "type": kind, "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "path": path,
        "query_string": query.encode(), "root_path": "", "client": ("192.0.2.7", 4711), "server": ("127.0.0.1", 8000),
        "headers": [*headers, (b"host", b"shop.test"), (b"user-agent", b"test/1")], **more,
    }
    if kind == "http":
        scope.update(method=method, scheme=more.get("scheme", "http"))
        first = [{"type": "http.request", "body": b"", "more_body": False}]
    else:
        scope.update(scheme="ws", subprotocols=[])
        first = [{"type": "websocket.connect"}]
    queue, sent, never = list(first if incoming is None else incoming), [], Never()

    async def receive():
        if not queue:
            await never.wait()
        return queue.pop(0)

    async def send(message):
        if message["type"] in refuse:
            raise OSError("gone")
        sent.append(message)

    try:
        await application(scope, receive, send)
    except Exception as error:
        sent.append(error)
    return sent


class Never:
    async def wait(self):
        import sniffio

        if sniffio.current_async_library() == "trio":
            import trio

            await trio.sleep_forever()
        await asyncio.Event().wait()


def status(sent):
    """Return the status that was sent, or the name of what was raised before."""
    for message in sent:
        if isinstance(message, Exception):
            return type(message).__name__
        if message["type"] == "http.response.start":
            return message["status"]


async def statuses(application, *paths, **more):
    """Ask for each path, and print the statuses."""
    print(*[status(await ask(application, path, **more)) for path in paths])
'''

STARLETTE = (
    ASK
    + """
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute

async def ok(request):
    return PlainTextResponse("ok")

class HandsOn(BaseHTTPMiddleware):
    # Runs what is inside in a task of its own.
    async def dispatch(self, request, call_next):
        return await call_next(request)

class Copies:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def receive_too():
            return await receive()

        async def send_too(message):
            await send(dict(message))

        copy = scope if scope["type"] == "lifespan" else {**scope, "headers": list(scope["headers"])}
        await self.app(copy, receive_too, send_too)
"""
)

"""Starlette and FastAPI behind real servers: the server's span, with what the application tells of it."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from websockets.sync.client import connect

if TYPE_CHECKING:
    from servers.serving import Server, Serving

APPLICATION = """
import contextlib

import anyio
import flask
from a2wsgi import WSGIMiddleware
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from opentelemetry import trace

tracer = trace.get_tracer("program")
shop = flask.Flask("shop")

@shop.get("/basket/<name>")
def basket(name):
    return name

async def task():
    with tracer.start_as_current_span("inside"):
        await anyio.sleep(0.2)

async def pieces():
    for _ in range(3):
        yield b"data: x\\n\\n"
        await anyio.sleep(0.02)

async def endless():
    try:
        while True:
            yield b"data: x\\n\\n"
            await anyio.sleep(0.02)
    finally:
        print("the client has left", flush=True)

async def stream(request):
    return StreamingResponse(pieces(), media_type="text/event-stream")

async def events(request):
    return StreamingResponse(endless(), media_type="text/event-stream")

async def fails(request):
    raise ValueError("five")

async def file(request):
    return FileResponse(anyio.__file__)

async def chat(socket):
    await socket.accept()
    async for text in socket.iter_text():
        with tracer.start_as_current_span("answer"):
            await socket.send_text(text)

class HandsOn(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)

@contextlib.asynccontextmanager
async def lifespan(app):
    print("up", flush=True)
    yield
    print("down", flush=True)

router = APIRouter(prefix="/v1")

@router.get("/items/{id}")
def item(id: int, tasks: BackgroundTasks):
    tasks.add_task(task)
    with tracer.start_as_current_span("in a thread"):
        return {"id": id}

app = FastAPI(lifespan=lifespan)
app.include_router(router, prefix="/api")
app.mount("/shop/{tenant}", WSGIMiddleware(shop))
app.mount("/star", Starlette(
    routes=[Route("/stream", stream), Route("/events", events), Route("/fails", fails), Route("/file", file),
            Route("/quiet", file), WebSocketRoute("/chat/{room}", chat)],
    middleware=[Middleware(HandsOn), Middleware(GZipMiddleware)]))
"""
PATHS = [
    *("/api/v1/items/7", "/api/v1/items/x", "/nothing", "/shop/acme/basket/joe", "/star/stream", "/star/fails"),
    *("/star/file", "/star/nothing"),
]
UVICORN = ("uvicorn", "--port={port}", "--no-server-header", "--no-date-header", "--log-level=error", "app:app")


def test_uvicorn_serves_what_it_does_without_us_and_each_request_is_one_span(serving: Serving) -> None:
    env = {"OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": "/items/8", "OTEL_PYTHON_STARLETTE_EXCLUDED_URLS": "/quiet"}
    with serving(APPLICATION, *UVICORN, env=env) as server:
        with_us = [server.ask(path) for path in PATHS]
        server.ask("/api/v1/items/8")
        server.ask("/star/quiet")
        leave_early(server, "/star/events")
        talk(server, "/star/chat/1")
        time.sleep(0.3)
    with serving(APPLICATION, *UVICORN, traced=False) as bare:
        assert [bare.ask(path) for path in PATHS] == with_us
    assert "the client has left" in server.output
    assert server.output.startswith("up")
    assert "down" in server.output
    assert [(span.name, span.attributes["http.response.status_code"], span.parent_id) for span in server.requests] == [
        ("GET /api/v1/items/{id}", 200, ""),
        ("GET /api/v1/items/{id}", 422, ""),
        ("GET", 404, ""),
        ("GET /shop/{tenant}/basket/<name>", 200, ""),
        ("GET /star/stream", 200, ""),
        ("GET /star/fails", 500, ""),
        ("GET /star/file", 200, ""),
        ("GET /star/{path}", 404, ""),
        ("GET /star/events", 200, ""),
        ("GET /star/chat/{room}", 101, ""),
    ], server
    assert {span.scope for span in server.requests} == {"otel_run.instrumentors.uvicorn"}
    item, task = server.requests[0], server.named("task")
    assert server.named("in a thread").parent_id == item.span_id
    assert (task.parent_id, task.links) == ("", [(item.trace_id, item.span_id)])
    assert server.named("inside").parent_id == task.span_id
    assert item.duration_ms < 190 < task.duration_ms
    fails, events, chat = server.requests[5], server.requests[8], server.requests[9]
    assert (fails.status, fails.attributes["error.type"], len(fails.events)) == ("ERROR", "ValueError", 1)
    assert (events.status, server.named("answer").parent_id) == ("UNSET", chat.span_id)
    assert server.requests[4].duration_ms >= 40


def test_hypercorn_serves_it_on_trio(serving: Serving) -> None:
    command = ("hypercorn", "--bind=127.0.0.1:{port}", "--worker-class=trio", "app:app")
    with serving(APPLICATION, *command) as server:
        assert server.ask("/api/v1/items/7").endswith(b'{"id":7}')
        server.ask("/star/fails")
        server.ask("/star/stream")
        leave_early(server, "/star/events")
        time.sleep(0.4)
    assert [(span.name, span.status, span.parent_id) for span in server.requests] == [
        ("GET /api/v1/items/{id}", "UNSET", ""),
        ("GET /star/fails", "ERROR", ""),
        ("GET /star/stream", "UNSET", ""),
        ("GET /star/events", "UNSET", ""),
    ], server
    assert server.named("in a thread").parent_id == server.requests[0].span_id
    assert server.named("inside").parent_id == server.named("task").span_id
    assert server.requests[1].attributes["error.type"] == "ValueError"


def leave_early(server: Server, path: str) -> None:
    """Ask, read the beginning of the answer, and close the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(0.1)


def talk(server: Server, path: str) -> None:
    """Open a WebSocket, and have one text come back."""
    with connect(f"ws://127.0.0.1:{server.port}{path}") as connection:
        connection.send("hello")
        assert connection.recv(timeout=10) == "hello"

"""Bare applications, one WSGI and one ASGI, that call another service and answer with the headers which it got."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from servers.serving import Server

APPLICATION = """
import asyncio, os, requests

class Failed(Exception):
    pass

HEADERS = [("Content-Type", "text/plain"), ("X-Many", "a"), ("X-Many", "b"), ("Set-Cookie", "sid=1"), ("X-Mine", "c"),
           ("Location", "http://h/?token=x")]

def answer(path):
    if path.startswith("/status/"):
        return int(path[8:]), b"told"
    if path == "/raise":
        raise Failed("no http://h/?token=x")
    if path.startswith("/call"):
        return 200, requests.get(os.environ["WEB"] + "/echo").text.encode()
    return 200, path.encode()

def wsgi(environ, start_response):
    status, body = answer(environ["PATH_INFO"])
    start_response(f"{status} Told", [("Content-Length", str(len(body))), *HEADERS])
    return [body]

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    status, body = await asyncio.to_thread(answer, scope["path"])
    headers = [(b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
COMMANDS = {
    "wsgi": ("waitress-serve", "--listen=127.0.0.1:{port}", "app:wsgi"),
    "asgi": ("uvicorn", "--port", "{port}", "--log-level", "critical", "--lifespan", "off", "app:asgi"),
}
Headers = list[tuple[str, str]]


class Answer(NamedTuple):
    """One answer, taken apart."""

    status: int
    headers: Headers
    body: str

    def values(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def called(self) -> dict[str, str]:
        """The headers of the request that the application made."""
        return {name.lower(): value for name, value in json.loads(self.body)["headers"].items()}


def read(raw: bytes) -> Answer:
    head, _, body = raw.decode("latin-1").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(first.split(" ")[1]), headers, body)


def assert_it_said_nothing(server: Server) -> None:
    # The lines of a traceback are the server's to print.
    lines = [line for line in server.output.splitlines() if not line.startswith("  File ")]
    said = [line for line in lines if re.search("otel|tracestate|baggage|Invalid", line)]
    assert said == []

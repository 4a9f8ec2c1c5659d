"""Servers of developers, which start another process to serve and replace it when a file changes: traced, once."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from servers.serving import Serving

ASGI = """
import os

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"pid=%d;" % os.getpid()})
"""
FLASK = """
import os
import flask

app = flask.Flask("app")

@app.get("/")
def index():
    return f"pid={os.getpid()};"
"""
SERVERS = {
    "uvicorn": (ASGI, "uvicorn app:application --reload --port {port}"),
    "hypercorn": (ASGI, "hypercorn app:application --reload --bind 127.0.0.1:{port}"),
    "flask": (FLASK, "flask run --debug --port {port}"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_the_child_that_serves_is_traced_once_before_and_after_a_change(serving: Serving, name: str) -> None:
    source, command = SERVERS[name]
    with serving(source, *command.split(), env={"OTEL_PYTHON_EXCLUDED_URLS": "waiting"}) as server:
        first = last = _pid_in(server.ask("/"))
        server.wait_for(1)
        _change(serving.folder / "app.py")
        end = time.monotonic() + 15
        while last == first and time.monotonic() < end:
            time.sleep(0.05)
            # Nobody listens for a moment.
            with contextlib.suppress(OSError, IndexError):
                last = _pid_in(server.ask("/?waiting"))
        assert _pid_in(server.ask("/")) == last != first
        server.wait_for(2)
    assert [str(span.resource["process.pid"]) for span in server.spans] == [first, last], server
    assert {(span.kind, span.parent_id, span.attributes["url.path"]) for span in server.spans} == {("SERVER", "", "/")}


def _change(file: Path) -> None:
    file.write_text(file.read_text() + "# changed\n")
    later = time.time() + 10
    os.utime(file, (later, later))


def _pid_in(answer: bytes) -> str:
    return answer.decode().split("pid=")[1].split(";")[0]

"""gunicorn: its workers, however many, whenever they load the application, and however they call it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.serving import Serving

GUNICORN = ("gunicorn", "-b", "127.0.0.1:{port}", "app:application")

BARE = """
import os

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]
"""
FLASK = """
from flask import Flask

application = Flask("app")

@application.get("/user/<name>")
def user(name):
    return name
"""
ASGI = """
async def application(scope, receive, send):
    assert scope["type"] == "http", scope
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.mark.parametrize(
    "options",
    [("--preload", "-w", "2", "-k", "gthread", "--max-requests", "3"), ("--reload",)],
    ids=" ".join,
)
def test_each_request_has_one_span_whoever_serves_it(serving: Serving, options: tuple[str, ...]) -> None:
    with serving(BARE, *GUNICORN, *options, ending=signal.SIGKILL) as server:
        for number in range(8):
            assert server.status(f"/{number}") == 200
        server.wait_for(8)
    assert sorted((span.name, span.kind, span.attributes["url.path"]) for span in server.spans) == [
        ("GET", "SERVER", f"/{number}") for number in range(8)
    ]
    assert {span.scope for span in server.spans} == {"otel_run.instrumentors.gunicorn"}


def test_the_span_of_a_framework_s_application_is_the_server_s_with_its_route(serving: Serving) -> None:
    with serving(FLASK, *GUNICORN, "-k", "gevent", "--preload") as server:
        assert server.ask("/user/one").endswith(b"one")
        server.wait_for(1)
    (span,) = server.spans
    assert (span.name, span.scope) == ("GET /user/<name>", "otel_run.instrumentors.gunicorn")
    assert "Warning" not in server.output
    assert "otel-run" not in server.output


@pytest.mark.parametrize(
    ("worker", "scope"), [("asgi", "gunicorn"), ("uvicorn.workers.UvicornWorker", "uvicorn")], ids=["asgi", "uvicorn"]
)
def test_a_worker_that_speaks_asgi_calls_its_application_so(serving: Serving, worker: str, scope: str) -> None:
    with serving(ASGI, *GUNICORN, "-k", worker, ending=signal.SIGKILL) as server:
        assert server.ask("/a").endswith((b"hello", b"hello\r\n0\r\n\r\n"))
        assert server.status("/b") == 200
        server.wait_for(2)
    assert [(span.name, span.kind, span.attributes["url.path"], span.scope) for span in server.spans] == [
        ("GET", "SERVER", "/a", f"otel_run.instrumentors.{scope}"),
        ("GET", "SERVER", "/b", f"otel_run.instrumentors.{scope}"),
    ]


def test_a_worker_of_somebody_else_s_gets_what_it_has_loaded(serving: Serving) -> None:
    with serving(
        """
        from gunicorn.workers.base import Worker
        from gunicorn.workers.sync import SyncWorker

        class Own(Worker):
            run = SyncWorker.run
            run_for_one = SyncWorker.run_for_one
            wait = SyncWorker.wait
            is_parent_alive = SyncWorker.is_parent_alive

            def accept(self, listener):
                client, _ = listener.accept()
                client.setblocking(True)
                client.recv(65536)
                client.sendall(repr((self.wsgi is application, self.app.callable is application)).encode())
                client.close()

        def application(environ, start_response):
            raise NotImplementedError
        """,
        *GUNICORN,
        *("-k", "app.Own"),
    ) as server:
        assert server.ask("/") == b"(True, True)"
    assert server.spans == []

"""Flask as it is served: by its own development server with the debugger, and by gunicorn."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.serving import Server, Serving

APP = """
from flask import Flask, Response, request, stream_with_context
from opentelemetry import trace
app = Flask(__name__)

@app.route("/items/<int:number>", methods=["GET", "POST"])
def item(number):
    return f"{number} {len(request.get_data())}"

@app.route("/stream")
def stream():
    def pieces():
        for number in range(3):
            with trace.get_tracer("program").start_as_current_span(f"piece {number}"):
                yield f"{number};"
    return Response(stream_with_context(pieces()), headers={"X-Two": "words"})

@app.route("/boom")
def boom():
    raise ValueError("boom")

@app.route("/health")
def health():
    with trace.get_tracer("program").start_as_current_span("below"):
        return "fine"
"""
BODY = b"x" * 70000
# What differs from one answer to the next by itself.
_VARIABLE = re.compile(rb"(Date: )[^\r]*|(SECRET = )[^;]*|(traceback-|frame-)\d+")


def _ask(server: Server) -> list[bytes]:
    answers = [
        server.ask("/items/3?a=1"),
        server.ask("/items/4", "POST", BODY),
        server.ask("/items/5", "HEAD"),
        server.ask("/stream"),
        server.ask("/boom"),
        server.ask("/nowhere"),
        server.ask("/static/none.css"),
    ]
    return [_VARIABLE.sub(rb"\1\2\3", answer) for answer in answers]


def _requests(server: Server) -> list[tuple[object, ...]]:
    return [
        (
            span.name,
            span.attributes.get("http.route"),
            span.attributes.get("http.response.status_code"),
            span.status,
            [event["exception.type"] for _, event in span.events],
        )
        for span in server.requests
    ]


ASKED = [
    ("GET /items/<int:number>", "/items/<int:number>", 200, "UNSET", []),
    ("POST /items/<int:number>", "/items/<int:number>", 200, "UNSET", []),
    ("HEAD /items/<int:number>", "/items/<int:number>", 200, "UNSET", []),
    ("GET /stream", "/stream", 200, "UNSET", []),
    ("GET /boom", "/boom", 500, "ERROR", ["ValueError"]),
    ("GET", None, 404, "UNSET", []),
    ("GET /static/<path:filename>", "/static/<path:filename>", 404, "UNSET", []),
]

COMMANDS = {
    # With the debugger, whose page shows each frame.
    "werkzeug": ["flask", "run", "--debug", "--no-reload", "--port={port}"],
    "gunicorn": ["gunicorn", "--bind=127.0.0.1:{port}", "--workers=1", "app:app"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_request_is_one_span_and_answered_as_without_us(serving: Serving, name: str) -> None:
    def run(traced: bool) -> tuple[Server, list[bytes]]:
        with serving(APP, *COMMANDS[name], traced=traced) as server:
            return server, _ask(server)

    with ThreadPoolExecutor(2) as pool:
        (_, expected), (server, given) = pool.map(run, (False, True))
    assert given == expected
    assert _requests(server) == ASKED, server
    assert {span.scope for span in server.requests} == {f"otel_run.instrumentors.{name}"}
    assert not any(span.parent_id for span in server.requests), server
    stream = server.named("GET /stream")
    pieces = [span for span in server.spans if span.name.startswith("piece")]
    # A generator that yields within a span has it around the next piece as well.
    assert [span.trace_id for span in pieces] == [stream.trace_id] * 3, server
    assert all(stream.start <= span.start and span.end <= stream.end for span in pieces), server
    assert "otel-run" not in server.output, server


# Patterns for Flask -> the requests that have a span, whatever the server does; `health` is excluded for all else.
INTERPLAY = {"items": ["GET /health"], "": ["GET /items/<int:number>"]}


@pytest.mark.parametrize("patterns", INTERPLAY)
def test_the_variable_for_flask_replaces_the_general_one_also_behind_a_server(serving: Serving, patterns: str) -> None:
    env = {"OTEL_PYTHON_EXCLUDED_URLS": "health", "OTEL_PYTHON_FLASK_EXCLUDED_URLS": patterns}
    with serving(APP, *COMMANDS["gunicorn"], env=env) as server:
        server.ask("/health")
        server.ask("/items/3")
    assert [span.name for span in server.requests] == INTERPLAY[patterns], server
    below = [span for span in server.spans if span.name == "below"]
    assert [span.parent_id for span in below] == [span.span_id for span in server.requests if "health" in span.name]


HELD = """
from flask import Flask
from werkzeug.serving import make_server

app = Flask("app")
server = make_server("127.0.0.1", 0, app)
held = server.app
assert isinstance(held, Flask) and held == app and app == held and hash(held) == hash(app), held
assert repr(held) == repr(app) and held.config is app.config
held.extra = 1
assert app.extra == 1
del held.extra
assert not hasattr(app, "extra")
server.server_close()
"""


def test_what_a_program_asks_of_the_application_in_a_server_s_hands_is_its_own_s_answer(traced: Traced) -> None:
    run = traced(HELD)
    assert run.returncode == 0, run

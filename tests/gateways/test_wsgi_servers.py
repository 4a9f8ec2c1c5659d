"""Every server that speaks WSGI, with applications that use all of it: none is changed, and each request is seen."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateways.odd_requests import answers
from gateways.odd_wsgi import SOURCE
from otel_run.command.demo.servers import HOST

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced
    from servers.serving import Server, Serving

RUN_WERKZEUG = """
import sys
from werkzeug.serving import run_simple
from app import application
run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True)
"""
RUN_WSGIREF = """
import sys
from wsgiref.simple_server import make_server
from app import application
make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
"""
GUNICORN = ("gunicorn", "-b", "127.0.0.1:{port}", "app:application")
SERVERS = {
    "gunicorn gthread": (*GUNICORN, "-k", "gthread", "--threads", "2"),
    "gunicorn gevent": (*GUNICORN, "-k", "gevent"),
    "gunicorn gevent_pywsgi": (*GUNICORN, "-k", "gevent_pywsgi"),
    "uwsgi": ("uwsgi", "--http-socket", "127.0.0.1:{port}", "--module", "app:application", "--master", "--need-app"),
    "waitress": ("waitress-serve", "--listen=127.0.0.1:{port}", "app:application"),
    "werkzeug": ("python", "-c", RUN_WERKZEUG, "{port}"),
    "wsgiref": ("python", "-c", RUN_WSGIREF, "{port}"),
}
# What a server answers by itself, without telling the application.
UNTOLD = {
    "gunicorn gevent_pywsgi": {"/silent"},
    "uwsgi": {"/twice", "/fails_before"},
}


@pytest.mark.parametrize("name", SERVERS)
def test_answers_are_the_same_to_the_byte_and_each_has_one_span_that_ends_with_it(
    serving: Serving, tmp_path: Path, name: str
) -> None:
    def run(traced: bool) -> tuple[Server, dict[str, bytes], str]:
        log = tmp_path / f"{traced}.log"
        with serving(SOURCE, *SERVERS[name], traced=traced, env={"ODD_LOG": str(log)}) as server:
            return server, _ask_everything(server, log), log.read_text()

    with ThreadPoolExecutor(2) as pool:
        (bare, bare_answers, bare_calls), (server, given, calls) = pool.map(run, (False, True))
    assert given == bare_answers
    assert calls == bare_calls
    assert _errors(server.output) == _errors(bare.output)
    assert [word for word in ("otel-run:", "Warning", "Exception ignored") if word in server.output] == [], server

    _, *spans, slow, endless = server.spans
    assert {span.kind for span in server.spans} == {"SERVER"}
    assert [(f"{span.name} {span.attributes['url.path']}") for span in spans] == [
        {"100": "POST /echo", "?": "GET /one"}.get(what, what) for what in given
    ]
    told = {
        (span.attributes["url.path"], str(span.attributes.get("http.response.status_code")), _status(answer))
        for span, answer in zip(spans, given.values(), strict=True)
    }
    assert {path for path, status, answered in told if status != answered} == UNTOLD.get(name, set())
    assert slow.attributes["url.path"] == "/slow"
    assert slow.duration_ms >= 300
    assert endless.attributes["url.path"] == "/endless"


def _ask_everything(server: Server, log: Path) -> dict[str, bytes]:
    # Under gevent, on Python 3.12 and later, nothing can be sent at the end if nothing has been before.
    assert b"one piece" in server.ask("/one")
    server.wait_for(1)
    given = answers(server)
    assert b"b" in server.ask("/slow")
    _hang_up_in_the_middle(server, log)
    return given


def _hang_up_in_the_middle(server: Server, log: Path) -> None:
    with socket.create_connection((HOST, server.port), timeout=20) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.")
    end = time.monotonic() + 20
    while "endless ends" not in log.read_text():
        assert time.monotonic() < end, "close() was not called"
        time.sleep(0.02)


def _errors(output: str) -> list[str]:
    """Return what the server logged of errors, but for the frames and the processes."""
    return [line for line in output.splitlines() if re.match(r"\w+(Error|Exception)\b", line)]


def _status(answer: bytes) -> str:
    found = re.findall(rb"^HTTP/1\.[01] (\d+)", answer, re.MULTILINE)
    return str(found[-1], "ascii") if found else "None"


# Applications of every kind, a path for each.
CALLED = """
import functools

def function(environ, start_response):
    start_response("200 OK", [])
    return [b"function"]

def generator(environ, start_response):
    start_response("200 OK", [("Content-Length", "9")])
    yield b"generator"

class Instance:
    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"instance"]

    def method(self, environ, start_response):
        start_response("200 OK", [])
        return [b"method"]

class Class:
    def __init__(self, environ, start_response):
        self.start_response = start_response

    def __iter__(self):
        self.start_response("200 OK", [("Content-Length", "5")])
        yield b"class"

def partly(answer, environ, start_response):
    start_response("200 OK", [])
    return [answer]

KINDS = {"function": function, "generator": generator, "instance": Instance(), "class": Class,
         "method": Instance().method, "partial": functools.partial(partly, b"partial")}

def application(environ, start_response):
    return KINDS[environ["PATH_INFO"][1:]](environ, start_response)
"""


def test_an_application_may_be_any_callable(serving: Serving) -> None:
    with serving(CALLED, *SERVERS["waitress"]) as server:
        for kind in ("function", "generator", "instance", "class", "method", "partial"):
            assert server.ask(f"/{kind}").endswith(kind.encode()), kind
    assert [(span.name, span.kind, span.attributes["url.path"], span.status) for span in server.spans] == [
        ("GET", "SERVER", f"/{kind}", "UNSET")
        for kind in ("function", "generator", "instance", "class", "method", "partial")
    ]


NESTED = """
import time
from opentelemetry import trace

tracer = trace.get_tracer("app")

def application(environ, start_response):
    start_response("200 OK", [])
    with tracer.start_as_current_span("around"):
        yield b"a"
        time.sleep(0.02)
        with tracer.start_as_current_span("within"):
            yield environ["PATH_INFO"].encode()
"""


def test_bodies_that_are_made_at_the_same_time_keep_their_own_spans_from_piece_to_piece(serving: Serving) -> None:
    with serving(NESTED, *SERVERS["gunicorn gevent"]) as server, ThreadPoolExecutor(20) as pool:
        server.ask("/first")
        server.wait_for(3)
        assert all(pool.map(lambda number: f"/{number}".encode() in server.ask(f"/{number}"), range(40)))
    requests = {span.span_id: span for span in server.requests}
    around = {span.span_id: span for span in server.spans if span.name == "around"}
    within = [span for span in server.spans if span.name == "within"]
    assert (len(requests), len(around), len(within)) == (41, 41, 41), server
    assert {span.parent_id for span in within} == set(around)
    assert {span.parent_id for span in around.values()} == set(requests)
    assert len({span.trace_id for span in server.spans}) == 41
    assert all(span.end <= requests[span.parent_id].end for span in around.values())


def test_wsgiref_alone_wakes_the_agent_and_stands_for_cgi_too(traced: Traced) -> None:
    run = traced(
        """
        from wsgiref.handlers import CGIHandler

        def application(environ, start_response):
            start_response("201 Created", [("Content-Type", "text/plain")])
            return [environ["PATH_INFO"].encode()]

        CGIHandler().run(application)
        """,
        env={
            "REQUEST_METHOD": "PUT",
            "PATH_INFO": "/a b",
            "QUERY_STRING": "token=x",
            "SERVER_NAME": "host.example",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.0",
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
    )
    assert run.stdout.replace("\r\n", "\n") == (
        "Status: 201 Created\nContent-Type: text/plain\nContent-Length: 4\n\n/a b"
    )
    (span,) = run.spans
    assert (span.name, span.kind, span.status, span.scope) == (
        "PUT",
        "SERVER",
        "UNSET",
        "otel_run.instrumentors.wsgiref",
    )
    assert (span.trace_id, span.parent_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert span.attributes == {
        "http.request.method": "PUT",
        "http.response.status_code": 201,
        "url.path": "/a%20b",
        "url.query": "token=REDACTED",
        "url.scheme": "http",
        "server.address": "host.example",
        "server.port": 8080,
        "client.address": "192.0.2.1",
        "network.peer.address": "192.0.2.1",
        "network.protocol.version": "1.0",
    }


SCRAPED = """
import http.client, prometheus_client, threading
from wsgiref.simple_server import make_server

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"seen"]

def get(server):
    connection = http.client.HTTPConnection(*server.server_address)
    connection.request("GET", "/metrics")
    with connection.getresponse() as answer:
        return answer.read()

metrics, _ = prometheus_client.start_http_server(0, "127.0.0.1")
own = make_server("127.0.0.1", 0, application)
threading.Thread(target=own.handle_request).start()
assert b"python_info" in get(metrics)
assert get(own) == b"seen"
metrics.shutdown()
metrics.server_close()
own.server_close()
"""


def test_scrapes_of_prometheus_client_s_own_server_have_no_spans_and_what_else_wsgiref_serves_has(
    traced: Traced,
) -> None:
    run = traced(SCRAPED)
    assert run.returncode == 0, run
    assert [(span.name, span.kind, span.scope) for span in run.spans] == [
        ("GET", "SERVER", "otel_run.instrumentors.wsgiref")
    ], run

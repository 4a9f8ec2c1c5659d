"""uvicorn run by a program: in a thread, inside a span, silenced, on a Unix socket, with every kind of application."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Run, Traced

PRELUDE = """
import asyncio, contextlib, functools, http.client, json, socket, sys, threading
import uvicorn


async def function(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-root", scope["root_path"].encode())]})
    await send({"type": "http.response.body", "body": str(scope["client"]).partition(",")[0].encode()})


@contextlib.contextmanager
def serving(application, family=socket.AF_INET, address=("127.0.0.1", 0), **options):
    with socket.socket(family) as listening:
        listening.bind(address)
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off", **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


def ask(address, path, **headers):
    if isinstance(address, str):
        connection = http.client.HTTPConnection("unix")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(address)
    else:
        connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", path, headers=headers)
    body = connection.getresponse().read().decode()
    connection.close()
    return body
"""


def _told(run: Run, name: str = "url.path") -> list[object]:
    assert run.returncode == 0, run
    return [span.attributes.get(name) for span in run.spans]


def test_every_kind_of_application_has_one_span_for_a_request(traced: Traced) -> None:
    run = traced(
        PRELUDE
        + """
class Instance:
    async def __call__(self, scope, receive, send):
        await function(scope, receive, send)


def double(scope):
    return functools.partial(function, scope)


class Double:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await function(self.scope, receive, send)


def partial(more, scope, receive, send):
    return function(scope, receive, send)


applications = {
    "function": {"application": function},
    "instance": {"application": Instance()},
    "partial": {"application": functools.partial(partial, "more"), "interface": "asgi3"},
    "factory": {"application": lambda: function, "factory": True},
    "double": {"application": double},
    "class": {"application": Double},
    "name": {"application": "__main__:function"},
    "root": {"application": function, "root_path": "/root"},
}
for name, options in applications.items():
    with serving(**options) as address:
        ask(address, "/" + name)
"""
    )
    paths = ["/function", "/instance", "/partial", "/factory", "/double", "/class", "/name", "/root/root"]
    assert _told(run) == paths, run
    assert {(span.name, span.kind, span.parent_id) for span in run.spans} == {("GET", "SERVER", "")}
    assert set(_told(run, "http.response.status_code")) == {200}


@pytest.mark.parametrize("bridge", ["a2wsgi", "uvicorn"])
def test_a_wsgi_application_has_one_span_and_flask_inside_adds_its_route(traced: Traced, bridge: str) -> None:
    run = traced(
        ("import sys; sys.modules['a2wsgi'] = None\n" if bridge == "uvicorn" else "")
        + PRELUDE
        + """
import flask

def bare(environ, start_response):
    start_response("201 Created", [])
    return iter([b"a", b"b"])

app = flask.Flask("app")

@app.get("/hello/<name>")
def hello(name):
    from opentelemetry import trace
    trace.get_tracer("app").start_span("inside").end()
    def pieces():
        trace.get_tracer("app").start_span("piece").end()
        yield "x"
    return pieces()

@app.get("/failing")
def failing():
    raise ValueError("no")

with serving(bare, interface="wsgi", root_path="/root") as address:
    print(ask(address, "/bare"))
with serving(app, interface="wsgi", root_path="/root") as address:
    ask(address, "/hello/you")
    ask(address, "/failing")
    ask(address, "/")
"""
    )
    assert run.returncode == 0, run
    assert run.stdout.startswith("ab\n")
    bare, hello, inside, piece, failing, index = run.spans
    assert (bare.name, bare.attributes["http.response.status_code"]) == ("GET", 201)
    # `flask` has the route without the prefix that the server adds and Flask removes.
    assert (hello.name, hello.attributes["url.path"]) == ("GET /root/hello/<name>", "/root/hello/you")
    assert {inside.parent_id, piece.parent_id} == {hello.span_id}
    assert (failing.name, failing.attributes["error.type"]) == ("GET /root/failing", "ValueError")
    assert [event[0] for event in failing.events] == ["exception"]
    assert index.attributes["http.response.status_code"] == 404


def test_what_is_current_when_a_server_is_started_is_no_requests_parent(traced: Traced) -> None:
    run = traced(
        PRELUDE
        + """
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation

seen = []

async def application(scope, receive, send):
    seen.append((trace.get_current_span().get_span_context().span_id, dict(baggage.get_all()),
                 context.get_value("program's own"), bool(context.get_value("suppress_instrumentation"))))
    await function(scope, receive, send)

async def main(*paths):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve([listening]))
        for path, headers in paths:
            await asyncio.to_thread(functools.partial(ask, listening.getsockname(), path, **headers))
        server.should_exit = True
        await task

context.attach(context.set_value("program's own", "kept"))
tracer = trace.get_tracer("program")
called = {"traceparent": "00-%032x-%016x-01" % (1, 2), "baggage": "of=caller"}
with tracer.start_as_current_span("program"):
    context.attach(baggage.set_baggage("of", "program"))
    asyncio.run(main(("/root", {}), ("/child", called)))
with suppress_instrumentation():
    asyncio.run(main(("/silenced", {})))
print(json.dumps(seen))
""",
        env={"TRACEPARENT": f"00-{9:032x}-{9:016x}-01"},
    )
    spans = {span.attributes.get("url.path"): span for span in run.spans}
    assert set(spans) == {None, "/root", "/child", "/silenced"}, run
    assert [spans[path].parent_id for path in ("/root", "/silenced")] == ["", ""]
    assert (spans["/child"].trace_id, spans["/child"].parent_id) == (f"{1:032x}", f"{2:016x}")
    assert len({spans[path].trace_id for path in (None, "/root", "/silenced")}) == 3
    baggages = {"/root": {}, "/child": {"of": "caller"}, "/silenced": {}}
    assert json.loads(run.stdout) == [
        [int(spans[path].span_id, 16), baggages[path], "kept", False] for path in baggages
    ]


def test_addresses_are_those_of_sockets_and_of_what_proxies_say(traced: Traced) -> None:
    run = traced(
        PRELUDE
        + """
with serving(function, socket.AF_UNIX, "./uvicorn.sock") as address:
    print(ask("./uvicorn.sock", "/unix", Host="unix.example"))
with serving(function, proxy_headers=True, forwarded_allow_ips="*") as address:
    print(ask(address, "/proxied", **{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}))
with serving(function, http="h11", proxy_headers=False) as address:
    print(ask(address, "/plain", **{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}))
"""
    )
    assert run.returncode == 0, run
    assert run.stdout.splitlines() == ["None", "('203.0.113.9'", "('127.0.0.1'"]
    names = ("client.address", "network.peer.address", "server.address", "url.scheme")
    assert [[span.attributes.get(name) for name in names] for span in run.spans] == [
        [None, None, "unix.example", "http"],
        ["203.0.113.9", "127.0.0.1", "127.0.0.1", "https"],
        ["203.0.113.9", "127.0.0.1", "127.0.0.1", "https"],
    ]


def test_pipelined_requests_are_traces_of_their_own(traced: Traced) -> None:
    run = traced(
        PRELUDE
        + """
for protocol in ("h11", "httptools"):
    with serving(function, http=protocol) as address, socket.create_connection(address) as connection:
        connection.sendall(b"GET /same HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" * 3)
        answer = b""
        while answer.count(b"HTTP/1.1 200") < 3:
            answer += connection.recv(65536)
"""
    )
    assert _told(run) == ["/same"] * 6, run
    assert {span.parent_id for span in run.spans} == {""}
    assert len({span.trace_id for span in run.spans}) == 6


def test_a_stream_that_a_shutdown_cuts_off_has_a_span_without_an_error(traced: Traced) -> None:
    run = traced(
        PRELUDE
        + """
async def events(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    while True:
        await send({"type": "http.response.body", "body": b"data: now\\n\\n", "more_body": True})
        await asyncio.sleep(0.02)

with serving(events, timeout_graceful_shutdown=1) as address:
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    print(answer.readline())
"""
    )
    assert run.stdout == "b'data: now\\n'\n", run
    (span,) = run.spans
    assert (span.status, span.attributes["http.response.status_code"], span.events) == ("UNSET", 200, [])
    assert span.duration_ms > 900


def test_a_websocket_whose_client_has_gone_is_no_error(traced: Traced) -> None:
    run = traced(
        PRELUDE
        + """
from websockets.sync.client import connect

async def flood(scope, receive, send):
    await send({"type": "websocket.accept"})
    while True:
        # Raises an OSError when the client has gone.
        await send({"type": "websocket.send", "text": "more"})
        await asyncio.sleep(0.01)

with serving(flood) as (host, port), connect(f"ws://{host}:{port}/flood") as client:
    print(client.recv())
"""
    )
    assert run.stdout == "more\n", run
    (span,) = run.spans
    assert (span.status, span.attributes["http.response.status_code"], span.events) == ("UNSET", 101, [])

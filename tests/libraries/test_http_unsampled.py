"""Requests that nobody will see: nothing of what is only for their span is done, and all below them knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.asgi_programs import ASK, STARLETTE

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced
    from servers.web import Web

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
# How a request comes to have no span: variables, and what the caller tells.
WAYS = {
    "ratio 0": ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, ""),
    "always_off": ({"OTEL_TRACES_SAMPLER": "always_off"}, CALLER + "-01"),
    "the caller's is not sampled": ({}, CALLER + "-00"),
    "excluded": ({"OTEL_PYTHON_EXCLUDED_URLS": "/view", "OTEL_TRACES_SAMPLER": "always_on"}, CALLER + "-01"),
    "excluded, and of nobody": ({"OTEL_PYTHON_EXCLUDED_URLS": "/view", "OTEL_TRACES_SAMPLER": "always_on"}, ""),
}
EACH_WAY = pytest.mark.parametrize(("env", "caller"), WAYS.values(), ids=WAYS)

BARE = """
import sys
from flask import Flask
from opentelemetry import context, propagate, trace

caller, is_seen = sys.argv[1], sys.argv[2] == "seen"
app = Flask(__name__)
read = set()

class Environment(dict):
    def get(self, key, default=None):
        read.add(key)
        return super().get(key, default)

def start(status, headers, exc_info=None):
    return print

def told():
    carrier = {}
    propagate.inject(carrier)
    return carrier["traceparent"]

def below(given, start_response):
    # In the place of Flask's own, so that what is read is read by us.
    assert (start_response is start) is not is_seen
    start_response("200 OK", [])
    bodies.append(given["bodies"](told()))
    return bodies[-1]

class Lazy:
    def __init__(self, told):
        self.told = [told]

    def __iter__(self):
        self.told.append(told())
        yield b"piece"
        self.told.append(told())

    def close(self):
        self.told.append(told())

bodies = []
app.wsgi_app = below
for make in (lambda told: [b"all"], lambda told: (b"all",), Lazy):
    environ = Environment(REQUEST_METHOD="GET", PATH_INFO="/view", HTTP_USER_AGENT="x", bodies=make)
    environ["wsgi.input"] = object()
    if caller:
        environ["HTTP_TRACEPARENT"] = caller
    body = app(environ, start)
    assert b"".join(body) in (b"all", b"piece")
    assert ("HTTP_USER_AGENT" in read) is is_seen, read
    if make is not Lazy:
        assert body is bodies[-1]
body.close()
heard = bodies[-1].told
assert len(heard) == 4 and len(set(heard)) == 1, heard
assert (heard[0][-1] in "13") is is_seen, heard
assert not caller or heard[0][:35] == caller[:35], heard
assert not context.get_current()
"""


@EACH_WAY
def test_wsgi_hands_on_what_it_was_given_and_reads_nothing_but_the_context(
    env: dict[str, str], caller: str, traced: Traced
) -> None:
    run = traced(BARE, caller, "unseen", env=env)
    assert (run.returncode, run.stderr, run.spans) == (0, "", []), run


def test_wsgi_reads_and_watches_a_request_that_is_kept(traced: Traced) -> None:
    run = traced(BARE, CALLER + "-01", "seen")
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [span.name for span in run.spans] == ["GET"] * 3


ASGI = (
    STARLETTE
    + """
from opentelemetry import propagate

caller, is_seen = sys.argv[1], sys.argv[2] == "seen"
told = []

def tell():
    carrier = {}
    with tracer.start_as_current_span("inside"):
        propagate.inject(carrier)
    told.append(carrier["traceparent"])

async def pieces():
    tell()
    yield "a"
    await asyncio.sleep(0)
    tell()
    yield "b"

async def view(request):
    tell()
    return StreamingResponse(pieces(), background=BackgroundTask(tell))

async def socket(websocket):
    tell()
    await websocket.accept()
    await websocket.send_text("a")
    tell()
    await websocket.close()

app = Starlette(routes=[Route("/view", view), WebSocketRoute("/view/socket", socket)])
headers = [(b"traceparent", caller.encode())] if caller else []

async def main():
    print(*[status(await ask(app, "/view", headers=headers))])
    print(*[one["type"] for one in await ask(app, "/view/socket", kind="websocket", headers=headers)])
    at_view, at_socket, in_task = told[:3], told[4:], told[3]
    assert len(at_socket) == 2 and len(set(map(is_sampled, told))) == 1, told
    assert is_sampled(in_task) is is_seen, told
    assert {one[:35] for one in (*at_view, *at_socket)} == {caller[:35]} or not caller, told
    assert len({one[:35] for one in at_view}) == len({one[:35] for one in at_socket}) == 1, told

def is_sampled(told):
    return told[-1] in "13"

asyncio.run(main())
"""
)


@EACH_WAY
def test_asgi_streams_tasks_and_websockets_below_say_that_nobody_looks(
    env: dict[str, str], caller: str, traced: Traced
) -> None:
    run = traced(ASGI, caller, "unseen", env=env)
    sent = "websocket.accept websocket.send websocket.close"
    assert (run.stdout, run.stderr, run.spans) == (f"200\n{sent}\n", "", []), run


def test_asgi_streams_tasks_and_websockets_of_a_request_that_is_kept_are_kept(traced: Traced) -> None:
    run = traced(ASGI, CALLER + "-01", "seen")
    assert run.returncode == 0, run
    assert sorted(span.name for span in run.spans) == ["GET /view", "GET /view/socket", *["inside"] * 6, "tell"]


SAME = (
    ASK
    + """
from opentelemetry import context

given = []

async def application(scope, receive, send):
    given.append((receive, send))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})

async def main():
    from starlette.applications import Starlette

    app = Starlette()
    app.middleware_stack = application
    sent = []

    async def receive():
        pass

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    print(given[0][0] is receive, given[0][1] is send, len(sent))
    assert not context.get_current()

asyncio.run(main())
"""
)


@pytest.mark.parametrize(("sampler", "same"), [("always_off", "True True 2\n"), ("always_on", "False False 2\n")])
def test_asgi_watches_the_messages_of_requests_that_are_kept_alone(sampler: str, same: str, traced: Traced) -> None:
    run = traced(SAME, env={"OTEL_TRACES_SAMPLER": sampler})
    assert (run.stdout, len(run.spans)) == (same, sampler == "always_on"), run


CLIENTS = """
import asyncio
import sys
from flask import Flask
import httpx, psycopg, redis, requests, sqlalchemy
from opentelemetry import trace

web, dsn, cache, caller = sys.argv[1:]
app = Flask(__name__)
engine = sqlalchemy.create_engine("sqlite://")

async def by_httpx():
    async with httpx.AsyncClient() as client:
        return [(await client.get(web + "/echo")).json()["headers"]]

def calls():
    told = [requests.get(web + "/echo").json()["headers"], httpx.get(web + "/echo").json()["headers"]]
    told += asyncio.run(by_httpx())
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT 1")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 42"))
    with redis.Redis.from_url(cache) as client:
        client.get("key")
        with client.pipeline() as pipeline:
            pipeline.get("a").get("b").execute()
    with trace.get_tracer("program").start_as_current_span("inside"):
        told.append(requests.get(web + "/echo").json()["headers"])
    return [{name.lower(): value for name, value in headers.items()}["traceparent"] for headers in told]

@app.route("/view")
def view():
    def pieces():
        yield " ".join(calls()) + " "
    return app.response_class(pieces(), headers={"told": " ".join(calls())})

answer = app.test_client().get("/view", headers={"traceparent": caller} if caller else {})
heard = answer.headers["told"].split() + answer.text.split()
assert len(heard) == 8, heard
assert len({one[:35] for one in heard}) == 1 and {int(one[-2:], 16) & 1 for one in heard} == {0}, heard
assert not caller or heard[0][:35] == caller[:35], heard
"""


@EACH_WAY
def test_no_client_below_a_request_that_nobody_will_see_makes_a_span(
    env: dict[str, str], caller: str, postgres: Server, valkey: Server, web: Web, traced: Traced
) -> None:
    run = traced(CLIENTS, web.url, postgres.url, valkey.url, caller, env=env)
    assert (run.returncode, run.stderr, run.spans) == (0, "", []), run


LOOKING = (
    ASK
    + """
from flask import Flask
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling
from starlette.applications import Starlette

class Sampler(sampling.Sampler):
    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        seen.append(dict(attributes))
        return sampling.SamplingResult(sampling.Decision.DROP)
    def get_description(self):
        return "looking"

class Processor(SpanProcessor):
    def on_start(self, span, parent_context=None):
        seen.append(dict(span.attributes))

seen = []
SETUP
Flask("x").test_client().get("/a?b", headers={"user-agent": "x"}).close()
asyncio.run(ask(Starlette(), "/a?b"))
for one in seen:
    assert {one["url.path"], one["url.query"]} == {"/a", "b"} and "user_agent.original" in one, seen
    assert {"server.address", "client.address", "url.scheme", "network.protocol.version"} < set(one), seen
print(len(seen))
"""
)


@pytest.mark.parametrize(
    "setup",
    [
        "trace.set_tracer_provider(TracerProvider(sampler=Sampler()))",
        "trace.set_tracer_provider(TracerProvider(sampler=sampling.ParentBased(Sampler())))",
        "trace.set_tracer_provider(TracerProvider()); trace.get_tracer_provider().add_span_processor(Processor())",
        "trace.get_tracer_provider().add_span_processor(Processor())",
    ],
    ids=["sampler", "a part of a sampler", "processor of the program's provider", "processor of ours"],
)
def test_whoever_looks_at_a_request_as_it_arrives_sees_all_that_is_known(setup: str, traced: Traced) -> None:
    run = traced(LOOKING.replace("SETUP", setup))
    assert (run.stdout, run.stderr) == ("2\n", ""), run


LATER = """
from flask import Flask
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling
from opentelemetry import trace

class Kept(SpanProcessor):
    def on_end(self, span):
        names.append((span.name, span.attributes["url.path"]))

names = []
app = Flask(__name__)
client = app.test_client()
client.get("/before").close()
trace.set_tracer_provider(TracerProvider(sampler=sampling.ALWAYS_ON))
trace.get_tracer_provider().add_span_processor(Kept())
client.get("/after").close()
print(names)
"""


def test_a_provider_that_the_program_brings_after_the_first_request_has_its_say(traced: Traced) -> None:
    run = traced(LATER, env={"OTEL_TRACES_SAMPLER": "always_off"})
    assert run.stdout == "[('GET', '/after')]\n", run

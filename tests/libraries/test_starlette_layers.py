"""One request through many layers is one span, whatever they make of its scope; a call in process is another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libraries.asgi_programs import STARLETTE

if TYPE_CHECKING:
    from servers.program import Traced

REWRITTEN = """
import copy

def middleware(rewrite):
    def make(app):
        async def call(scope, receive, send):
            await app(rewrite(scope) if scope["type"] != "lifespan" else scope, receive, send)
        return call
    return make

def with_other_host(scope):
    # As for proxies that tell the host in a header of their own.
    return {**scope, "headers": [*(one for one in scope["headers"] if one[0] != b"host"), (b"host", b"other.test")]}

def with_other_host_and_pairs(scope):
    return with_other_host({**scope, "headers": [(name, value) for name, value in scope["headers"]]})

def deep(scope):
    kept = {name: scope[name] for name in ("app", "router", "endpoint", "starlette.exception_handlers")}
    copied = copy.deepcopy({name: value for name, value in scope.items() if name not in kept})
    return with_other_host_and_pairs({**copied, **kept})

def without_prefix(scope):
    return {**scope, "path": scope["path"].removeprefix("/inner"), "headers": list(scope["headers"])}

def with_new_headers(scope):
    return {**scope, "headers": [(name.lower(), bytes(list(value))) for name, value in scope["headers"]]}

def mounted(scope):
    # What is mounted is taken from the path, as by Starlette before 0.33.
    root = scope["root_path"].removesuffix("/inner") + "/inner"
    return with_new_headers({**scope, "root_path": root, "path": scope["path"].removeprefix("/inner")})

async def main():
    for rewrite in with_other_host, with_other_host_and_pairs, deep, without_prefix, with_new_headers, mounted:
        for root in "", "/api":
            inner = Starlette(routes=[Route("/{x}", ok), Route("/inner/{x}", ok)])
            app = Starlette(routes=[Mount("/inner", middleware(rewrite)(inner))])
            with tracer.start_as_current_span(f"{rewrite.__name__} {root}"):
                await statuses(app, "/inner/1", root_path=root)

asyncio.run(main())
"""


def test_a_request_is_one_span_whatever_middleware_makes_of_its_scope(traced: Traced) -> None:
    run = traced(STARLETTE + REWRITTEN)
    assert run.stdout == "200\n" * 12, run
    calls = [span for span in run.spans if span.kind == "INTERNAL"]
    requests = [span for span in run.spans if span.kind == "SERVER"]
    assert [span.parent_id for span in requests] == [span.span_id for span in calls], run
    assert {span.attributes["http.response.status_code"] for span in requests} == {200}


ROOTED = """
import flask
from a2wsgi import WSGIMiddleware
from fastapi import FastAPI

shop = flask.Flask("shop")
shop.get("/", endpoint="root")(lambda: "root")
shop.get("/basket/<name>", endpoint="basket")(lambda name: name)
app = Starlette(routes=[Mount("/", WSGIMiddleware(shop))])

knows = FastAPI(root_path="/api")
knows.mount("/", WSGIMiddleware(shop))

async def main():
    # The server knows the root that a proxy has taken away; or only the application does.
    await statuses(app, "/", "/basket/joe", root_path="/api")
    await statuses(knows, "/", "/basket/joe")

asyncio.run(main())
"""


def test_a_wsgi_application_below_a_root_that_is_not_in_the_path_makes_no_second_span(traced: Traced) -> None:
    run = traced(STARLETTE + ROOTED)
    assert run.stdout == "200 200\n" * 2, run
    assert [(span.name, span.parent_id) for span in run.spans] == [
        ("GET /api/", ""),
        ("GET /api/basket/<name>", ""),
    ] * 2, run


ENDED = """
class Reads:
    # Takes the whole body before it calls the application.
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        await self.app(scope, receive, send)

async def accepts(scope, receive, send):
    async def forget(message):
        pass

    await PlainTextResponse("", status_code=202)(scope, receive, send)
    await inner(scope, receive, forget)

inner = Starlette(routes=[Route("/{x}", ok)])
app = Starlette(routes=[Mount("/inner", inner)], middleware=[Middleware(Reads)])
upload = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

async def main():
    await statuses(app, "/inner/1", incoming=[*upload, {"type": "http.disconnect"}])
    await statuses(Starlette(routes=[Mount("/accepts", accepts)]), "/accepts/1")

asyncio.run(main())
"""


def test_an_application_that_is_called_when_the_client_has_gone_or_has_its_answer_makes_no_second_span(
    traced: Traced,
) -> None:
    run = traced(STARLETTE + ENDED)
    assert run.stdout == "200\n202\n", run
    assert [span.name for span in run.spans] == ["GET", "GET /accepts/{path}"], run


NESTED = """
import httpx

async def inside(request):
    with tracer.start_as_current_span("inside"):
        return PlainTextResponse("ok")

async def outside(request):
    # The same path, the very same texts as headers, as by a program that is a gateway in front of its own parts.
    async with httpx.AsyncClient(transport=httpx.ASGITransport(inner), base_url="http://shop.test") as client:
        answer = await client.get(request.url.path, headers=request.headers.raw)
    return PlainTextResponse(answer.text)

inner = Starlette(routes=[Route("/{x}", inside)])
asyncio.run(statuses(Starlette(routes=[Route("/same", outside)]), "/same"))
"""


def test_a_call_of_another_application_in_process_has_a_request_of_its_own_below_the_clients(traced: Traced) -> None:
    run = traced(STARLETTE + NESTED)
    assert run.stdout == "200\n", run
    outer, client, inner, inside = run.spans
    assert [(span.name, span.kind) for span in run.spans] == [
        ("GET /same", "SERVER"),
        ("GET", "CLIENT"),
        ("GET /{x}", "SERVER"),
        ("inside", "INTERNAL"),
    ], run
    assert [span.parent_id for span in run.spans] == ["", outer.span_id, client.span_id, inner.span_id]
    assert inside.trace_id == outer.trace_id

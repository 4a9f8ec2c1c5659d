"""FastAPI, asked in process as a server would: Starlette's spans, with what is FastAPI's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.asgi_programs import ASK

if TYPE_CHECKING:
    from servers.program import Traced

FASTAPI = (
    ASK
    + """
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

def ok():
    return "ok"

async def plain(request):
    return PlainTextResponse("ok")
"""
)
ROUTES = """
class Timed(APIRoute):
    def get_route_handler(self):
        original = super().get_route_handler()

        async def handler(request):
            return await original(request)

        return handler

inner = APIRouter(prefix="/inner", route_class=Timed)
inner.get("/{z}")(ok)
router = APIRouter(prefix="/shop")
router.get("/items/{id}")(ok)
router.include_router(inner)

@router.websocket("/ws/{room}")
async def chat(socket: WebSocket, room: str):
    await socket.accept()
    await socket.close()

app, below, rooted = FastAPI(), FastAPI(), FastAPI(root_path="/api")
for one in app, below, rooted:
    one.include_router(router, prefix="/v1")
    one.include_router(router)
app.mount("/fast/{tenant}", below)
app.mount("/star", Starlette(routes=[Route("/{x}", plain)]))
rooted.get("/{a}/{b:path}")(ok)
"""
NAMES = {
    "/v1/shop/items/7": "GET /v1/shop/items/{id}",
    "/shop/items/7": "GET /shop/items/{id}",
    "/v1/shop/inner/7": "GET /v1/shop/inner/{z}",
    "/fast/acme/shop/items/7": "GET /fast/{tenant}/shop/items/{id}",
    "/fast/acme/v1/shop/inner/7": "GET /fast/{tenant}/v1/shop/inner/{z}",
    "/star/7": "GET /star/{x}",
    "/docs": "GET /docs",
    "/openapi.json": "GET /openapi.json",
    "/nothing": "GET",
}


def test_routers_and_applications_inside_give_their_prefixes_to_the_route(traced: Traced) -> None:
    run = traced(
        FASTAPI
        + ROUTES
        + f"""
async def main():
    await statuses(app, *{list(NAMES)})
    await statuses(app, "/v1/shop/items/7", method="POST")
    await ask(app, "/v1/shop/ws/1", kind="websocket")
    await statuses(rooted, "/v1/shop/items/7", "/x/y/z")

asyncio.run(main())
"""
    )
    assert run.stdout == "200 200 200 200 200 200 200 200 404\n405\n200 200\n", run
    assert [span.name for span in run.spans] == [
        *NAMES.values(),
        "POST /v1/shop/items/{id}",
        "GET /v1/shop/ws/{room}",
        "GET /api/v1/shop/items/{id}",
        "GET /api/{a}/{b:path}",
    ], run
    assert {span.kind for span in run.spans} == {"SERVER"}
    assert {span.scope for span in run.spans} == {"otel_run.instrumentors.starlette"}


def test_exceptions_are_told_when_they_are_the_servers_fault(traced: Traced) -> None:
    run = traced(
        FASTAPI
        + """
class Own(Exception):
    pass

app = FastAPI()

@app.exception_handler(Own)
async def on_own(request, error):
    return JSONResponse({}, status_code=507)

@app.exception_handler(Exception)
async def on_all(request, error):
    return JSONResponse({}, status_code=500)

@app.get("/raises/{what}")
def raises(what: str, number: int = 0):
    raise {"value": ValueError("five"), "503": HTTPException(503), "own": Own("own"), "418": HTTPException(418)}[what]

@app.get("/wrong", response_model=int)
def wrong():
    return "no number"

asyncio.run(statuses(
    app, "/raises/value", "/raises/503", "/raises/own", "/raises/418", "/raises/418?number=x", "/wrong"))
"""
    )
    assert run.stdout == "500 503 507 418 422 500\n", run
    assert [
        (s.status, s.attributes.get("error.type"), [e["exception.type"] for _, e in s.events]) for s in run.spans
    ] == [
        ("ERROR", name, [name]) if name else ("UNSET", None, [])
        for name in (
            *("ValueError", "fastapi.exceptions.HTTPException", "__main__.Own", None, None),
            "fastapi.exceptions.ResponseValidationError",
        )
    ]


def test_what_runs_for_a_request_is_its_child_also_in_threads_and_after_it(traced: Traced) -> None:
    run = traced(
        FASTAPI
        + """
def dependency():
    with tracer.start_as_current_span("before"):
        pass
    yield 1
    with tracer.start_as_current_span("after"):
        pass

async def pieces():
    with tracer.start_as_current_span("piece"):
        yield b"x"

def task(to):
    with tracer.start_as_current_span("inside"):
        pass

app = FastAPI()

@app.get("/")
def view(tasks: BackgroundTasks, number: int = Depends(dependency)):
    tasks.add_task(task, "joe")
    with tracer.start_as_current_span("in a thread"):
        return StreamingResponse(pieces(), background=tasks)

asyncio.run(statuses(app, "/"))
"""
    )
    request, task = run.span("GET /"), run.span("task")
    assert {s.name: s.parent_id for s in run.spans} == {
        "GET /": "",
        "before": request.span_id,
        "in a thread": request.span_id,
        "piece": request.span_id,
        "after": request.span_id,
        "task": "",
        "inside": task.span_id,
    }, run
    assert task.links == [(request.trace_id, request.span_id)]
    assert task.attributes == {"code.function.name": "__main__.task"}


CLIENTS = """
import httpx
from fastapi.testclient import TestClient

app = FastAPI()
app.get("/{x}")(ok)

async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t.test") as client:
        print((await client.get("/transport")).status_code)

with tracer.start_as_current_span("test"):
    print(TestClient(app).get("/client").status_code)
    asyncio.run(main())
"""


def test_clients_in_process_are_its_callers(traced: Traced) -> None:
    run = traced(FASTAPI + CLIENTS)
    assert run.stdout == "200\n200\n", run
    requests = [span for span in run.spans if span.kind == "SERVER"]
    calls = [span for span in run.spans if span.kind == "CLIENT"]
    assert [span.attributes["url.path"] for span in requests] == ["/client", "/transport"], run
    assert [span.parent_id for span in requests] == [span.span_id for span in calls]
    assert {span.trace_id for span in run.spans} == {run.span("test").trace_id}


OWN_TELEMETRY = """
from opentelemetry.sdk.trace import TracerProvider

apps = FastAPI(), FastAPI(telemetry={"metrics": False}), FastAPI(telemetry={"tracer_provider": TracerProvider()})
for app in apps:
    print({name: app._telemetry[name] for name in ("tracing", "metrics", "logs")})
for app in apps[:2]:
    app.get("/{x}")(ok)
    asyncio.run(statuses(app, "/1"))
"""


def test_what_fastapi_tells_by_itself_is_not_told_twice(traced: Traced) -> None:
    run = traced(FASTAPI + OWN_TELEMETRY)
    assert run.stdout.splitlines() == [
        "{'tracing': False, 'metrics': True, 'logs': True}",
        "{'tracing': False, 'metrics': False, 'logs': True}",
        # Where the program has said where its spans go.
        "{'tracing': True, 'metrics': True, 'logs': True}",
        *("200", "200"),
    ], run
    assert [span.name for span in run.spans] == ["GET /{x}"] * 2, run


BOTH = """
fast, star = FastAPI(), Starlette(routes=[Route("/{x}", plain)])
fast.get("/{x}")(ok)

async def main():
    for path in "/one", "/two":
        await statuses(fast, path, headers=[(b"x-app", b"fast")])
        await statuses(star, path, headers=[(b"x-app", b"star")])

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": "/one"}, ["star /one", "fast /two", "star /two"]),
        ({"OTEL_PYTHON_STARLETTE_EXCLUDED_URLS": "/one"}, ["fast /one", "fast /two", "star /two"]),
        ({"OTEL_PYTHON_EXCLUDED_URLS": "/one"}, ["fast /two", "star /two"]),
        ({"without": "starlette"}, ["fast /one", "fast /two"]),
        # FastAPI's own telemetry is then what it is without us.
        ({"without": "fastapi", "OTEL_PYTHON_EXCLUDED_URLS": "/one"}, ["star /two"]),
    ],
)
def test_each_of_the_two_is_switched_off_and_excluded_by_its_own_name(
    traced: Traced, env: dict[str, str], expected: list[str]
) -> None:
    without = env.pop("without", "")
    if without:
        env["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = without
    env["OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"] = "x-app"
    run = traced(FASTAPI + BOTH, env=env)
    assert run.stdout == "200\n" * 4, run
    told = [span for span in run.spans if span.scope == "otel_run.instrumentors.starlette"]
    assert [
        f"{span.attributes['http.request.header.x-app'][0]} {span.attributes['url.path']}" for span in told
    ] == expected, run

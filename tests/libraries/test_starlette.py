"""Starlette, asked in process as a server would: one span for each request, with its route and its exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libraries.asgi_programs import STARLETTE

if TYPE_CHECKING:
    from servers.program import Traced


def test_a_request_is_one_span_with_all_that_its_scope_tells(traced: Traced) -> None:
    run = traced(
        STARLETTE
        + """
app = Starlette(routes=[Route("/items/{id:int}", ok)])
asyncio.run(statuses(app, "/items/7?token=x&b=1", headers=[(b"traceparent", b"00-%s-%s-01" % (b"a" * 32, b"b" * 16))]))
"""
    )
    (span,) = run.spans
    assert (run.returncode, run.stdout, run.stderr) == (0, "200\n", "")
    assert (span.name, span.kind, span.status, span.events) == ("GET /items/{id:int}", "SERVER", "UNSET", [])
    assert (span.trace_id, span.parent_id, span.scope) == ("a" * 32, "b" * 16, "otel_run.instrumentors.starlette")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/items/{id:int}",
        "url.path": "/items/7",
        "url.query": "token=REDACTED&b=1",
        "url.scheme": "http",
        "server.address": "shop.test",
        "server.port": 80,
        "client.address": "192.0.2.7",
        "network.peer.address": "192.0.2.7",
        "network.peer.port": 4711,
        "network.protocol.version": "1.1",
        "user_agent.original": "test/1",
    }


ROUTES = """
import flask
from a2wsgi import WSGIMiddleware
from starlette.staticfiles import StaticFiles
from starlette.endpoints import HTTPEndpoint

shop = flask.Flask("shop")

@shop.get("/basket/<name>")
def basket(name):
    return name

class Endpoint(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("ok")

class Nameless(BaseRoute):
    # A route of the program's own making, without a path.
    def matches(self, scope):
        return (Match.FULL if scope["path"] == "/nameless" else Match.NONE), {}

    async def handle(self, scope, receive, send):
        await PlainTextResponse("ok")(scope, receive, send)

class Own(Route):
    async def handle(self, scope, receive, send):
        await super().handle(scope, receive, send)

async def bare(scope, receive, send):
    await PlainTextResponse("ok")(scope, receive, send)

def sync(request):
    return PlainTextResponse("ok")

routes = [
    Nameless(),
    Route("/plain", ok), Route("/endpoint/{x}", Endpoint), Own("/own/{x}", sync), Route("/slash/", ok),
    Mount("/t/{tenant}", routes=[
        Route("/users/{id}", ok),
        Mount("/nested", routes=[Route("/deep/{rest:path}", ok)]),
        Mount("/wsgi", WSGIMiddleware(shop)),
        Mount("/inner", Starlette(routes=[Route("/{x}", ok)], middleware=[Middleware(HandsOn)])),
    ]),
    Mount("/files", StaticFiles(directory=".")), Mount("/bare", bare),
    Host("{name}.hosts.test", Router([Route("/hosted/{x}", ok)])),
]
"""
# path -> the name of its span, for GET
NAMES = {
    "/plain": "GET /plain",
    "/nameless": "GET",
    "/endpoint/1": "GET /endpoint/{x}",
    "/own/1": "GET /own/{x}",
    "/slash": "GET",  # a redirect, by no route
    "/nothing": "GET",
    "/t/acme/users/7": "GET /t/{tenant}/users/{id}",
    "/t/acme/nested/deep/a/b": "GET /t/{tenant}/nested/deep/{rest:path}",
    "/t/acme/wsgi/basket/joe": "GET /t/{tenant}/wsgi/basket/<name>",
    "/t/acme/wsgi/nothing": "GET /t/{tenant}/wsgi/{path}",
    "/t/acme/inner/1": "GET /t/{tenant}/inner/{x}",
    "/t/acme/inner/1/2": "GET /t/{tenant}/inner/{path}",
    "/files/app.py": "GET /files/{path}",
    "/bare/a/b": "GET /bare/{path}",
}


def test_a_route_begins_at_the_root_through_all_mounts(traced: Traced) -> None:
    run = traced(
        STARLETTE
        + ROUTES
        + f"""
plain = Starlette(routes=routes)
wrapped = Starlette(routes=routes, middleware=[Middleware(Copies), Middleware(HandsOn), Middleware(GZipMiddleware)])
asyncio.run(statuses(plain, *{list(NAMES)}))
asyncio.run(statuses(wrapped, *{list(NAMES)}))
"""
    )
    assert run.stdout == "200 200 200 200 307 404 200 200 200 404 200 404 200 200\n" * 2, run
    assert [span.name for span in run.spans] == list(NAMES.values()) * 2, run
    assert {span.kind for span in run.spans} == {"SERVER"}
    assert [f"GET {span.attributes.get('http.route', '')}".strip() for span in run.spans] == list(NAMES.values()) * 2


def test_other_methods_hosts_and_roots_have_their_routes_too(traced: Traced) -> None:
    run = traced(
        STARLETTE
        + ROUTES
        + """
app = Starlette(routes=routes)

async def main():
    await statuses(app, "/plain", method="POST")
    await statuses(app, "/hosted/1", headers=[(b"host", b"a.hosts.test")])
    await statuses(app, "/api/plain", "/api/t/acme/users/7", "/api/t/acme/wsgi/basket/joe", root_path="/api")

asyncio.run(main())
"""
    )
    assert run.stdout == "405\n200\n200 200 200\n", run
    assert [span.name for span in run.spans] == [
        "POST /plain",
        "GET /hosted/{x}",
        "GET /api/plain",
        "GET /api/t/{tenant}/users/{id}",
        "GET /api/t/{tenant}/wsgi/basket/<name>",
    ]


ERRORS = """
class Weird(Exception):
    def __str__(self):
        raise RuntimeError("no text")

async def raises(request):
    raise {"value": ValueError("five"), "503": HTTPException(503, "later"), "404": HTTPException(404),
           "key": KeyError("own"), "weird": Weird()}[request.path_params["what"]]

async def unavailable(request):
    return PlainTextResponse("", status_code=502)

def on_key(request, error):
    return JSONResponse({}, status_code=507)

class Answers(BaseHTTPMiddleware):
    # As programs do that want their errors to look alike.
    async def dispatch(self, request, call_next):
        try:
            return await call_next(request)
        except Exception:
            pass
        return PlainTextResponse("sorry", status_code=500)

class Fails:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        raise LookupError("in middleware")

def make(*middleware, **more):
    return Starlette(
        routes=[Route("/raises/{what}", raises), Route("/unavailable", unavailable)],
        exception_handlers={KeyError: on_key}, middleware=[Middleware(one) for one in middleware], **more)

PATHS = ["/raises/value", "/raises/503", "/raises/key", "/raises/weird", "/raises/404", "/unavailable"]
"""


def test_the_exception_that_became_a_page_is_the_spans(traced: Traced) -> None:
    run = traced(
        STARLETTE
        + ERRORS
        + """
for app in make(), make(debug=True), make(HandsOn), make(Copies, HandsOn, Copies), make(Answers):
    asyncio.run(statuses(app, *PATHS))
"""
    )
    assert run.stdout == "500 503 507 500 404 502\n" * 5, run
    told = [(span.status, span.attributes.get("error.type"), [e for _, e in span.events]) for span in run.spans]
    for of_one in (told[at : at + 6] for at in range(0, 30, 6)):
        assert [
            (status, error, [event["exception.message"] for event in events]) for status, error, events in of_one
        ] == [
            ("ERROR", "ValueError", ["five"]),
            ("ERROR", "starlette.exceptions.HTTPException", ["503: later"]),
            ("ERROR", "KeyError", ["'own'"]),
            # In the words of Python's own traceback.
            ("ERROR", "__main__.Weird", [of_one[3][2][0]["exception.message"]]),
            ("UNSET", None, []),
            ("ERROR", "502", []),
        ]
        assert "in raises\n" in of_one[0][2][0]["exception.stacktrace"]
        assert "str() failed" in str(of_one[3]) or "unprintable" in str(of_one[3])


def test_what_middleware_raises_is_the_spans(traced: Traced) -> None:
    run = traced(STARLETTE + ERRORS + "asyncio.run(statuses(make(HandsOn, Fails), '/unavailable'))")
    assert [(span.name, span.attributes["error.type"]) for span in run.spans] == [("GET", "LookupError")], run


def test_the_application_sends_and_sees_what_it_does_without_us(traced: Traced) -> None:
    source = (
        STARLETTE
        + """
import contextlib
import inspect

@contextlib.asynccontextmanager
async def lifespan(app):
    print("up")
    yield {"a": 1}
    print("down")

async def view(request):
    print(sorted(request.scope), request.scope["app"] is app, type(request._send).__name__)
    return PlainTextResponse("ok", headers={"x": "y"}, background=BackgroundTask(print, "later"))

app = Starlette(routes=[Route("/{x}", view)], lifespan=lifespan)

async def main():
    sent = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    await app({"type": "lifespan", "state": {}}, receive, send)
    print(sent, await ask(app, "/1"), await ask(app, "/1/2"))
    print(inspect.signature(Starlette.__call__), inspect.iscoroutinefunction(app.__call__))
    print(inspect.signature(Route.handle), inspect.iscoroutinefunction(Route.handle))

asyncio.run(main())
"""
    )
    with_us = traced(source, env={"OTEL_RUN_RESPONSE_HEADER": "off"})
    without = traced(source, env={"OTEL_SDK_DISABLED": "true"})
    assert with_us.stdout == without.stdout, with_us
    assert (with_us.stderr, without.spans) == (without.stderr, [])
    assert [span.name for span in with_us.spans] == ["GET /{x}", "print", "GET"]


def test_headers_that_can_be_read_only_once_are_the_applications(traced: Traced) -> None:
    run = traced(
        STARLETTE
        + """
async def echo(scope, receive, send):
    print([*scope["headers"]])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

async def once(scope, receive, send):
    await app({**scope, "headers": iter(scope["headers"])}, receive, send)

app = Starlette(routes=[Mount("/", echo)])
asyncio.run(statuses(once, "/items"))
""",
        env={"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "host"},
    )
    headers = [(b"host", b"shop.test"), (b"user-agent", b"test/1")]
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{headers}\n200\n", "")
    assert [(span.name, span.attributes["url.path"]) for span in run.spans] == [("GET /{path}", "/items")]

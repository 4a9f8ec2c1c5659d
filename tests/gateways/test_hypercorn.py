"""hypercorn: HTTP/2, WSGI, workers and event loops; for the odd application see test_asgi_servers.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.serving import Server, Serving

APPLICATION = """
import os


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["path"] == "/push":
        await send({"type": "http.response.push", "path": "/pushed", "headers": []})
    if scope["path"] == "/hint":
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    trailers = scope["path"] == "/trailers"
    headers = [(b"x-extensions", ",".join(scope["extensions"]).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": trailers})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
    if trailers:
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": False})
"""
PATHS = ("/plain", "/push", "/hint", "/trailers")


def test_http_2_is_told_and_its_extensions_pass(serving: Serving) -> None:
    def ask(is_traced: bool) -> tuple[Server, list[tuple[object, ...]]]:
        with (
            serving(APPLICATION, *command, traced=is_traced) as server,
            httpx.Client(http1=False, http2=True, trust_env=False, headers={"te": "trailers"}) as client,
        ):
            answers = [client.get(server.url + path) for path in PATHS]
            if is_traced:
                server.wait_for(len(PATHS))
        return server, [(answer.http_version, answer.status_code, answer.headers["x-extensions"]) for answer in answers]

    command = ["hypercorn", "app:application", "--bind", "127.0.0.1:{port}", "--worker-class", "uvloop"]
    with ThreadPoolExecutor() as pool:
        (_, wanted), (server, told) = pool.map(ask, (False, True))
    assert told == wanted
    assert told[0] == ("HTTP/2", 200, "http.response.trailers,http.response.push,http.response.early_hint")
    spans = {span.attributes["url.path"]: span for span in server.spans}
    assert tuple(spans) == PATHS, server
    assert {span.attributes["network.protocol.version"] for span in spans.values()} == {"2"}
    assert {span.attributes["http.response.status_code"] for span in spans.values()} == {200}
    assert {span.attributes["server.address"] for span in spans.values()} == {"127.0.0.1"}
    assert {span.parent_id for span in spans.values()} == {""}


def test_every_worker_is_traced(serving: Serving) -> None:
    pids: set[bytes] = set()
    asked = 0
    command = ["hypercorn", "app:application", "--bind", "127.0.0.1:{port}", "--workers", "2"]
    with serving(APPLICATION, *command) as server:
        while len(pids) < 2 and asked < 200:
            pids.add(server.ask("/").partition(b"\r\n\r\n")[2].splitlines()[1])
            asked += 1
        server.wait_for(asked)
    assert len(pids) == 2
    assert [(span.name, span.parent_id) for span in server.spans] == [("GET", "")] * asked, server
    assert {str(span.resource["process.pid"]).encode() for span in server.spans} == pids


def test_a_wsgi_application_has_one_span_and_flask_inside_adds_its_route(traced: Traced) -> None:
    run = traced(
        """
        import asyncio, functools, http.client, socket, sys
        import flask
        from hypercorn.asyncio import serve
        from hypercorn.config import Config
        from hypercorn.middleware import AsyncioWSGIMiddleware
        from opentelemetry import trace

        tracer = trace.get_tracer("app")
        app = flask.Flask("app")

        @app.get("/")
        def index():
            return "index"

        @app.get("/hello/<name>")
        def hello(name):
            tracer.start_span("inside").end()
            def pieces():
                tracer.start_span("piece").end()
                yield name
            return pieces()

        def bare(environ, start_response):
            start_response("201 Created", [])
            return iter([b"a", b"b"])

        def failing(environ, start_response):
            raise ValueError("at once")

        class Mounting:
            bridge = AsyncioWSGIMiddleware(app)

            async def __call__(self, scope, receive, send):
                await self.bridge(scope, receive, send)

        def ask(port, path):
            twice = "00-%032x-%016x-01" % (1, 2)
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                try:
                    connection.putrequest("GET", path)
                    connection.putheader("traceparent", twice)
                    connection.putheader("traceparent", twice)
                    connection.endheaders()
                    return connection.getresponse().read().decode()
                except ConnectionRefusedError:
                    pass

        async def main(application, path, mode=None, root_path=""):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            config = Config()
            config.bind = [f"127.0.0.1:{port}"]
            config.root_path = root_path
            ended = asyncio.Event()
            task = asyncio.create_task(serve(application, config, shutdown_trigger=ended.wait, mode=mode))
            print(await asyncio.to_thread(ask, port, path))
            ended.set()
            await task

        asyncio.run(main(bare, "/bare"))
        asyncio.run(main(failing, "/failing", "wsgi"))
        asyncio.run(main(app, "/hello/you"))
        asyncio.run(main(app, "/root", root_path="/root"))
        asyncio.run(main(Mounting(), "/hello/me", "asgi"))
        """
    )
    assert run.stdout.split() == ["ab", "you", "index", "me"], run
    assert [
        (span.name, span.attributes["url.path"], span.attributes["http.response.status_code"])
        for span in run.spans
        if span.kind == "SERVER"
    ] == [
        ("GET", "/bare", 201),
        ("GET", "/failing", 500),
        ("GET /hello/<name>", "/hello/you", 200),
        ("GET /root/", "/root", 200),
        ("GET /hello/<name>", "/hello/me", 200),
    ], run
    ids = {span.span_id: span.attributes["url.path"] for span in run.spans if span.kind == "SERVER"}
    assert [(span.name, ids.get(span.parent_id)) for span in run.spans if span.kind != "SERVER"] == [
        ("inside", "/hello/you"),
        ("piece", "/hello/you"),
        ("inside", "/hello/me"),
        ("piece", "/hello/me"),
    ]

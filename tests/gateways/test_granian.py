"""granian: its interfaces, workers and threads; for the odd application see test_asgi_servers.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.serving import Server, Serving

APPLICATION = """
import os

LIVED = []


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        LIVED.append(sorted(scope))
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = str((os.getpid(), LIVED, scope["headers"], sorted(scope))).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def rsgi(scope, protocol):
    protocol.response_str(200, [], scope.path + type(protocol).__name__)


class Pieces(list):
    pass


class Sized:
    def __iter__(self):
        yield b"one"
        yield b"two"

    def __len__(self):
        return 2


def failing():
    yield b"half"
    raise ValueError("too late")


def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise ValueError("at once")
    start_response("201 Created", [("Content-Type", "text/plain"), ("X-Twice", "1"), ("X-Twice", "2")])
    if path == "/nothing":
        return None
    kinds = {"/pieces": Pieces([b"a", b"b"]), "/tuple": (b"a", b"b"), "/sized": Sized(), "/failing": failing()}
    return kinds.get(path) or [path.encode(), environ["wsgi.input"].read(), type(environ).__name__.encode()]
"""
# Path -> the status that its span tells, the span's own, `error.type`.
WSGI = {
    "list": (201, "UNSET", None),
    "pieces": (201, "UNSET", None),
    "tuple": (201, "UNSET", None),
    "sized": (201, "UNSET", None),
    "nothing": (500, "ERROR", "TypeError"),
    "raises": (500, "ERROR", "ValueError"),
    "failing": (201, "ERROR", "ValueError"),
}


def test_a_wsgi_application_answers_as_without_us_and_each_request_is_one_span(serving: Serving) -> None:
    def ask(is_traced: bool) -> tuple[Server, list[bytes]]:
        with serving(APPLICATION, *command, traced=is_traced) as server:
            told = [server.ask(f"/{path}", "POST", b"body") for path in WSGI]
            if is_traced:
                server.wait_for(len(WSGI))
        # Without the date, which is the last of the headers.
        return server, [answer.partition(b"\r\ndate: ")[0] + answer.partition(b"GMT")[2] for answer in told]

    command = ["granian", "app:wsgi", "--interface", "wsgi", "--port", "{port}"]
    with ThreadPoolExecutor() as pool:
        (_, wanted), (server, given) = pool.map(ask, (False, True))
    assert given == wanted
    assert [
        (
            span.name,
            span.parent_id,
            span.attributes["url.path"],
            span.attributes.get("http.response.status_code"),
            span.status,
            span.attributes.get("error.type"),
        )
        for span in server.spans
    ] == [("POST", "", f"/{path}", *told) for path, told in WSGI.items()], server


def test_flask_adds_its_route(serving: Serving) -> None:
    flask = "import flask\napp = flask.Flask('app')\n@app.get('/hello/<name>')\ndef hello(name): return name\n"
    command = "granian app:app --interface wsgi --blocking-threads 2 --url-path-prefix /root --port {port}"
    with serving(flask, *command.split()) as server:
        assert server.ask("/root/hello/you").endswith(b"you")
        server.wait_for(1)
    (span,) = server.spans
    assert (span.name, span.attributes["url.path"]) == ("GET /root/hello/<name>", "/root/hello/you")


def test_every_worker_is_traced_and_lifespan_is_left_alone(serving: Serving) -> None:
    command = "granian app:asgi --interface asgi --workers 2 --runtime-mode mt --port {port}"
    pids: set[str] = set()
    asked = 0
    with serving(APPLICATION, *command.split()) as server:
        while len(pids) < 2 and asked < 200:
            told = server.ask("/")
            assert b"[['asgi', 'state', 'type']]" in told
            pids.add(told.partition(b"(")[2].partition(b",")[0].decode())
            asked += 1
        server.wait_for(asked)
    assert len(pids) == 2
    assert [(span.name, span.parent_id) for span in server.spans] == [("GET", "")] * asked, server
    assert {str(span.resource["process.pid"]) for span in server.spans} == pids


def test_rsgi_is_left_alone(serving: Serving) -> None:
    with serving(APPLICATION, "granian", "app:rsgi", "--interface", "rsgi", "--port", "{port}") as server:
        assert server.ask("/a").endswith(b"/aRSGIHTTPProtocol")
    assert server.spans == []


@pytest.mark.parametrize("interface", ["asgi", "asginl"])
def test_a_server_inside_of_a_program_is_traced(traced: Traced, interface: str) -> None:
    run = traced(
        f"""
        import asyncio, http.client, socket
        from granian.constants import Interfaces
        from granian.server.embed import Server

        async def application(scope, receive, send):
            if scope["type"] == "http":
                await send({{"type": "http.response.start", "status": 200, "headers": []}})
                await send({{"type": "http.response.body", "body": b"embedded"}})

        def ask(port):
            for _ in range(100):
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    connection.request("GET", "/embedded")
                    return connection.getresponse().read()
                except ConnectionRefusedError:
                    import time; time.sleep(0.05)

        async def main():
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            server = Server(application, port=port, interface=Interfaces("{interface}"), log_enabled=False)
            serving = asyncio.create_task(server.serve())
            print(await asyncio.to_thread(ask, port))
            server.stop()
            await serving

        asyncio.run(main())
        """
    )
    assert run.stdout == "b'embedded'\n", run
    assert [(span.name, span.kind, span.attributes["url.path"]) for span in run.spans] == [
        ("GET", "SERVER", "/embedded")
    ]

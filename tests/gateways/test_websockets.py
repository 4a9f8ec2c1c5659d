"""WebSockets: one span from the handshake to the end, and the same messages as without us, whichever server."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from servers.serving import Server, Serving

APPLICATION = """
import json

LOG = []


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        # Sorted, as what is told of clients that have gone comes when it comes.
        await send({"type": "http.response.body", "body": json.dumps(sorted(LOG, key=str)).encode()})
        return
    path = scope["path"].strip("/")
    LOG.append([path, scope["subprotocols"], str(await receive())])
    await PATHS[path](scope, receive, send)


async def echo(scope, receive, send):
    await send({"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-odd", b"1")]})
    while True:
        message = await receive()
        LOG.append([message["type"], sorted(message), str(message.get("code"))])
        if message["type"] == "websocket.disconnect":
            return
        reply = {"text": message["text"]} if message.get("text") else {"bytes": message["bytes"]}
        await send({"type": "websocket.send", **reply})


async def close(scope, receive, send):
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "bye"})
    await send({"type": "websocket.close", "code": 4002, "reason": "enough"})


async def deny(scope, receive, send):
    await send({"type": "websocket.close", "code": 4003})


async def page(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-odd", b"1")]})
    await send({"type": "websocket.http.response.body", "body": b"I am ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"a teapot"})


async def fail(scope, receive, send):
    raise ValueError("at once")


async def fail_late(scope, receive, send):
    await send({"type": "websocket.accept"})
    raise ValueError("too late")


async def say_nothing(scope, receive, send):
    pass


PATHS = {
    "echo": echo, "close": close, "deny": deny, "page": page, "fail": fail, "fail-late": fail_late,
    "nothing": say_nothing,
}
"""
COMMANDS = {
    "uvicorn-websockets": "uvicorn app:application --ws websockets --port {port}",
    "uvicorn-wsproto": "uvicorn app:application --ws wsproto --port {port}",
    "hypercorn": "hypercorn app:application --bind 127.0.0.1:{port}",
    "granian": "granian app:application --interface asgi --port {port}",
    "daphne": "daphne app:application --port {port}",
}
# What is asked for, and what its span tells: the status, that of the span, `error.type`.
ANSWERED = {
    "echo": (101, "UNSET", None),
    "close": (101, "UNSET", None),
    "deny": (403, "UNSET", None),
    "page": (418, "UNSET", None),
    "fail": (500, "ERROR", "ValueError"),
    "fail-late": (101, "ERROR", "ValueError"),
    "nothing": (500, "ERROR", "500"),
}
# daphne knows no `websocket.http.response` and waits for a handshake that does not come.
NEVER_ANSWERED = {"daphne": {"page", "nothing", "fail"}}
# granian takes such a page in one piece.
ANSWERED_BY = {"granian": {"page": (418, "ERROR", "RuntimeError")}}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_websocket_is_one_span_from_its_handshake_to_its_end(serving: Serving, name: str) -> None:
    command = COMMANDS[name].split()
    expected = {path: told for path, told in ANSWERED.items() if path not in NEVER_ANSWERED.get(name, ())}
    expected |= ANSWERED_BY.get(name, {})

    def talk(is_traced: bool) -> tuple[Server, list[Any]]:
        with serving(APPLICATION, *command, traced=is_traced) as server:
            said = [*(_talk(server, path) for path in expected), _log(server)]
            if is_traced:
                server.wait_for(len(said))
            return server, said

    with ThreadPoolExecutor() as pool:
        (_, wanted), (traced, given) = pool.map(talk, (False, True))
    assert given == wanted
    *sockets, _ = traced.spans
    assert [
        (
            span.name,
            span.kind,
            span.attributes["url.path"],
            span.attributes["url.scheme"],
            span.attributes.get("http.response.status_code"),
            span.status,
            span.attributes.get("error.type"),
        )
        for span in sockets
    ] == [("GET", "SERVER", f"/{path}", "ws", *told) for path, told in expected.items()], traced
    assert sockets[0].duration_ms > 250


def _talk(server: Server, path: str) -> list[Any]:
    try:
        with connect(f"ws://127.0.0.1:{server.port}/{path}", subprotocols=["chat", "other"]) as socket:  # type: ignore[list-item]
            said: list[Any] = [socket.subprotocol, socket.response and socket.response.headers.get("x-odd")]
            try:
                if path == "echo":
                    for message in ("text", b"\x00bytes"):
                        socket.send(message)
                        said.append(socket.recv(5))
                    time.sleep(0.25)
                    socket.close(4001, "mine")
                else:
                    said.append(socket.recv(5))
                    socket.recv(5)
            except ConnectionClosed as end:
                said.append(str(end))
            return said
    except InvalidStatus as refused:
        answer = refused.response
        return [answer.status_code, answer.headers.get("x-odd"), bytes(answer.body or b"")]


def _log(server: Server) -> Any:
    answer = server.ask("/log")
    return json.loads(answer[answer.index(b"[") : answer.rindex(b"]") + 1])

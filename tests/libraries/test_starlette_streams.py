"""Starlette's answers that take their time, and many at once: each span until its last byte, with its own children."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from libraries.asgi_programs import STARLETTE

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced
    from servers.receiver import Span


def requests(run: Run) -> list[Span]:
    """Return the spans of kind SERVER."""
    return [span for span in run.spans if span.kind == "SERVER"]


STREAMS = """
import anyio

async def pieces():
    for number in range(3):
        with tracer.start_as_current_span(f"piece {number}"):
            await anyio.sleep(0.02)
        yield b"x"

async def stream(request):
    return StreamingResponse(pieces())

async def endless():
    while True:
        yield b"data: x\\n\\n"
        await anyio.sleep(0.01)

async def events(request):
    return StreamingResponse(endless(), media_type="text/event-stream")

async def file(request):
    return FileResponse("app.py")

def in_thread(request):
    with tracer.start_as_current_span("in a thread"):
        return PlainTextResponse("ok")

async def slow(request):
    await anyio.sleep(60)

routes = [Route("/stream", stream), Route("/events", events), Route("/file", file), Route("/thread", in_thread),
          Route("/slow", slow)]

async def main(app):
    await statuses(app, "/stream", "/thread", "/file")
    await statuses(app, "/file", extensions={"http.response.pathsend": {}})
    await statuses(app, "/events", incoming=[{"type": "http.request"}, {"type": "http.disconnect"}])
    with anyio.move_on_after(0.1):
        await ask(app, "/slow")

anyio.run(main, Starlette(routes=routes), backend=sys.argv[1])
anyio.run(main, Starlette(routes=routes, middleware=[Middleware(HandsOn)]), backend=sys.argv[1])
"""


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_stream_lasts_until_its_last_byte_or_its_clients_leave(traced: Traced, library: str) -> None:
    run = traced(STARLETTE + STREAMS, library)
    assert (run.returncode, run.stderr) == (0, ""), run
    names = ["GET /stream", "GET /thread", "GET /file", "GET /file", "GET /events", "GET /slow"]
    assert [span.name for span in requests(run)] == names * 2, run
    assert {span.status for span in run.spans} == {"UNSET"}
    for stream, thread in (requests(run)[:2], requests(run)[6:8]):
        inside = [
            (span.name, span.parent_id) for span in run.spans if span.trace_id in (stream.trace_id, thread.trace_id)
        ]
        assert [one for one in inside if one[1]] == [
            *((f"piece {number}", stream.span_id) for number in range(3)),
            ("in a thread", thread.span_id),
        ]
        assert stream.duration_ms >= 60


CANCELLED = """
import trio

async def waits(request):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(trio.sleep_forever)

async def fails(request):
    async def fail():
        raise ValueError("five")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(fail)

async def main():
    app = Starlette(routes=[Route("/waits", waits), Route("/fails", fails)])
    for path in "/waits", "/fails":
        with trio.move_on_after(0.2):
            await ask(app, path)

trio.run(main)
"""


def test_a_nursery_that_was_cancelled_is_no_error_and_one_that_failed_is(traced: Traced) -> None:
    run = traced(STARLETTE + CANCELLED)
    assert [(span.name, span.status, span.attributes.get("error.type")) for span in run.spans] == [
        ("GET /waits", "UNSET", None),
        ("GET /fails", "ERROR", "exceptiongroup.ExceptionGroup" if sys.version_info < (3, 11) else "ExceptionGroup"),
    ], run


def test_a_websocket_is_one_span_from_its_handshake_to_its_end(traced: Traced) -> None:
    run = traced(
        STARLETTE
        + """
from starlette.websockets import WebSocketDisconnect

async def chat(socket):
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        await asyncio.sleep(0.2)

async def refuses(socket):
    await socket.close()

async def fails(socket):
    await socket.accept()
    raise ValueError("five")

app = Starlette(routes=[Mount("/ws", routes=[
    WebSocketRoute("/chat/{room}", chat), WebSocketRoute("/refuses", refuses), WebSocketRoute("/fails", fails)])])

async def main():
    hello = {"type": "websocket.receive", "text": "hello"}
    leave = {"type": "websocket.disconnect", "code": 1000}
    print(await ask(app, "/ws/chat/1", kind="websocket", incoming=[{"type": "websocket.connect"}, hello, leave]))
    for path in "/ws/refuses", "/ws/fails", "/ws/nothing":
        await ask(app, path, kind="websocket")

asyncio.run(main())
"""
    )
    assert "'hello'" in run.stdout, run
    assert [(s.name, s.attributes["http.response.status_code"], s.status, s.parent_id) for s in run.spans] == [
        ("GET /ws/chat/{room}", 101, "UNSET", ""),
        ("GET /ws/refuses", 403, "UNSET", ""),
        ("GET /ws/fails", 101, "ERROR", ""),
        ("GET /ws/{path}", 403, "UNSET", ""),
    ]
    assert run.spans[0].duration_ms < 150
    assert run.spans[2].attributes["error.type"] == "ValueError"
    assert run.spans[0].attributes["url.scheme"] == "ws"


CONCURRENT = """
import anyio
import psycopg

async def query(request):
    async with slots:
        connection = pool.pop()
        row = await (await connection.execute("SELECT %s::int", [int(request.path_params["n"])])).fetchone()
        pool.append(connection)
    return PlainTextResponse(str(row[0]))

app = Starlette(routes=[Route("/{n}", query)], middleware=[Middleware(HandsOn)])

async def main():
    global slots
    slots = asyncio.Semaphore(8)
    for _ in range(8):
        pool.append(await psycopg.AsyncConnection.connect(sys.argv[1], autocommit=True))
    answers = await asyncio.gather(*[ask(app, f"/{n}", headers=[(b"x-n", b"%d" % n)]) for n in range(200)])
    print(all(answer[1]["body"] == b"%d" % n for n, answer in enumerate(answers)))
    for connection in pool:
        await connection.close()

pool = []
asyncio.run(main())
"""


def test_requests_at_the_same_time_keep_their_own_children(traced: Traced, postgres: Server) -> None:
    run = traced(STARLETTE + CONCURRENT, postgres.url)
    assert run.stdout == "True\n", run
    queries = [span for span in run.spans if span.name.startswith("SELECT")]
    assert len(requests(run)) == len(queries) == 200
    assert sorted(span.parent_id for span in queries) == sorted(span.span_id for span in requests(run))

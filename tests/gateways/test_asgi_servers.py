"""The servers that speak ASGI: an odd application answers as without us, and each request is one span."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateways.odd_application import SOURCE

if TYPE_CHECKING:
    from servers.receiver import Span
    from servers.serving import Server, Serving

COMMANDS = {
    "uvicorn-h11": "uvicorn app:application --http h11 --loop asyncio --port {port}",
    "uvicorn-httptools": "uvicorn app:application --http httptools --loop uvloop --port {port}",
    "hypercorn": "hypercorn app:application --bind 127.0.0.1:{port}",
    "hypercorn-trio": "hypercorn app:application --worker-class trio --bind 127.0.0.1:{port}",
    "granian": "granian app:application --interface asgi --port {port}",
    # The only one that calls it by the names of the arguments.
    "daphne": "daphne app:by_name --port {port}",
}
# What is asked for, and what its span tells: the status, that of the span, `error.type`.
ANSWERED = {
    "scope": (200, "UNSET", None),
    "stream": (200, "UNSET", None),
    "empty": (204, "UNSET", None),
    "sized": (200, "UNSET", None),
    "fail": (500, "ERROR", "ValueError"),
    "go-on": (200, "UNSET", None),
    "twice": (200, "UNSET", None),
    "named": (202, "UNSET", None),
    "returns": (200, "UNSET", None),
    "upload": (201, "UNSET", None),
    "chunked": (201, "UNSET", None),
    "malformed": (500, "ERROR", "500"),
    "nothing": (500, "ERROR", "500"),
    "fail-late": (200, "ERROR", "ValueError"),
    "log": (200, "UNSET", None),
    "wait": (200, "UNSET", None),
}
# daphne never answers these; granian answers where others have given up.
NEVER_ANSWERED = {"daphne": {"malformed", "nothing", "fail-late"}}
ANSWERED_BY = {"granian": {"malformed": (200, "UNSET", None)}}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_odd_application_answers_as_without_us_and_each_request_is_one_span(serving: Serving, name: str) -> None:
    command = COMMANDS[name].split()
    expected = {path: told for path, told in ANSWERED.items() if path not in NEVER_ANSWERED.get(name, ())}
    expected |= ANSWERED_BY.get(name, {})

    def ask(is_traced: bool) -> tuple[Server, list[tuple[str, bytes]]]:
        with serving(SOURCE, *command, traced=is_traced) as server:
            answers = [(path, _masked(_answer(server, path))) for path in expected]
            if is_traced:
                server.wait_for(len(expected))
            return server, answers

    with ThreadPoolExecutor() as pool:
        (_, wanted), (traced, given) = pool.map(ask, (False, True))
    assert given == wanted
    assert "otel-run:" not in traced.output
    assert [_told(span) for span in traced.spans] == [
        ("SERVER", "", _path_of(path), *told) for path, told in expected.items()
    ], traced
    assert all(span.attributes["network.peer.port"] > 0 for span in traced.spans)
    waiting = next(span for span in traced.spans if span.attributes["url.path"] == "/wait")
    assert waiting.duration_ms < 390, "the client had gone before that"


def test_a_header_for_the_client_is_all_that_an_odd_application_gets_in_addition(serving: Serving) -> None:
    def ask(wish: str) -> tuple[Server, list[bytes]]:
        with serving(SOURCE, *COMMANDS["uvicorn-h11"].split(), env={"OTEL_RUN_RESPONSE_HEADER": wish}) as server:
            return server, [_masked(_answer(server, path)) for path in ANSWERED if path != "wait"]

    with ThreadPoolExecutor() as pool:
        (_, without), (server, given) = pool.map(ask, ("off", "traceresponse"))
    told = [re.search(rb"\r\ntraceresponse: 00-(\w+)-(\w+)-", answer) for answer in given]
    assert [re.sub(rb"\r\ntraceresponse: [^\r]*", b"", answer) for answer in given] == without
    # uvicorn's own pages for those that have not answered have none.
    assert [(found[1].decode(), found[2].decode()) for found in told if found] == [
        (span.trace_id, span.span_id)
        for span in server.spans
        if span.attributes["url.path"] not in ("/fail", "/malformed", "/nothing")
    ]


def _told(span: Span) -> tuple[object, ...]:
    told = span.attributes
    assert span.name == told["http.request.method"]
    code = told.get("http.response.status_code")
    return (span.kind, span.parent_id, told["url.path"], code, span.status, told.get("error.type"))


def _path_of(path: str) -> str:
    return "/upload" if path == "chunked" else f"/{path}"


def _answer(server: Server, path: str) -> bytes:
    if path == "upload":
        return server.ask("/upload", "POST", b"x" * 1000)
    if path == "chunked":
        return _send(server, "POST /upload", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n")
    if path == "empty":
        # So that a HEAD is among them.
        return server.ask("/empty", "HEAD")
    if path == "wait":
        return _leave(server)
    return server.ask(f"/{path}?a=1", headers=[("X-Twice", "1"), ("X-Twice", "2")])


def _send(server: Server, line: str, rest: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _leave(server: Server) -> bytes:
    """Hang up in the middle of an answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = piece = connection.recv(65536)
        while piece and b"waiting" not in answer:
            piece = connection.recv(65536)
            answer += piece
        return answer


def _masked(answer: bytes) -> bytes:
    answer = re.sub(rb"(?i)(\r\ndate: )[^\r]*", rb"\1...", answer)
    # Ports, whose digits are counted by the sizes of chunks and by Content-Length.
    answer = re.sub(rb"(127\.0\.0\.1(?::|', '?))\d+", rb"\1PORT", answer)
    return re.sub(rb"(?i)(\r\n|content-length: )[0-9a-f]+(?=\r\n)", rb"\1SIZE", answer)

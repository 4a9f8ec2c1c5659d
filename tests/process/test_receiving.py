"""The receiver that the demo and the live page share: all that OTLP/HTTP allows is taken, and nothing else hurts it."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from otel_run.command import loopback
from otel_run.command.receiving import receive
from otel_run.export.otlp_from_json import to_protobuf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_run.view.span import Span

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def request(name: str = "work", spans: int = 1) -> bytes:
    """Return a request as JSON."""
    made = [
        {
            "traceId": f"{1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": name,
            "startTimeUnixNano": "1000",
            "endTimeUnixNano": "3000",
            "attributes": [{"key": "n", "value": {"intValue": str(number)}}],
        }
        for number in range(spans)
    ]
    service = [{"key": "service.name", "value": {"stringValue": "shop"}}]
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": made}]}]}
    ).encode()


RECORD = to_protobuf(request())


class Running:
    """A receiver, and what it has taken."""

    def __init__(self, endpoint: str, spans: list[Span]) -> None:
        self.port = int(endpoint.rpartition(":")[2])
        self.spans = spans

    def post(
        self, body: bytes | Iterator[bytes], headers: Mapping[str, str], path: str = "/v1/traces", method: str = "POST"
    ) -> tuple[int, bytes]:
        """Send one request; return the status and the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers), encode_chunked=not isinstance(body, bytes))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, head: str, body: bytes = b"") -> bytes:
        """Send what is no HTTP that a library would send; return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + body)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def receiver() -> Iterator[Running]:
    spans: list[Span] = []
    with receive(0, spans.extend) as started:
        yield Running(started.endpoint, spans)


def test_a_span_sent_as_protobuf_is_taken(receiver: Running) -> None:
    assert receiver.post(RECORD, PROTOBUF) == (200, b"")
    (span,) = receiver.spans
    assert (span.trace_id, span.id, span.parent_id) == (f"{1:032x}", f"{1:016x}", "")
    assert (span.name, span.service, span.start, span.end) == ("work", "shop", 1000, 3000)
    assert dict(span.attributes) == {"n": 0}


def test_a_span_sent_as_json_is_taken_and_answered_as_json(receiver: Running) -> None:
    assert receiver.post(request(), {"Content-Type": "application/json; charset=utf-8"}) == (200, b"{}")
    assert [(span.name, dict(span.attributes)) for span in receiver.spans] == [("work", {"n": 0})]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(RECORD)),
        ("GZIP", gzip.compress(RECORD)),
        ("gzip", gzip.compress(RECORD[:10]) + gzip.compress(RECORD[10:])),
        ("deflate", zlib.compress(RECORD)),
        ("deflate", zlib.compress(RECORD)[2:-4]),
        ("identity", RECORD),
    ],
    ids=["gzip", "in capitals", "in two parts", "deflate", "raw deflate", "identity"],
)
def test_compressed_spans_are_taken(receiver: Running, encoding: str, body: bytes) -> None:
    assert receiver.post(body, {**PROTOBUF, "Content-Encoding": encoding}) == (200, b"")
    assert [span.name for span in receiver.spans] == ["work"]


def test_a_body_in_chunks_is_taken(receiver: Running) -> None:
    record = to_protobuf(request(spans=500))
    parts = (record[at : at + 1000] for at in range(0, len(record), 1000))
    assert receiver.post(parts, {**PROTOBUF, "Transfer-Encoding": "chunked"}) == (200, b"")
    assert len(receiver.spans) == 500


def test_one_connection_carries_many_requests(receiver: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=20)
    socket_of_first = None
    for body, headers in [(RECORD, PROTOBUF), (request(), JSON), (b"x", PROTOBUF), (RECORD, PROTOBUF)]:
        connection.request("POST", "/v1/traces", body, headers)
        connection.getresponse().read()
        socket_of_first = socket_of_first or connection.sock
        assert connection.sock is socket_of_first
    connection.close()
    assert len(receiver.spans) == 3


def test_an_empty_request_is_one(receiver: Running) -> None:
    assert receiver.post(b"", PROTOBUF) == (200, b"")
    assert receiver.spans == []


BOMB = gzip.compress(bytes(loopback.LONGEST_BODY + 1), 1)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, PROTOBUF, b"garbage"),
        (400, JSON, b"garbage"),
        (400, JSON, b"[]"),
        (400, JSON, b"\xff\xfe"),
        (400, JSON, b'{"resourceSpans":' + b"[" * 100_000),
        (400, {**PROTOBUF, "Content-Encoding": "gzip"}, RECORD),
        (400, {**PROTOBUF, "Content-Encoding": "gzip"}, gzip.compress(RECORD)[:-9]),
        (413, {**PROTOBUF, "Content-Encoding": "gzip"}, BOMB),
        (415, {**PROTOBUF, "Content-Encoding": "br"}, RECORD),
        (415, {**PROTOBUF, "Content-Encoding": "gzip, gzip"}, RECORD),
        (415, {"Content-Type": "text/plain"}, RECORD),
        (415, {}, RECORD),
        (403, {**PROTOBUF, "Origin": "http://evil.example"}, RECORD),
        (403, {**PROTOBUF, "Origin": "http://127.0.0.1.evil.example"}, RECORD),
        (403, {**PROTOBUF, "Origin": "null"}, RECORD),
        (403, {**PROTOBUF, "Origin": "http://[::"}, RECORD),
    ],
)
def test_what_is_no_otlp_is_refused_and_the_next_request_is_taken(
    receiver: Running, status: int, headers: dict[str, str], body: bytes
) -> None:
    assert receiver.post(body, headers)[0] == status
    assert receiver.post(RECORD, PROTOBUF)[0] == 200
    assert len(receiver.spans) == 1


def test_a_refusal_says_why_in_the_encoding_of_the_request(receiver: Running) -> None:
    status, answer = receiver.post(b"[]", JSON)
    assert (status, json.loads(answer)) == (400, {"code": 3, "message": "no OTLP: no resourceSpans"})
    assert receiver.post(b"\x0b", PROTOBUF) == (400, b"\x08\x03\x12\x14no OTLP: no protobuf")


def test_spans_without_ids_are_passed_over_unless_there_are_no_others(receiver: Running) -> None:
    body = json.loads(request(spans=3))
    spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
    del spans[1]["spanId"]
    assert receiver.post(json.dumps(body).encode(), JSON) == (200, b"{}")
    assert [dict(span.attributes) for span in receiver.spans] == [{"n": 0}, {"n": 2}]
    del spans[2], spans[0]
    assert receiver.post(json.dumps(body).encode(), JSON)[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/traces", 405),
        ("OPTIONS", "/v1/traces", 405),
        ("PUT", "/v1/traces", 405),
        ("POST", "/v1/metrics", 404),
        ("GET", "/", 404),
        ("GET", "/../../etc/passwd", 404),
    ],
)
def test_other_places_and_methods_are_refused(receiver: Running, method: str, path: str, status: int) -> None:
    assert receiver.post(b"", PROTOBUF, path, method)[0] == status


@pytest.mark.parametrize(
    ("status", "length"),
    [
        (400, "Content-Length: -1\n"),
        (400, "Content-Length: ten\n"),
        (400, "Content-Length: 1\nContent-Length: 2\n"),
        (400, "Content-Length: 3\nTransfer-Encoding: chunked\n"),
        (400, "Transfer-Encoding: gzip\n"),
        (413, f"Content-Length: {loopback.LONGEST_BODY + 1}\n"),
        (413, f"Content-Length: {'9' * 5000}\n"),
    ],
)
def test_a_length_that_can_not_be_is_refused_at_once(receiver: Running, status: int, length: str) -> None:
    head = f"POST /v1/traces HTTP/1.1\nHost: x\nContent-Type: application/x-protobuf\n{length}\n"
    assert receiver.ask(head).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-1\r\n", b"\r\n", b"3\r\nabcdef\r\n", b"f" * 9000, b"%x\r\nabc" % (loopback.LONGEST_BODY + 1)]
)
def test_chunks_that_can_not_be_are_refused_at_once(receiver: Running, body: bytes) -> None:
    head = "POST /v1/traces HTTP/1.1\nHost: x\nContent-Type: application/x-protobuf\nTransfer-Encoding: chunked\n\n"
    assert receiver.ask(head, body)[9:12] in (b"400", b"413")


def test_who_sends_too_much_still_gets_the_answer(receiver: Running) -> None:
    """Closed with unread bytes, a connection is reset, and the answer is lost on the way."""
    status, _ = receiver.post(bytes(loopback.LONGEST_BODY + 1), PROTOBUF)
    assert status == 413


def test_a_sender_that_hangs_is_let_go_and_blocks_nobody(receiver: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "_STALLED", 0.3)
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as hanging:
        hanging.sendall(head)
        assert receiver.post(RECORD, PROTOBUF)[0] == 200
        assert hanging.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_fifty_senders_at_once_lose_nothing(receiver: Running) -> None:
    record = to_protobuf(request(spans=20))
    results: list[int] = []
    senders = [threading.Thread(target=lambda: results.append(receiver.post(record, PROTOBUF)[0])) for _ in range(50)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert results == [200] * 50
    assert len(receiver.spans) == 1000


def test_the_end_does_not_wait_for_those_who_stay_connected() -> None:
    with receive(0, lambda spans: None) as started:
        port = int(started.endpoint.rpartition(":")[2])
        staying = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(10)]
        # Served, and not only in the queue of the port.
        for connection in staying:
            connection.sendall(b"GET /v1/traces HTTP/1.1\r\n\r\n")
            connection.recv(1)
        before = time.monotonic()
    assert time.monotonic() - before < 10
    for connection in staying:
        while connection.recv(65536):
            pass
        connection.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_that_is_taken_is_an_error(receiver: Running) -> None:
    with pytest.raises(OSError, match="in use"), receive(receiver.port, lambda spans: None):
        pass

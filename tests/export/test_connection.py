"""One connection for all batches: when it is used again, when not, and what comes back on it, however odd."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
import warnings
from typing import TYPE_CHECKING

import pytest

from export.scripted import OK, Scripted, answering, patiently, reset, scripted
from otel_run.export.connection import Connection
from otel_run.export.exchange import HungUpError, NoHttpError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def connection(server: Scripted) -> Iterator[Connection]:
    made = Connection(f"http://127.0.0.1:{server.port}/v1/traces", {"a": "b"}, None, None, None)
    try:
        yield made
    finally:
        made.close()


def _bodies(server: Scripted) -> list[list[bytes]]:
    return [[request.partition(b"\r\n\r\n")[2] for request in requests] for requests in server.connections]


def test_batches_share_one_connection() -> None:
    with scripted(patiently) as server, connection(server) as ours:
        for body in (b"one", b"two", b"three"):
            assert ours.post(body, 5).status == 200
    assert _bodies(server) == [[b"one", b"two", b"three"]]
    head = f"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\na: b\r\ncontent-length: 3\r\n\r\none"
    assert server.connections[0][0] == head.encode()


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    with scripted(answering(OK), patiently) as server, connection(server) as ours:
        ours.post(b"one", 5)
        time.sleep(0.1)  # so that the news has come
        ours.post(b"two", 5)
    assert _bodies(server) == [[b"one"], [b"two"]]


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_kept_connection_that_ends_without_an_answer_is_no_failure(way: str) -> None:
    def end(server: Scripted, opened: socket.socket) -> None:
        answering(OK)(server, opened)
        server.read(opened)
        if way == "reset":
            reset(opened)

    with scripted(end, patiently) as server, connection(server) as ours:
        ours.post(b"one", 5)
        assert ours.post(b"two", 5).status == 200
    assert _bodies(server) == [[b"one", b"two"], [b"two"]]


def test_a_new_connection_that_ends_without_an_answer_is_one() -> None:
    with (
        scripted(answering(b"")) as server,
        connection(server) as ours,
        pytest.raises(HungUpError, match="no HTTP answer: the connection was closed"),
    ):
        ours.post(b"one", 5)
    assert _bodies(server) == [[b"one"]]


@pytest.mark.parametrize("second", [b"HTTP/1.1 2", b"\x15\x03\x01\x00\x02\x02"])
def test_what_has_begun_to_be_answered_is_not_sent_again(second: bytes) -> None:
    with scripted(answering(OK, second), patiently) as server, connection(server) as ours:
        ours.post(b"one", 5)
        with pytest.raises(NoHttpError):
            ours.post(b"two", 5)
    assert _bodies(server) == [[b"one", b"two"]]


def test_what_gets_no_answer_in_time_is_not_sent_again() -> None:
    def fall_silent(server: Scripted, opened: socket.socket) -> None:
        answering(OK)(server, opened)
        server.read(opened)
        opened.recv(1)

    with scripted(fall_silent, patiently) as server, connection(server) as ours:
        ours.post(b"one", 5)
        with pytest.raises(TimeoutError):
            ours.post(b"two", 0.2)
    assert _bodies(server) == [[b"one", b"two"]]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore than was said",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
    ],
)
def test_after_an_answer_that_says_so_or_is_odd_a_new_connection_is_used(answer: bytes) -> None:
    with scripted(answering(answer, OK), patiently) as server, connection(server) as ours:
        assert ours.post(b"one", 0.5).status == 200
        assert ours.post(b"two", 5).status == 200
    assert _bodies(server)[:2] == [[b"one"], [b"two"]]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\nContent-Length:3\n\nabc", b"abc"),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\na: trailer\r\n\r\n", b"abc"),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 7\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n" + OK, b""),
    ],
)  # fmt: skip
def test_answers_in_all_their_forms_leave_the_connection_open(answer: bytes, body: bytes) -> None:
    with scripted(answering(answer, OK)) as server, connection(server) as ours:
        assert ours.post(b"one", 5).body == body
        assert ours.post(b"two", 5).status == 200
    assert _bodies(server) == [[b"one", b"two"]]


def test_a_body_without_a_length_goes_to_the_end() -> None:
    with scripted(answering(b"HTTP/1.1 200 OK\r\n\r\nabc")) as server, connection(server) as ours:
        assert ours.post(b"one", 5).body == b"abc"


def test_the_status_counts_whatever_becomes_of_the_body() -> None:
    with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab")) as server, connection(server) as ours:
        answer = ours.post(b"one", 5)
    assert (answer.status, answer.body) == (200, b"")


def test_an_answer_that_comes_before_the_body_was_read_is_read() -> None:
    def refuse(server: Scripted, opened: socket.socket) -> None:
        opened.recv(1000)
        opened.sendall(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        opened.shutdown(socket.SHUT_RDWR)
        time.sleep(0.3)

    with scripted(refuse) as server, connection(server) as ours:
        answer = ours.post(b"x" * 20_000_000, 5)
    assert (answer.status, answer.reason) == (413, "Content Too Large")


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 1_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        b"b" * 1_000_000,
    ],
    ids=["headers", "a header", "interim answers", "no line"],
)
def test_a_head_without_end_is_not_read_to_its_end(flood: bytes) -> None:
    with (
        scripted(answering(flood)) as server,
        connection(server) as ours,
        pytest.raises(NoHttpError, match="its head has no end"),
    ):
        ours.post(b"one", 5)


@pytest.mark.parametrize(
    "flood",
    [
        b"content-length: 1000000\r\n\r\n" + b"b" * 1_000_000,
        b"transfer-encoding: chunked\r\n\r\n" + b"1000\r\n" + b"b" * 4096 + b"\r\n1000\r\n" * 1000,
        b"\r\n" + b"b" * 1_000_000,
    ],
    ids=["counted", "chunks", "until the end"],
)
def test_of_a_long_body_some_is_read_and_the_connection_is_left(flood: bytes) -> None:
    with scripted(answering(b"HTTP/1.1 200 OK\r\n" + flood), patiently) as server, connection(server) as ours:
        answer = ours.post(b"one", 5)
        assert ours.post(b"two", 5).status == 200
    assert answer.status == 200
    assert len(answer.body) <= 65536
    assert _bodies(server) == [[b"one"], [b"two"]]


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 99 A\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"\r\n\r\n"]
)
def test_what_has_no_status_is_no_answer(line: bytes) -> None:
    with (
        scripted(answering(line)) as server,
        connection(server) as ours,
        pytest.raises(NoHttpError, match="BadStatusLine"),
    ):
        ours.post(b"one", 5)


def test_no_answer_can_write_on_a_terminal() -> None:
    with scripted(answering(b"HTTP/1.1 500 \x1b[31mred\rgone\r\n\r\n")) as server, connection(server) as ours:
        assert ours.post(b"one", 5).reason == "[31mred gone"


def test_a_name_that_is_not_ascii_and_a_path_with_a_break() -> None:
    with pytest.raises(OSError, match=r"\S"):
        Connection("http://b\xfccher.invalid:1/", {}, None, None, None).post(b"", 1)
    with scripted(patiently) as server:
        ours = Connection(f"http://127.0.0.1:{server.port}/a%20b \u20ac?c=d e", {}, None, None, None)
        ours.post(b"one", 5)
        ours.close()
    assert server.connections[0][0].startswith(b"POST /a%20b%20%E2%82%AC?c=d%20e HTTP/1.1\r\n")


def test_a_descriptor_that_is_somebody_elses_by_now_gets_no_byte_and_is_not_closed() -> None:
    with scripted(patiently) as server, connection(server) as ours:
        ours.post(b"one", 5)
        assert ours._open is not None
        number = ours._open._socket.fileno()
        with socket.socket() as theirs:
            os.dup2(theirs.fileno(), number)
            ours.post(b"two", 5)
            assert os.path.sameopenfile(number, theirs.fileno())
        os.close(number)
        ours.post(b"three", 5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ours.close()
            gc.collect()
    assert _bodies(server) == [[b"one"], [b"two", b"three"]]


@pytest.mark.parametrize("waits_for", ["room", "an answer"])
def test_a_descriptor_that_becomes_somebody_elses_while_we_wait_is_left_alone(waits_for: str) -> None:
    taken = threading.Event()

    def wait(server: Scripted, opened: socket.socket) -> None:
        if waits_for == "an answer":
            server.read(opened)
        taken.wait(20)
        if waits_for == "room":
            server.read(opened)
        opened.sendall(OK)

    body = b"b" * (30_000_000 if waits_for == "room" else 3)
    with scripted(wait) as server, connection(server) as ours:
        theirs, other = socket.socketpair()
        failures: list[OSError] = []

        def post() -> None:
            try:
                ours.post(body, 10)
            except OSError as error:
                failures.append(error)

        poster = threading.Thread(target=post)
        poster.start()
        time.sleep(0.5)  # by then it waits
        assert ours._open is not None
        number = ours._open._socket.fileno()
        other.sendall(b"for them")
        os.dup2(theirs.fileno(), number)
        taken.set()
        poster.join(20)
        assert os.path.sameopenfile(number, theirs.fileno())
        os.close(number)
        assert [str(failure) for failure in failures] == ["no HTTP answer: the program has closed its descriptor"]
        assert theirs.recv(100) == b"for them"
        theirs.close()
        assert other.recv(100) == b""
        other.close()


def test_a_connection_that_was_idle_for_long_is_closed() -> None:
    with scripted(patiently) as server, connection(server) as ours:
        ours.post(b"one", 5)
        ours.rest()
        assert ours._open is not None
        ours._used_at -= 60
        ours.rest()
        assert ours._open is None
        ours.post(b"two", 5)
    assert _bodies(server) == [[b"one"], [b"two"]]

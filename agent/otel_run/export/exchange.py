"""One HTTP/1.1 request and its answer, on a stream: as much of RFC 9112 as a client of one server needs.

Not on `http.client`, which takes eight milliseconds and five megabytes to import (TLS for plain HTTP, and a parser
of mail for six headers); nor on urllib3 or requests, which the program may have patched or mocked, has its own
versions of, and sees in its debug log. Whatever comes back is bounded, and the status decides: an answer whose body
is broken is an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_run.export.otlp_answer import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_run.export.stream import Stream

_LONGEST_HEAD = 64 * 1024  # bytes, of status line and headers, and of those of interim answers before
_LONGEST_BODY = 64 * 1024  # an ExportTraceServiceResponse has a few
_LONGEST_REASON = 80
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Answer(NamedTuple):
    """What of a response matters here."""

    status: int
    reason: str
    retry_after: str | None
    body: bytes
    # Whether the connection may be used again.
    keeps: bool


class HungUpError(ConnectionError):
    """The other side ended the connection before a byte of an answer: it need not have taken the request."""


class NoHttpError(OSError):
    """What came is no answer."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no HTTP answer: {why}")


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request. Header values are latin-1, and hold no line break: the settings see to that."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


class _Head(NamedTuple):
    version: bytes
    status: int
    reason: str
    headers: dict[str, str]


def exchange(stream: Stream, request: bytes, has_body: bool = True) -> Answer:
    """Send a request and return its answer; raises OSError: HungUpError, NoHttpError, TimeoutError.

    An answer to CONNECT has no body: what follows is the tunnel.
    """
    failure: OSError | None = None
    try:
        stream.send(request)
    except (BrokenPipeError, ConnectionResetError) as error:
        failure = error  # it may have answered before, that the request is too large for it
    received = _Received(stream)
    try:
        found = _read_head(received)
    except (ConnectionError, EOFError) as error:
        if received.has_begun:
            raise NoHttpError("BadStatusLine") from error
        why = (failure or error).args[-1:] or ("the connection was closed",)
        raise HungUpError(f"no HTTP answer: {why[0]}") from error
    body, is_whole = _read_body(received, found) if has_body else (b"", True)
    connection = found.headers.get("connection", "").lower()
    persists = "close" not in connection if found.version == b"HTTP/1.1" else "keep-alive" in connection
    keeps = persists and is_whole and received.is_empty and failure is None
    return Answer(found.status, found.reason, found.headers.get("retry-after"), body, keeps)


class _Received:
    """What has come of an answer; raises EOFError where it ends too soon."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = b""
        self._left = _LONGEST_HEAD
        self.has_begun = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that nobody has asked for."""
        return not self._buffer

    def line(self) -> bytes:
        """Return the next line, without its end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > self._left:
                raise NoHttpError("its head has no end")
            self._more()
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        self._left -= end + 1
        if self._left < 0:
            raise NoHttpError("its head has no end")
        return line.removesuffix(b"\r")

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def rest(self, most: int) -> bytes:
        """Return what comes until the end, at most `most` bytes."""
        try:
            return self.take(most)
        except EOFError:
            return self.take(len(self._buffer))

    def _more(self) -> None:
        received = self._stream.receive()
        if not received:
            raise EOFError("the connection was closed")
        self._buffer += received
        self.has_begun = True


def _read_head(received: _Received) -> _Head:
    """Return the head of the final answer; interim ones (100, 103) are passed over."""
    while True:
        version, _, rest = received.line().partition(b" ")
        code, _, reason = rest.strip().partition(b" ")
        if not version.startswith(b"HTTP/1.") or len(code) != 3 or not code.isdigit() or code < b"100":
            raise NoHttpError("BadStatusLine")
        headers: dict[str, str] = {}
        while line := received.line():
            name, _, value = line.decode("latin-1").partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if code == b"101":
            raise NoHttpError("it switches to another protocol")
        if code >= b"200":
            return _Head(version, int(code), printable(reason.decode("latin-1"), _LONGEST_REASON), headers)


def _read_body(received: _Received, found: _Head) -> tuple[bytes, bool]:
    """Return what came of the body, and whether that is all of it."""
    if found.status in (204, 304):
        return b"", True
    length = found.headers.get("content-length", "")
    coding = found.headers.get("transfer-encoding", "").lower()
    try:
        if coding:
            # With both, somebody in between may have counted by the other one.
            return (_read_chunks(received), not length) if coding == "chunked" else (b"", False)
        if length:
            return _read_counted(received, length)
        return received.rest(_LONGEST_BODY), False
    except (OSError, EOFError, ValueError):
        return b"", False


def _read_counted(received: _Received, length: str) -> tuple[bytes, bool]:
    # The length first: int() raises on thousands of digits.
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        return b"", False
    size = int(length)
    return received.take(min(size, _LONGEST_BODY)), size <= _LONGEST_BODY


def _read_chunks(received: _Received) -> bytes:
    body = b""
    while True:
        digits = received.line().partition(b";")[0].strip()
        if not 0 < len(digits) < 9 or not _HEX.issuperset(digits):
            raise ValueError("no chunk")
        size = int(digits, 16)
        if size == 0:
            while received.line():
                pass  # trailers
            return body
        if len(body) + size > _LONGEST_BODY:
            raise ValueError("too much")
        body += received.take(size)
        if received.line():
            raise ValueError("no end of a chunk")

"""Spans that programs send over OTLP/HTTP, for as long as a `with` block lasts: for the demo and the live page.

Only the two content types of OTLP are taken and nothing is said of CORS, so a web page can't send without asking
first, which is refused. Source: OTLP Specification 1.x, "OTLP/HTTP".
"""

from __future__ import annotations

import contextlib
import json
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_run.command.loopback import HOST, LONGEST_BODY, Handler, Refused, Server, serving
from otel_run.export.otlp_from_json import to_protobuf
from otel_run.export.otlp_json import to_json
from otel_run.view.reading import read_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_run.view.span import Span

PORT = 4318
_PATH = "/v1/traces"
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
# What an empty ExportTraceServiceResponse is in each.
_NOTHING = {_PROTOBUF: b"", _JSON: b"{}"}
# wbits of zlib: the header of gzip; the one that HTTP calls deflate.
_COMPRESSED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_RAW_DEFLATE = -15  # what many send as "deflate" instead
_INVALID_ARGUMENT = 3  # google.rpc.Code


@dataclass(frozen=True)
class Receiver:
    """Where it listens; /v1/traces is added by who sends."""

    endpoint: str


@contextlib.contextmanager
def receive(port: int, take: Callable[[list[Span]], None]) -> Iterator[Receiver]:
    """Call `take` with the spans of each request until the block is left; port 0 is a free one.

    `take` is called in the threads of the connections, by one at a time. Raises OSError if the port is taken.
    """
    # Unpacking and reading a large request takes many times its size: one at a time.
    turn = threading.Lock()

    class Receiving(_Handler):
        def take(self, body: bytes, encoding: str, content_type: str) -> None:
            with turn:
                take(read_request(unpack(body, encoding), content_type))

    server = Server(port, Receiving)
    with serving(server):
        yield Receiver(f"http://{HOST}:{server.port}")


def read_request(body: bytes, content_type: str = _PROTOBUF) -> list[Span]:
    """Return the spans of a request; raise ValueError for what is none, or if all are without ids."""
    spans: list[Span] = []
    try:
        for line in to_json(to_protobuf(body) if content_type == _JSON else body):
            spans.extend(read_line(line))
    except ValueError:
        if not spans:
            raise
    return spans


def unpack(body: bytes, encoding: str) -> bytes:
    """Undo the compression that a Content-Encoding names; raise Refused, also for what gets too long by it."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _COMPRESSED:
        raise Refused(415, f"only {', '.join(_COMPRESSED)} and identity can be read")
    wbits = _COMPRESSED[encoding]
    # The first byte of zlib's header: method 8, a window of at most 32 KiB.
    if encoding == "deflate" and body[:1] and (body[0] & 0x8F) != 0x08:
        wbits = _RAW_DEFLATE
    parts, left = [], LONGEST_BODY
    try:
        # A gzip stream may consist of several.
        while body:
            stream = zlib.decompressobj(wbits)
            parts.append(stream.decompress(body, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise Refused(413, f"more than {LONGEST_BODY >> 20} MiB")
            if not stream.eof:
                raise Refused(400, f"{encoding} that ends too soon")
            body = stream.unused_data
    except zlib.error:
        raise Refused(400, f"no {encoding}") from None
    return b"".join(parts)


class _Handler(Handler):
    """Answers one sender."""

    def take(self, body: bytes, encoding: str, content_type: str) -> None:
        """Take a request in; raise ValueError if it is none, Refused if it can't be unpacked."""
        raise NotImplementedError

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Take spans."""
        content_type = self.headers.get_content_type()
        try:
            if self.path.partition("?")[0] != _PATH:
                raise Refused(404, f"spans are taken at {_PATH}")
            # get_content_type() has text/plain for a request without any.
            if content_type not in _NOTHING:
                raise Refused(415, f"spans are taken as {_PROTOBUF} or {_JSON}")
            body = self.read_body()
            try:
                self.take(body, self.headers.get("Content-Encoding", ""), content_type)
            except ValueError as reason:
                raise Refused(400, f"no OTLP: {reason}") from None
        except Refused as refused:
            self._answer(refused.status, content_type, str(refused))
        else:
            self._answer(200, content_type)

    def _answer(self, status: int, content_type: str, reason: str = "") -> None:
        if status == 200:
            answer = _NOTHING[content_type]
        elif content_type == _JSON:
            answer = json.dumps({"code": _INVALID_ARGUMENT, "message": reason}).encode()
        else:
            content_type, answer = _PROTOBUF, _status(reason)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.linger()

    def _refuse_method(self) -> None:
        if self.path.partition("?")[0] == _PATH:
            self.refuse(Refused(405, "spans are sent by POST"))
        else:
            self.refuse(Refused(404, f"spans are taken at {_PATH}"))

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse_method  # noqa: N815 - http.server's names


def _status(reason: str) -> bytes:
    """Return a google.rpc.Status as protobuf; its message is cut where its length would take a second byte."""
    message = reason.encode("ascii", "replace")[:127]
    return bytes((0x08, _INVALID_ARGUMENT, 0x12, len(message))) + message

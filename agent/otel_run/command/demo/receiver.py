"""An OTLP/HTTP receiver that keeps the spans it is sent, for as long as its `with` block lasts."""

from __future__ import annotations

import contextlib
import gzip
import threading
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Span:
    """What the demo needs of a span. Ids in hex, times in nanoseconds since the epoch."""

    trace_id: str
    id: str
    parent_id: str
    name: str
    is_server: bool
    start: int
    end: int
    attributes: dict[str, Any]
    # The instrumentor that made it.
    scope: str
    service: str


class Receiver:
    """Where it listens, and what has come."""

    def __init__(self, port: int, spans: list[Span]) -> None:
        self.endpoint = f"http://{HOST}:{port}"
        self._spans = spans

    def spans(self) -> list[Span]:
        """Return what has come so far, in the order of arrival."""
        return list(self._spans)


@contextlib.contextmanager
def receive() -> Iterator[Receiver]:
    """Listen on a free loopback port until the block is left."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                if self.headers.get("Content-Encoding") == "gzip":
                    payload = gzip.decompress(payload)
                spans.extend(decode(payload))
                status = 200
            except (ValueError, OSError, EOFError, zlib.error):
                # 4xx: the sender must not try the same again.
                status = 400
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method that is replaced
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    # Not waited for: the services keep their connections open.
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Receiver(server.server_address[1], spans)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def decode(payload: bytes) -> list[Span]:
    """Read an OTLP request (protobuf). Raises ValueError if it is none."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        request: Any = ExportTraceServiceRequest()
        request.ParseFromString(payload)
    except DecodeError as error:
        raise ValueError(f"not an OTLP request: {error}") from None
    return [
        Span(
            trace_id=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            name=span.name,
            is_server=span.kind == span.SPAN_KIND_SERVER,
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            attributes=_attributes(span.attributes),
            scope=scope.scope.name,
            service=_attributes(resource.resource.attributes).get("service.name", ""),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _attributes(pairs: Any) -> dict[str, Any]:
    """Return the attributes; of the kinds of values only those that the demo prints, text and numbers."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}

"""An OTLP receiver that we did not write: rotel takes the spans over HTTP or gRPC and hands them to us.

A third party's servers judge the bytes of our exporter. What rotel accepts it forwards to a small sink in
the test's process. All tests share one rotel, so each run has a resource attribute `test.run` of its own.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import importlib.util
import socket
import sysconfig
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_run.command.demo.servers import HOST, Missing, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = "test.run"


@dataclass(frozen=True)
class Span:
    """One span as it arrived, in Python's own types."""

    name: str
    kind: str  # CLIENT, INTERNAL ...
    attributes: dict[str, Any]
    status: str  # UNSET, OK, ERROR
    status_message: str
    events: list[tuple[str, dict[str, Any]]]
    trace_id: str
    span_id: str
    parent_id: str  # "" for a root
    scope: str
    resource: dict[str, Any]
    start: int  # nanoseconds
    end: int
    flags: int
    trace_state: str
    links: list[tuple[str, str]] = field(default_factory=list)  # (trace_id, span_id)

    @property
    def duration_ms(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e6


class Receiver:
    """Where to send spans, and what has arrived."""

    def __init__(self, http_port: int, grpc_port: int, sink: Sink) -> None:
        self.http_endpoint = f"http://{HOST}:{http_port}"
        self.grpc_endpoint = f"http://{HOST}:{grpc_port}"
        self._http_port = http_port
        self._sink = sink

    def spans(self, run: str, expect: int | None = None, quiet: float = 0.1, timeout: float = 10) -> list[Span]:
        """Return the spans of `run`, earliest first, when there are `expect` of them and no more are coming.

        Rotel is asked for no more than it has: a span of our own, sent after the program's, comes out of it
        last. `quiet` is for two of its requests that overtake one another. Never raises: a test that finds
        too few spans says it better.
        """
        end = time.monotonic() + timeout
        if expect:
            self._sink.wait(run, expect, end)
        marker = uuid.uuid4().hex
        post(self._http_port, _marker(marker))
        self._sink.wait(marker, 1, end)
        while (rest := self._sink.last_arrival(run) + quiet - time.monotonic()) > 0 and time.monotonic() < end:
            time.sleep(rest)
        return sorted(self._sink.of(run), key=lambda span: (span.start, -span.end))


class Sink:
    """Spans by run, with the time at which the last came."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._spans: dict[str, list[Span]] = {}
        self._last: dict[str, float] = {}

    def add(self, spans: list[Span]) -> None:
        """Keep what came in one request."""
        with self._changed:
            for span in spans:
                run = str(span.resource.get(RUN, ""))
                self._spans.setdefault(run, []).append(span)
                self._last[run] = time.monotonic()
            self._changed.notify_all()

    def of(self, run: str) -> list[Span]:
        """Return what has come for `run`."""
        with self._changed:
            return list(self._spans.get(run, []))

    def last_arrival(self, run: str) -> float:
        """Return when the last span of `run` came; long ago if none did."""
        with self._changed:
            return self._last.get(run, 0.0)

    def wait(self, run: str, count: int, end: float) -> None:
        """Wait until `count` spans of `run` are there, at most until the monotonic time `end`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._spans.get(run, [])) >= count, max(0.0, end - time.monotonic()))


@contextlib.contextmanager
def receive() -> Iterator[Receiver]:
    """Run rotel and the sink behind it until the block is left. Raises Missing, Failed."""
    spec = importlib.util.find_spec("rotel")
    if spec is None or spec.origin is None:
        raise Missing("rotel is not installed\nhint: pip install 'otel-run[test]'")
    program = Path(spec.origin).with_name("rotel-agent")
    sink = Sink()
    grpc_port = free_port()
    with _listening(sink) as sink_port, tempfile.TemporaryDirectory(prefix="otel-run-rotel-") as folder:

        def command(port: int) -> list[str]:
            return [
                *(str(program), "start", "--exporter", "otlp", "--batch-timeout", "20ms"),
                *("--otlp-http-endpoint", f"{HOST}:{port}", "--otlp-grpc-endpoint", f"{HOST}:{grpc_port}"),
                *("--otlp-exporter-protocol", "http", "--otlp-exporter-endpoint", f"http://{HOST}:{sink_port}"),
            ]

        def is_ready(port: int, pid: int) -> bool:
            socket.create_connection((HOST, grpc_port), 1).close()
            return post(port, _marker(f"ready {pid}")) == 200 and bool(sink.of(f"ready {pid}"))

        # Some versions of the wheel are linked against libpython, which stands in no place that ld.so knows.
        libraries = {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}
        with running("rotel", command, is_ready, Path(folder), libraries) as (http_port, _):
            yield Receiver(http_port, grpc_port, sink)


def post(port: int, payload: bytes) -> int:
    """Send one OTLP request and return the status."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("POST", "/v1/traces", payload, {"Content-Type": "application/x-protobuf"})
        return connection.getresponse().status
    finally:
        connection.close()


def decode(payload: bytes) -> list[Span]:
    """Read an OTLP request."""
    request: Any = ExportTraceServiceRequest()
    request.ParseFromString(payload)
    return [
        _span(span, scope.scope.name, _attributes(resource.resource.attributes))
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _span(span: Any, scope: str, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        attributes=_attributes(span.attributes),
        status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        events=[(event.name, _attributes(event.attributes)) for event in span.events],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        scope=scope,
        resource=resource,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        flags=span.flags,
        trace_state=span.trace_state,
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def _marker(run: str) -> bytes:
    request: Any = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key=RUN).value.string_value = run
    now = time.time_ns()
    resource.scope_spans.add().spans.add(
        name="marker",
        trace_id=uuid.uuid4().bytes,
        span_id=uuid.uuid4().bytes[:8],
        start_time_unix_nano=now,
        end_time_unix_nano=now,
    )
    return bytes(request.SerializeToString())


@contextlib.contextmanager
def _listening(sink: Sink) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                payload = gzip.decompress(payload)
            sink.add(decode(payload))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

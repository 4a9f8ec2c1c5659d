"""The receiver of everybody's spans: OTLP over HTTP and ddtrace's agent protocol, a port for each who sends.

While requests are measured it only keeps what arrives. It is read when somebody asks on the first port,
`GET /PORT`: to parse protobuf in Python takes longer than to answer a request, and would be in the way.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgpack
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData


class Server(ThreadingHTTPServer):
    """One port, and what has arrived there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[str, str, bytes]] = []
        self.bytes = 0


class Handler(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Keep a batch of spans."""
        body = self._body()
        head = len(self.requestline) + 4 + sum(len(name) + len(value) + 4 for name, value in self.headers.items())
        self.server.bytes += head + len(body)
        self.server.received.append((self.path, self.headers.get("Content-Encoding", ""), body))
        self._answer(b"" if self.path == "/v1/traces" else b'{"rate_by_service": {}}')

    do_PUT = do_POST  # noqa: N815 - the name is the standard library's

    def do_GET(self) -> None:
        """Tell ddtrace what is understood here, or the benchmark what has come to a port."""
        port = self.path.strip("/")
        if port.isdigit():
            self._answer(json.dumps(summary(servers[int(port)])).encode())
        elif port == "info":
            self._answer(json.dumps({"version": "7.60.0", "endpoints": ["/v0.4/traces", "/v0.5/traces"]}).encode())
        else:
            self._answer(b"{}")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing."""


def summary(server: Server) -> dict[str, Any]:
    """Return how many spans have come, by name, and in how many bytes with all headers of HTTP."""
    names: Counter[str] = Counter()
    dropped = 0
    for path, encoding, body in list(server.received):
        raw = gzip.decompress(body) if encoding == "gzip" else body
        if path == "/v1/traces":
            names.update(otlp_names(raw))
        elif path.endswith("/traces") and raw:
            for name, is_kept in datadog_spans(path, raw):
                names[name] += is_kept
                dropped += not is_kept
    return {
        "spans": sum(names.values()),
        "not kept": dropped,
        "names": dict(names),
        "bytes": server.bytes,
        "batches": len(server.received),
        "paths": dict(Counter(path for path, _, _ in server.received)),
    }


def otlp_names(body: bytes) -> list[str]:
    """Return the names of the spans of an OTLP request."""
    return [
        span.name
        for resource in TracesData.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def datadog_spans(path: str, body: bytes) -> list[tuple[str, bool]]:
    """Return name and fate of the spans of a request to Datadog's agent; the agent throws away what is not kept."""
    loaded = msgpack.unpackb(body, strict_map_key=False)
    found = []
    if path.startswith("/v0.5"):
        texts, traces = loaded
        for trace in traces:
            metrics = [{texts[key]: value for key, value in span[10].items()} for span in trace]
            is_kept = _is_kept(metrics)
            found += [(texts[span[1]], is_kept) for span in trace]
    else:
        for trace in loaded:
            is_kept = _is_kept([span.get("metrics", {}) for span in trace])
            found += [(span["name"], is_kept) for span in trace]
    return found


def _is_kept(metrics: list[dict[str, Any]]) -> bool:
    """Tell by the sampling priority, which stands in one span of each trace."""
    return all(each.get("_sampling_priority_v1", 1) > 0 for each in metrics)


if __name__ == "__main__":
    built = [Server() for _ in range(int(sys.argv[1]) + 1)]
    servers = {server.server_address[1]: server for server in built}
    for server in built:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"ports": list(servers)}), flush=True)
    sys.stdin.read()

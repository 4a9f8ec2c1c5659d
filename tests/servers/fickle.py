"""An OTLP/HTTP receiver that answers as a test tells it to: well, with an error, or not at all."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from otel_run.command.demo.servers import HOST
from servers.receiver import Span, decode

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fickle:
    """What the receiver does, and what it got."""

    def __init__(self) -> None:
        # The statuses to answer, one a request; the last one stays.
        self.answers: list[int] = [200]
        self.response_headers: dict[str, str] = {}
        self.response_body = b""
        # How long it takes before it answers, seconds.
        self.delay = 0.0
        # Answer byte by byte, with this pause before each; and go on with the body for ever.
        self.drip = 0.0
        self.endless = False
        self.spans: list[Span] = []
        self.requests: list[dict[str, str]] = []
        self.endpoint = ""

    def wait_for_requests(self, count: int, timeout: float = 10) -> None:
        """Wait until so many requests have come."""
        end = time.monotonic() + timeout
        while len(self.requests) < count and time.monotonic() < end:
            time.sleep(0.02)


@contextlib.contextmanager
def fickle(port: int = 0) -> Iterator[Fickle]:
    """Listen on `port`, or a free one, until the block is left."""
    state = Fickle()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            state.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            time.sleep(state.delay)
            status = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            if status == 200:
                state.spans.extend(decode(body))
            with contextlib.suppress(OSError):
                if state.drip:
                    for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000:
                        self.wfile.write(bytes([byte]))
                        time.sleep(state.drip)
                if state.endless:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
                    while True:
                        self.wfile.write(b"x" * 65536)
                self.send_response(status)
                for name, value in state.response_headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(state.response_body)))
                self.end_headers()
                self.wfile.write(state.response_body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server((HOST, port), Handler) as server:
        state.endpoint = f"http://{HOST}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()

"""A server for the programs beside it, in a thread of theirs: slow, failing or gone elsewhere, as the path says."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def downstream() -> Iterator[str]:
    """Serve until the block is left; give the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body as one packet.
    wbufsize = 65536
    # How often, by path.
    asked: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        _, kind, value, *_ = f"{self.path}/".split("/")
        times = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        status = 200
        if kind == "sleep":
            time.sleep(float(value) / 1000)
        elif kind == "fails":
            # As often as the path says, then never again.
            status = 503 if times <= int(value) else 200
        elif kind == "missing":
            status = 404 if times <= int(value) else 200
        elif kind == "sent-on":
            status = 302 if int(value) else 200
        self._answer(status, {"Location": f"/sent-on/{int(value) - 1}"} if status == 302 else {}, kind == "parts")

    def _answer(self, status: int, headers: dict[str, str], is_slow: bool) -> None:
        self.send_response(status)
        for name, content in headers.items():
            self.send_header(name, content)
        self.send_header("Content-Length", "10")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for _ in range(5):
                self.wfile.write(b"ab")
                if is_slow:
                    self.wfile.flush()
                    time.sleep(0.02)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

"""HTTP servers on loopback that outlive whoever asks them badly: slowly, too much, from a web page, or for ever.

Built on http.server, which leaves open what is bounded here: connections, bodies, the time a request may take, and
how long the end takes. Bodies in chunks are read, too.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
# Those who can only be on this machine. A name that somebody's DNS resolves to 127.0.0.1 is none of them.
_OURSELVES = frozenset((HOST, "localhost", "::1"))

LONGEST_BODY = 64 << 20  # bytes
_MOST_CONNECTIONS = 256
_IDLE = 300.0  # seconds between two requests of a connection
_STALLED = 10.0  # seconds in which nothing comes of what was promised, or nothing of the answer is taken
_LONGEST_REQUEST = 60.0  # seconds that a body may take as a whole
_LINGERING = 2.0  # seconds in which a body is read that nobody wants, so that the answer is not lost
_LONGEST_LINE = 8192  # bytes, of what stands around a chunk


class Refused(Exception):
    """A request is not carried out."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def is_ours(host: str) -> bool:
    """Tell whether a Host header, or what follows `http://` in an Origin, names this machine and nothing else."""
    try:
        return urlsplit(f"//{host}").hostname in _OURSELVES
    except ValueError:
        return False


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = "otel-run"
    sys_version = ""
    error_message_format = "%(message)s\n"
    error_content_type = "text/plain; charset=utf-8"
    timeout = _IDLE
    disable_nagle_algorithm = True

    # Nothing of the request is left on the connection.
    _is_body_read = True

    def parse_request(self) -> bool:
        """Read the head; a request of another site's page ends here."""
        self._is_body_read = True
        self.connection.settimeout(_STALLED)
        if not super().parse_request():
            return False
        self._is_body_read = not self._promises_body()
        origin = self.headers.get("Origin")
        if origin is not None and not is_ours(origin.partition("://")[2]):
            self.refuse(Refused(403, "not for other sites"))
            return False
        return True

    def handle_one_request(self) -> None:
        """Wait for a request as long as it takes, but for what it promises no longer than it should."""
        self.connection.settimeout(_IDLE)
        super().handle_one_request()

    def refuse(self, refused: Refused) -> None:
        """Answer in one line of text; after a body that was not read to its end, the connection closes."""
        self.send_error(refused.status, str(refused))
        self.linger()

    def linger(self) -> None:
        """Close, if there is a body that nobody wants: read on a little, else the answer would be lost to a reset."""
        if self._is_body_read:
            return
        self.close_connection = True
        self.wfile.flush()
        end = time.monotonic() + _LINGERING
        left = LONGEST_BODY
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (seconds := end - time.monotonic()) > 0:
                self.connection.settimeout(seconds)
                read = len(self.rfile.read1(65536))
                if not read:
                    break
                left -= read

    def read_body(self) -> bytes:
        """Return the body; raise Refused for one that is too long, too slow, or not as HTTP has it."""
        parts = self._chunks() if self._is_chunked() else self._counted()
        try:
            body = b"".join(parts)
        except TimeoutError:
            raise Refused(408, "the body came too slowly") from None
        self._is_body_read = True
        return body

    def end_headers(self) -> None:
        """Add what holds for each answer."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if not (self._is_body_read or self.close_connection):
            self.send_header("Connection", "close")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the method that is replaced
        """Say nothing."""

    def _promises_body(self) -> bool:
        return "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0"

    def _is_chunked(self) -> bool:
        encoding = self.headers.get_all("Transfer-Encoding", [])
        if not encoding:
            return False
        # Both lengths at once are how one request is made to look like two.
        if "Content-Length" in self.headers or [value.strip().lower() for value in encoding] != ["chunked"]:
            raise Refused(400, "a body of unknown length")
        return True

    def _counted(self) -> Iterator[bytes]:
        given = self.headers.get_all("Content-Length", ["0"])
        if len(set(given)) > 1 or not (given[0].isascii() and given[0].isdigit()):
            raise Refused(400, "a body of unknown length")
        # int() itself refuses thousands of figures.
        if len(given[0]) > 20 or (length := int(given[0])) > LONGEST_BODY:
            raise Refused(413, f"more than {LONGEST_BODY >> 20} MiB")
        yield from self._take(length, time.monotonic() + _LONGEST_REQUEST)

    def _chunks(self) -> Iterator[bytes]:
        end = time.monotonic() + _LONGEST_REQUEST
        left = LONGEST_BODY
        while size := self._size_of_chunk():
            left -= size
            if left < 0:
                raise Refused(413, f"more than {LONGEST_BODY >> 20} MiB")
            yield from self._take(size, end)
            if self._line():
                raise Refused(400, "a chunk of another length")
        for _ in range(100):
            if not self._line():
                return
        raise Refused(400, "too many trailers")

    def _size_of_chunk(self) -> int:
        size = self._line().partition(b";")[0].strip()
        if not size or len(size) > 16 or size.strip(b"0123456789abcdefABCDEF"):
            raise Refused(400, "a chunk without a length")
        return int(size, 16)

    def _line(self) -> bytes:
        line = self.rfile.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise Refused(400, "a body that ends too soon")
        return line.rstrip(b"\r\n")

    def _take(self, length: int, end: float) -> Iterator[bytes]:
        while length:
            part = self.rfile.read1(min(length, 1 << 20))
            if not part:
                raise Refused(400, "a body that ends too soon")
            if time.monotonic() > end:
                raise Refused(408, "the body came too slowly")
            length -= len(part)
            yield part


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One thread for each connection, so nobody waits for another; at the end all connections are closed."""

    # Not waited for: services keep their connections open.
    daemon_threads, block_on_close = True, False
    allow_reuse_address = True
    # Else a second viewer would get every other connection of the first.
    allow_reuse_port = False
    request_queue_size = 128

    def __init__(self, port: int, handler: type[Handler]) -> None:
        """Listen on the port, 0 for a free one; raise OSError if it is taken."""
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((HOST, port), handler)
        self.port = int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Tell whether there is room for one more."""
        del client_address
        with self._lock:
            if len(self._connections) >= _MOST_CONNECTIONS:
                return False
            self._connections.add(request)
            return True

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that broke; mistakes of ours are told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """Break what is still open, so that the threads end."""
        with self._lock:
            open_ones = list(self._connections)
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[None]:
    """Answer until the block is left; then close what is open."""
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="otel-run http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        server.close_connections()
        thread.join()

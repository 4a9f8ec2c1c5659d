"""A real HTTP/1.1 server in a thread, whose paths behave as downstream services do, well or badly."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Web:
    """Where the server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @property
    def peer(self) -> dict[str, Any]:
        """The attributes of the other end of a connection to it."""
        return {"network.peer.address": self.host, "network.peer.port": self.port}

    def described(self, path: str, status: int | None = 200, resends: int = 0, **others: Any) -> dict[str, Any]:
        """Return the attributes of the span of a GET; those of an answer unless `status` is None.

        `resends` is how many requests of the same call went out before.
        """
        attributes: dict[str, Any] = {
            "http.request.method": "GET",
            "url.full": self.url + path,
            "server.address": self.host,
            "server.port": self.port,
        }
        if resends:
            attributes["http.request.resend_count"] = resends
        if status is not None:
            attributes |= {"http.response.status_code": status, "network.protocol.version": "1.1"} | self.peer
            if status >= 400:
                attributes["error.type"] = str(status)
        return attributes | others


def serve() -> contextlib.AbstractContextManager[Web]:
    """Serve until the block is left."""
    return _serve(_Handler)


def serve_proxy() -> contextlib.AbstractContextManager[Web]:
    """Serve as a forward proxy for plain HTTP until the block is left."""
    return _serve(_Proxy)


@contextlib.contextmanager
def _serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[Web]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Web("127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    # Not waited for at the end: a client may keep its connection open.
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.failures: dict[str, list[str]] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away in the middle are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    """Answers every method alike, unknown ones too."""

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        url = urlsplit(self.path)
        body = self._read_body()
        kind, _, rest = url.path.strip("/").partition("/")
        if kind == "status":
            self._send(int(rest), {"status": int(rest)})
        elif kind == "redirect":
            self._send(302, {}, ("Location", "/echo"))
        elif kind == "slow":
            time.sleep(float(parse_qs(url.query).get("seconds", ["1"])[0]))
            self._send(200, {"slow": True})
        elif kind == "reset":
            self._reset()
        elif kind == "failing":
            self._fail_at_first(rest, parse_qs(url.query))
        elif kind == "digest":
            self._ask_for_digest()
        elif kind == "body":
            self._send_body_slowly(rest)
        elif kind == "stream":
            self._stream()
        elif kind == "echo":
            headers = dict(self.headers.items())
            told = {"method": self.command, "path": self.path, "headers": headers}
            self._send(200, told | {"body": body.decode(errors="replace")})
        else:
            self._send(404, {"status": 404})

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # What is left unread would be taken for the next request, and the connection be reset.
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, told: object, *headers: tuple[str, str]) -> None:
        payload = json.dumps(told).encode()
        bodiless = self.command == "HEAD" or status in (204, 304) or status < 200
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "application/json")):
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if not bodiless:
            self.wfile.write(payload)

    def _fail_at_first(self, key: str, query: dict[str, list[str]]) -> None:
        """Answer `key` as told by `?with=`, a status or "reset", each once; then as /echo."""
        failures = self.server.failures.setdefault(key, query["with"][0].split(","))  # type: ignore[attr-defined]
        failure = failures.pop(0) if failures else "200"
        if failure == "reset":
            self._reset()
        else:
            told = {"path": self.path, "headers": dict(self.headers.items())}
            self._send(int(failure), told, *([("Location", "/echo")] if failure.startswith("3") else []))

    def _ask_for_digest(self) -> None:
        if self.headers.get("Authorization", "").startswith("Digest"):
            self._send(200, {"headers": dict(self.headers.items())})
        else:
            challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm="MD5"'
            self._send(401, {}, ("WWW-Authenticate", challenge))

    def _send_body_slowly(self, how: str) -> None:
        """Send the headers at once and the body after 0.3 s: whole, or "cut" short, or "redirect"-ing."""
        self.send_response(302 if how == "redirect" else 200)
        self.send_header("Content-Length", "10")
        if how == "redirect":
            self.send_header("Location", "/echo")
        self.end_headers()
        self.wfile.write(b"01234")
        time.sleep(0.3)
        if how == "cut":
            self.close_connection = True
        else:
            self.wfile.write(b"56789")

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(5):
            chunk = f"chunk {number}\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            time.sleep(0.01)
        self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        # Closing with a linger time of zero sends RST in place of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Fetch what the absolute URL names and hand it on."""
        url = urlsplit(self.path)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=10)
        connection.request("GET", f"{url.path}?{url.query}", headers=dict(self.headers.items()))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

"""One HTTP request at a time to one place, within a deadline, on the standard library alone.

Not on urllib3 or requests: the program may have patched or mocked them, has its own versions of them, and
sees in its debug log what they say. And their timeouts are for each read, so that a receiver which sends
a byte now and then would hold us for ever.
"""

from __future__ import annotations

import base64
import http.client
import io
import ssl
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

# What the standard library would import in the middle of the first request; here nobody forks meanwhile.
import encodings.idna  # noqa: F401  # isort: skip
import stringprep  # noqa: F401  # isort: skip

from otel_run.export.sender import shown

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_LONGEST_ANSWER = 64 * 1024  # bytes; an ExportTraceServiceResponse has a few


class Answer(NamedTuple):
    """What of a response matters here."""

    status: int
    reason: str
    retry_after: str | None
    body: bytes


class Connection:
    """Posts to one URL: TLS, a client certificate, basic authentication, the environment's proxy."""

    def __init__(
        self, url: str, headers: Mapping[str, str], ca: str | None, certificate: str | None, key: str | None
    ) -> None:
        """Raise OSError for a certificate file that can't be read, ValueError for a proxy of another kind."""
        parts = urlsplit(url)
        self._secure = parts.scheme.lower() == "https"
        self._host, self._port = parts.hostname or "localhost", parts.port or (443 if self._secure else 80)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"host": parts.netloc.rpartition("@")[2], **_authorization("authorization", parts), **headers}
        self._tls = _tls(ca, certificate, key) if self._secure else None
        self._proxy = _proxy_of(parts)
        # Where to, as it may be printed.
        self.shown = shown(url)
        self._open: http.client.HTTPConnection | None = None

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send one request and read its answer, all within `timeout` seconds; raises OSError."""
        deadline = time.monotonic() + timeout
        try:
            if self._open is not None:
                try:
                    return self._exchange(self._open, body, deadline)
                except (OSError, http.client.HTTPException):
                    self.close()  # the receiver may have closed a connection that was kept
            self._open = self._connect(deadline)
            return self._exchange(self._open, body, deadline)
        except http.client.HTTPException as error:
            self.close()
            raise OSError(f"no HTTP answer: {type(error).__name__}") from error
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if one is open."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.close()

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        host, port = (self._proxy.hostname or "", self._proxy.port or 80) if self._proxy else (self._host, self._port)
        connection = http.client.HTTPConnection(host, port, timeout=max(0.01, deadline - time.monotonic()))
        if self._proxy is not None and self._secure:
            connection.set_tunnel(self._host, self._port, _authorization("proxy-authorization", self._proxy))
        try:
            connection.connect()
        except OSError as error:
            if self._proxy is not None:
                raise OSError(f"the proxy {host}:{port}: {error.strerror or error}") from error
            raise
        opened: Any = connection.sock
        if self._tls is not None:
            opened = self._tls.wrap_socket(opened, server_hostname=self._host)
        connection.sock = _Timed(opened)
        return connection

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes, deadline: float) -> Answer:
        timed: Any = connection.sock
        timed.deadline = deadline
        path, headers = self._path, self._headers
        if self._proxy is not None and not self._secure:
            path = f"http://{self._headers['host']}{path}"
            headers = {**headers, **_authorization("proxy-authorization", self._proxy)}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        received = response.read(_LONGEST_ANSWER)
        if not response.isclosed():
            self.close()  # more of it than anybody needs
        return Answer(response.status, response.reason, response.getheader("retry-after"), received)


class _Timed:
    """A socket whose every operation ends at one deadline (of time.monotonic)."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._readers = 0
        self._is_closing = False
        self.deadline = 0.0

    def settle(self) -> socket.socket:
        """Return the socket with the time that is left as its timeout; raise TimeoutError if none is."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._socket

    def sendall(self, data: bytes) -> None:
        """Send; the timeout of a socket is for all of it."""
        self.settle().sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what a response is read from."""
        self._readers += 1
        return io.BufferedReader(_Received(self))

    def close(self) -> None:
        """Close the socket when what is read from it is closed too: http.client closes the former first."""
        self._is_closing = True
        if not self._readers:
            self._socket.close()

    def reader_closed(self) -> None:
        """Note that one reader is done."""
        self._readers -= 1
        if self._is_closing:
            self.close()


class _Received(io.RawIOBase):
    def __init__(self, timed: _Timed) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._timed.settle().recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._timed.reader_closed()


def _tls(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if ca is None:
        try:
            # Comes with requests, and is all that there is in an image without the system's certificates.
            import certifi
        except ImportError:
            pass
        else:
            context.load_verify_locations(certifi.where())
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def _authorization(header: str, parts: SplitResult) -> dict[str, str]:
    """Return the header for the user and password in a URL, if it has any."""
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {header: "Basic " + base64.b64encode(pair.encode()).decode("ascii")}


def _proxy_of(parts: SplitResult) -> SplitResult | None:
    proxy = getproxies().get(parts.scheme.lower())
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme != "http" or not found.hostname:
        raise ValueError(f"a proxy must be http://host:port, not {found.scheme}://")
    return found

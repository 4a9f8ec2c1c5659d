"""Requests to one place over one connection, which is kept between batches as long as it is good for another.

A connection that was kept is a guess: the receiver may have closed it, and the news may still be under way. If it
turns out so before a byte of an answer has come, the request goes out once more, on a new connection.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from otel_run.export import stream
from otel_run.export.exchange import Answer, HungUpError, exchange, head
from otel_run.export.proxy import proxy_of
from otel_run.export.sender import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_run.export.stream import Stream

# Seconds. Receivers and what is between close idle connections after a minute, some after less.
_LONGEST_IDLE = 30.0
# Of a path and a query; `%` too, for what is quoted already.
_PLAIN = "/%:@!$&'()*+,;=~-._?"


class Connection:
    """Posts to one URL: TLS, a client certificate, basic authentication, the environment's proxy."""

    def __init__(
        self, url: str, headers: Mapping[str, str], ca: str | None, certificate: str | None, key: str | None
    ) -> None:
        """Raise OSError for a certificate file that can't be read, ValueError for a proxy of another kind."""
        parts = urlsplit(url)
        self._secure = parts.scheme.lower() == "https"
        self._host, self._port = parts.hostname or "localhost", parts.port or (443 if self._secure else 80)
        self._proxy = proxy_of(parts)
        authority = _ascii(parts.netloc.rpartition("@")[2])
        target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), _PLAIN)
        self._headers = {"host": authority, **_authorization("authorization", parts), **headers}
        if self._proxy is not None and not self._secure:
            target = f"http://{authority}{target}"
            self._headers.update(_authorization("proxy-authorization", self._proxy))
        self._target = target
        if self._secure:
            from otel_run.export import tls

            self._wrap = tls.SecureStream
            self._tls = tls.context(ca, certificate, key)
        # Where to, as it may be printed.
        self.shown = shown(url)
        self._open: Stream | None = None
        self._used_at = 0.0

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send one request and read its answer, all within `timeout` seconds; raises OSError."""
        deadline = time.monotonic() + timeout
        request = head("POST", self._target, {**self._headers, "content-length": str(len(body))}) + body
        self.rest()
        if self._open is not None:
            try:
                return self._exchange(self._open, request, deadline)
            except HungUpError:
                pass
        self._open = self._connect(deadline)
        return self._exchange(self._open, request, deadline)

    def rest(self) -> None:
        """Close a connection that is good for nothing more."""
        opened = self._open
        if opened is not None and (time.monotonic() - self._used_at > _LONGEST_IDLE or not opened.is_usable()):
            self.close()

    def close(self) -> None:
        """Close the connection, if one is open."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    def _exchange(self, opened: Stream, request: bytes, deadline: float) -> Answer:
        opened.deadline = deadline
        keeps = False
        try:
            answer = exchange(opened, request)
            keeps = answer.keeps
        finally:
            if not keeps:
                self.close()
        self._used_at = time.monotonic()
        return answer

    def _connect(self, deadline: float) -> Stream:
        host, port = (self._proxy.hostname or "", self._proxy.port or 80) if self._proxy else (self._host, self._port)
        try:
            opened = stream.connect(_ascii(host).encode(), port, deadline)
        except OSError as error:
            if self._proxy is not None:
                raise OSError(f"the proxy {host}:{port}: {error.strerror or error}") from error
            raise
        if not self._secure:
            return opened
        if self._proxy is not None:
            self._tunnel(opened, self._proxy)
        return self._wrap(opened, self._tls, _ascii(self._host))

    def _tunnel(self, plain: Stream, proxy: SplitResult) -> None:
        """Have the proxy connect us; raise OSError, after closing, if it does not."""
        host = _ascii(self._host)
        target = f"{f'[{host}]' if ':' in host else host}:{self._port}"
        headers = {"host": target, **_authorization("proxy-authorization", proxy)}
        try:
            answer = exchange(plain, head("CONNECT", target, headers), has_body=False)
        except OSError as error:
            plain.close()
            raise OSError(f"the proxy {proxy.hostname}:{proxy.port or 80}: {error.strerror or error}") from error
        if not 200 <= answer.status < 300:
            plain.close()
            raise OSError(f"the proxy {proxy.hostname}:{proxy.port or 80}: {answer.status} {answer.reason}")


def _ascii(host: str) -> str:
    # The codec for other names is imported by whoever has one.
    return host if host.isascii() else host.encode("idna").decode()


def _authorization(header: str, parts: SplitResult) -> dict[str, str]:
    """Return the header for the user and password in a URL, if it has any."""
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {header: "Basic " + base64.b64encode(pair.encode()).decode("ascii")}

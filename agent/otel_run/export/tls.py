"""A stream under TLS. Imported for https alone: it costs four milliseconds and four megabytes.

OpenSSL works on memory, and the bytes go through the stream below. So the socket, its deadline and whose its
descriptor is are in one place, and none of it is gevent's.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from otel_run.export.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable


class SecureStream(Stream):
    """A stream with TLS on it. Ends without a goodbye, as HTTP clients do: it tells nobody anything."""

    def __init__(self, plain: Stream, context: ssl.SSLContext, host: str) -> None:
        """Shake hands over `plain`, within its deadline; raise OSError, after closing, if that fails."""
        super().__init__(plain._socket, plain._identity)
        self.deadline = plain.deadline
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=host)
            self._do(self._tls.do_handshake)
        except BaseException:
            self.close()
            raise

    def send(self, data: bytes) -> None:
        """Send all of it; raises OSError, TimeoutError."""
        left = memoryview(data)
        while left:
            left = left[self._do(self._tls.write, left) :]

    def receive(self) -> bytes:
        """Return some bytes, none at the end; raises OSError, TimeoutError."""
        try:
            received: bytes = self._do(self._tls.read, 16 * 1024)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        return received

    def is_usable(self) -> bool:
        """Tell whether another request may be sent. Tickets for a later session may have come; nothing else may."""
        if super().is_usable():
            return True
        if not self._is_own():
            return False
        try:
            self._received.write(self._socket.recv(16 * 1024))
            self._tls.read(1)
        except ssl.SSLWantReadError:
            return super().is_usable()
        except OSError:
            pass
        return False

    def _do(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Do one step of TLS, with all the sending and receiving that it takes."""
        while True:
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                received = super().receive()
                if received:
                    self._received.write(received)
                else:
                    self._received.write_eof()
                continue
            except ssl.SSLError:
                self._flush()  # what the other side is told of it
                raise
            self._flush()
            return result

    def _flush(self) -> None:
        if self._to_send.pending:
            super().send(self._to_send.read())


def context(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """Return what to trust and who we are; raise OSError for a file that can't be read."""
    made = ssl.create_default_context(cafile=ca)
    if ca is None:
        try:
            # Comes with requests, and is all that there is in an image without the system's certificates.
            import certifi
        except ImportError:
            pass
        else:
            made.load_verify_locations(certifi.where())
    if certificate is not None:
        made.load_cert_chain(certificate, key)
    return made

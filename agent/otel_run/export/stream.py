"""One TCP connection that ends in time, and that knows whether its descriptor is still its own.

On `_socket`, the C module: `socket.socket` may be gevent's, or a stand-in that a program's tests have put there,
and neither is meant for a thread that the program does not know of.
"""

from __future__ import annotations

import _socket
import os
import time
from _socket import IPPROTO_TCP, MSG_PEEK, SOCK_STREAM, TCP_NODELAY, getaddrinfo, socket

_CHUNK = 16 * 1024  # bytes
# A program may have SIGPIPE end it, and the last spans may be sent in its main thread.
_NO_SIGNAL: int = getattr(_socket, "MSG_NOSIGNAL", 0)


class Stream:
    """A socket, whose every operation ends at one deadline.

    While one waits, the descriptor may become somebody else's. So each waits first, without sending or taking a byte,
    and then looks whose it is.
    """

    def __init__(self, opened: socket, identity: tuple[int, int] | None) -> None:
        """Take a socket, and what `identify` has told of it when it was new."""
        self._socket = opened
        self._pid = os.getpid()
        self._identity = identity
        # Of time.monotonic.
        self.deadline = 0.0

    def send(self, data: bytes) -> None:
        """Send all of it; raises OSError, TimeoutError."""
        left = memoryview(data)
        while left:
            self._settled().send(b"", _NO_SIGNAL)
            left = left[self._still_ours().send(left, _NO_SIGNAL) :]

    def receive(self) -> bytes:
        """Return some bytes, none at the end; raises OSError, TimeoutError."""
        self._settled().recv(1, MSG_PEEK)
        return self._still_ours().recv(_CHUNK)

    def is_usable(self) -> bool:
        """Tell whether another request may be sent: it is ours, and the other side has neither spoken nor hung up."""
        if not self._is_own():
            return False
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close it; in a forked child, close the child's copy and leave the connection to the parent."""
        if self._is_ours():
            self._socket.close()
        else:
            self._socket.detach()

    def _is_own(self) -> bool:
        """Tell whether this process opened it: two that speak TLS over one connection would break it."""
        return self._pid == os.getpid() and self._is_ours()

    def _is_ours(self) -> bool:
        # A program that makes itself a daemon closes every number, and the next file it opens gets ours: no byte may
        # go there, nor may it be closed.
        return identify(self._socket) == self._identity

    def _still_ours(self) -> socket:
        if not self._is_ours():
            raise ConnectionResetError("the program has closed its descriptor")
        return self._socket

    def _settled(self) -> socket:
        """Return the socket with the time that is left as its timeout; raise TimeoutError if none is."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._socket


def identify(opened: socket) -> tuple[int, int] | None:
    """Return what tells this socket from whatever else may get its number."""
    try:
        found = os.fstat(opened.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(host: bytes, port: int, deadline: float) -> Stream:
    """Return a stream to the first of the host's addresses that answers; raises OSError."""
    failure: OSError | None = None
    # Bytes and not a str: those would be encoded by a codec that is imported for it.
    addresses = getaddrinfo(host, port, 0, SOCK_STREAM)
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        opened = socket(family, kind, protocol)
        made = Stream(opened, identify(opened))
        try:
            # An address that swallows everything leaves time for the next one.
            opened.settimeout(max(0.01, (deadline - time.monotonic()) / (len(addresses) - index)))
            opened.connect(address)
            opened.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        except OSError as error:
            made.close()
            failure = error
        else:
            made.deadline = deadline
            return made
    raise failure or OSError("no address found")

"""Somebody else's work for the cache, which does one thing at a time: a report, in scripts of 30 ms each.

Whoever comes meanwhile waits for the rest of one script and for the whole of the next, which has been sent while the
first ran: 30 to 60 ms, whenever it is and however slow the machine is. One client alone would leave a gap after each.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.command.demo.servers import Server

_TIMEOUT = 30.0
_SCRIPT = (
    b"""EVAL "local sum, stop = 0, os.clock() + 0.03 while os.clock() < stop do sum = sum + 1 end return sum" 0\r\n"""
)


@contextlib.contextmanager
def reporting(cache: Server) -> Iterator[None]:
    """Keep the cache busy, from the first line of the block to its last."""
    with _connect(cache) as running, _connect(cache) as next_one:
        running.sendall(_SCRIPT)
        is_over = threading.Event()
        thread = threading.Thread(target=_report, args=(running, next_one, is_over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def _connect(cache: Server) -> socket.socket:
    return socket.create_connection((cache.host, cache.port), _TIMEOUT)


def _report(running: socket.socket, next_one: socket.socket, is_over: threading.Event) -> None:
    # The cache may be stopped meanwhile, by a signal that ends all of us.
    with contextlib.suppress(OSError):
        while not is_over.is_set():
            next_one.sendall(_SCRIPT)
            if not running.recv(1024):
                return
            running, next_one = next_one, running
        running.recv(1024)

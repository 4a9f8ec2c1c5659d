"""A thread that is told of signals by the system, in the moment in which they come, whatever the main thread does.

Python's handler in C writes each signal's number to a file descriptor (`signal.set_wakeup_fd`): to a pipe of ours, as
long as the program has set none of its own. An event loop that has is woken by that itself.

The pipe is made of sockets, of which the system tells who has written. A child that was forked in C writes there too,
and what has come to it is no reason for its parent to end.
"""

from __future__ import annotations

import _signal
import _socket
import os
import sys
import time
from typing import TYPE_CHECKING

from otel_run import native
from otel_run.export import thread

if TYPE_CHECKING:
    from collections.abc import Callable

_REST = b"\0"
_FAR = 100
_ROOM = 64  # bytes for what the system tells of the writer
_MOMENT = 0.05  # seconds that a thread which waits for nothing takes to end

_pipe: _Pipe | None = None


class _Pipe:
    """Where the numbers are written, and the thread that reads them."""

    def __init__(self) -> None:
        source, sink = _socket.socketpair()
        if hasattr(_socket, "SO_PASSCRED"):
            source.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
        self._source, self.sink = _move(source.detach()), _move(sink.detach())
        os.set_blocking(self.sink, False)
        self._identity = self._identify()
        self._pid = os.getpid()
        self.number = 0
        self.come: Callable[[], None] | None = None
        self._running = native.allocate_lock()
        self._thread_id = 0

    def begin(self, number: int, come: Callable[[], None]) -> None:
        """Call `come()`, in a thread, when the signal `number` comes."""
        self.number, self.come = number, come
        if self._running.acquire(False) and not thread.start_without_signals(self._run):
            self._running.release()

    def rest(self) -> None:
        """End the thread, which `go_on` starts again."""
        if self._running.locked() and self.is_ours():
            os.write(self.sink, _REST)
            if self._running.acquire(timeout=_MOMENT):
                thread.wait_until_gone(self._thread_id, time.monotonic() + _MOMENT)
                self._running.release()

    def go_on(self) -> None:
        """Start it again, if it has run before."""
        if self.come is not None:
            self.begin(self.number, self.come)

    def close(self) -> None:
        """Close it, unless the thread is at work; a child that was forked in C has it, and no thread."""
        if (self._pid != os.getpid() or not self._running.locked()) and self.is_ours():
            os.close(self._source)
            os.close(self.sink)

    def is_ours(self) -> bool:
        """Tell whether the descriptors are: a program that makes itself a daemon closes every number."""
        return self._identify() == self._identity

    def _identify(self) -> tuple[int, int] | None:
        try:
            return os.fstat(self._source).st_ino, os.fstat(self.sink).st_ino
        except OSError:
            return None

    def _run(self) -> None:
        self._thread_id = native.get_native_id()
        try:
            self._read()
        except OSError:
            pass  # the program has closed it
        finally:
            self._running.release()

    def _read(self) -> None:
        source = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, self._source)
        try:
            source.settimeout(None)  # whatever the program's default is
            while self.is_ours():
                found, notes, *_ = source.recvmsg(4096, _ROOM)
                writer = int.from_bytes(notes[0][2][:4], sys.byteorder) if notes else self._pid
                if found and writer != self._pid:
                    continue
                if self.number in found and self.come is not None:
                    self.come()
                if _REST in found or not found:
                    return
        finally:
            source.detach()


def _move(descriptor: int) -> int:
    """Give it a number that no program counts on: one that has closed its standard streams opens others in their place.

    And when it has closed ours, too, a file that it opens then hardly gets the same number.
    """
    import fcntl

    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FAR)
    except OSError:
        return descriptor  # so many are not allowed
    os.close(descriptor)
    return moved


def set_up() -> None:
    """Have numbers written to our pipe, if the program has no use for them; for the main thread alone (ValueError)."""
    global _pipe
    before = _signal.set_wakeup_fd(-1)
    if before != -1 and (_pipe is None or before != _pipe.sink):
        _signal.set_wakeup_fd(before)
        return
    if _pipe is None:
        _pipe = _Pipe()
    if _pipe.is_ours():
        _signal.set_wakeup_fd(_pipe.sink, warn_on_full_buffer=False)


def shown(descriptor: int) -> int:
    """Return what the program may know of: it has set none if it is ours."""
    return -1 if _pipe is not None and descriptor == _pipe.sink else descriptor


def begin(number: int, come: Callable[[], None]) -> None:
    """Call `come()`, in a thread of ours, when the signal `number` comes."""
    if _pipe is not None:
        _pipe.begin(number, come)


def rest() -> None:
    """End the thread before a fork."""
    if _pipe is not None:
        _pipe.rest()


def go_on() -> None:
    """Start it again after that."""
    if _pipe is not None:
        _pipe.go_on()


def mend() -> None:
    """Have another pipe in the place of one that the program has closed: its next file would be written to."""
    pipe = _pipe
    if pipe is None or pipe.is_ours():
        return
    forget()
    try:
        set_up()
    except ValueError:
        return  # in another thread than the main one
    if _pipe is not None and pipe.come is not None:
        _pipe.begin(pipe.number, pipe.come)


def end() -> None:
    """End the thread, and write numbers nowhere any more."""
    if _pipe is not None:
        _pipe.rest()
        forget()


def forget() -> None:
    """Close what is open; in a child that was forked: numbers written there would be read by its parent."""
    global _pipe
    pipe, _pipe = _pipe, None
    if pipe is None:
        return
    try:
        before = _signal.set_wakeup_fd(-1)
        if before not in (-1, pipe.sink):
            _signal.set_wakeup_fd(before)
    except ValueError:
        return  # in another thread than the main one: it stays open, as numbers are written there
    pipe.close()

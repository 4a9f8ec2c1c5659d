"""Writing to stderr from beside the program: at its descriptor, never in its way.

Not by `sys.stderr`: a thread that waits in its buffer's lock is a fatal error when the interpreter ends, and a
deadlock after a fork. And never where it could block: a pipe that nobody reads, a terminal that is stopped. What
finds no room for a while is let go.

The descriptor must be what it was at first. A program that has closed it may have a file or a connection of its own
there; of what was put in its place only a terminal or a file that is appended to, a log, is taken for its stderr.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

from otel_run import native

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 4096  # bytes for which there is room, where a pipe says that there is room (POSIX, PIPE_BUF)
_MOMENT = 0.002  # seconds
# eventlet has a `write` of its own, for greenlets.
_write: Callable[[int, Any], int] = getattr(sys.modules.get("posix"), "write", os.write)


class Stream:
    """The stderr of this process, or nothing if it was closed from the beginning."""

    def __init__(self) -> None:
        """Remember which file it is."""
        self.descriptor = -1
        self._file: tuple[int, int] | None = None
        original = sys.__stderr__
        # None where Python has found it closed.
        if original is not None:
            with contextlib.suppress(OSError, ValueError):
                self.descriptor = original.fileno()
                self._file = _identity(os.fstat(self.descriptor))
        self._is_stuck = False

    @property
    def encoding(self) -> str:
        """How texts are encoded, as the program's own are."""
        return getattr(sys.__stderr__, "encoding", None) or "utf-8"

    def is_terminal(self) -> bool:
        """Tell whether somebody looks."""
        return self._is_ours() and os.isatty(self.descriptor)

    def is_taken(self) -> bool:
        """Tell whether it is a terminal that is read key by key: there a screen is drawn, or a line is typed.

        By this program or one beside it: the shell that has started them does so, too, but then they are not in the
        foreground, where each of its commands writes as it likes.
        """
        try:
            import termios
        except ImportError:  # Windows
            return False
        try:
            mode = termios.tcgetattr(self.descriptor)[3]
            return not mode & termios.ICANON and os.tcgetpgrp(self.descriptor) == os.getpgrp()
        except (termios.error, OSError, ValueError):
            return False

    def columns(self) -> int | None:
        """Return the width of the terminal; None if there is none, or nobody knows."""
        try:
            return os.get_terminal_size(self.descriptor).columns or None
        except (OSError, ValueError):
            return None

    def write(self, text: str, patience: float) -> bool:
        """Write all of `text` at once, if there is room; wait `patience` seconds for it. Tell whether it is written."""
        try:
            data = text.encode(self.encoding, "backslashreplace")
        except LookupError:
            data = text.encode("ascii", "backslashreplace")
        # Who does not read is not waited for again and again.
        deadline = time.monotonic() + (0 if self._is_stuck else patience)
        try:
            is_written = self._is_ours() and self._write_all(data, deadline)
        except OSError:
            is_written = False
        self._is_stuck = not is_written
        return is_written

    def _is_ours(self) -> bool:
        if self._file is None:
            return False
        try:
            now = os.fstat(self.descriptor)
        except OSError:
            return False
        if _identity(now) == self._file:
            return True
        # What Python opens under a number that is free is not inherited, what is put in the place of stderr is.
        is_put_there = os.get_inheritable(self.descriptor)
        return is_put_there and (os.isatty(self.descriptor) or self._is_log(now))

    def _is_log(self, found: os.stat_result) -> bool:
        if not stat.S_ISREG(found.st_mode):
            return False
        try:
            import fcntl
        except ImportError:  # Windows
            return False
        return bool(fcntl.fcntl(self.descriptor, fcntl.F_GETFL) & os.O_APPEND)

    def _write_all(self, data: bytes, deadline: float) -> bool:
        left = memoryview(data)
        room = len(data) if stat.S_ISREG(os.fstat(self.descriptor).st_mode) else self._empty_pipe()
        while left:
            if room < len(left):
                if not native.has_room(self.descriptor, max(0.0, deadline - time.monotonic())):
                    return False
                room = _PIECE
            try:
                left = left[_write(self.descriptor, left[: self._cut(left, room)]) :]
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                native.wait(_MOMENT)
            room = 0
        return True

    def _cut(self, left: memoryview, room: int) -> int:
        """Return how much to write of what is left: whole lines, if one fits."""
        if room >= len(left):
            return room
        return bytes(left[:room]).rfind(b"\n") + 1 or room

    def _empty_pipe(self) -> int:
        """Return how much a pipe takes at once, if it is known to be empty: so that processes do not interleave."""
        try:
            import fcntl
            import termios

            pending = bytearray(4)
            fcntl.ioctl(self.descriptor, termios.FIONREAD, pending)
            capacity = fcntl.fcntl(self.descriptor, fcntl.F_GETPIPE_SZ)
        except (ImportError, AttributeError, OSError):
            return 0
        # A broken one looks empty, too.
        return capacity if not any(pending) and native.has_room(self.descriptor) else 0


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino

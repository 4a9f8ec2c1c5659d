"""The end of a file that several processes write to: whole lines, under a lock, and another file when it is full.

The file is opened for each batch, so nothing is held that a fork would share, that the program could close, or that
would still mean the file after somebody has moved it. The lock is the open file's: whoever waited for it looks whether
the path still means that file. Only who has the lock moves it, or cuts off what a killed process has half written.
"""

from __future__ import annotations

import errno
import os
import time

from otel_run import native
from otel_run.export.otlp_json import LONGEST_LINE

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
except ImportError:  # Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

_GLANCE = 0.002  # seconds between two tries to get the lock
_CHUNK = 64 * 1024  # bytes
# How each line of ours begins: nothing else is ever cut off.
_OURS = b'{"resourceSpans":['


def append(path: str, data: bytes, most_bytes: int, keep: int, timeout: float) -> None:
    """Write whole lines at the end of a file, all or nothing, within `timeout` seconds; raises OSError.

    A file that would be larger than `most_bytes` is moved to `NAME.1.EXTENSION` before, that one to `NAME.2...`, and
    the last of `keep` is lost.
    """
    deadline = time.monotonic() + timeout
    is_written = False
    while not is_written:
        descriptor = _open(path)
        try:
            _lock(descriptor, deadline)
            # Somebody else may have moved it meanwhile, or removed it.
            if _is_at(path, descriptor):
                is_written = _write(descriptor, data, most_bytes)
                if not is_written:
                    _rotate(path, keep)
        finally:
            # Not by closing alone: a child that was forked in between has the same open file.
            try:
                flock(descriptor, LOCK_UN)
            finally:
                os.close(descriptor)


def rotated(path: str, number: int) -> str:
    """Return what a file is called when it is full; 1 is the newest."""
    name, extension = os.path.splitext(path)
    return f"{name}.{number}{extension}"


def _open(path: str) -> int:
    # Neither a link, which others may have laid, nor a FIFO, whose reader may be away or slow.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and os.path.islink(path):
            raise OSError(error.errno, "it is a symbolic link, which is not followed") from None
        raise
    # S_ISREG, without importing `stat`.
    if os.fstat(descriptor).st_mode & 0o170000 != 0o100000:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file")
    return descriptor


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            return flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another process has locked it") from None
        native.wait(_GLANCE)


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write(descriptor: int, data: bytes, most_bytes: int) -> bool:
    """Write, or return False if the file is too full."""
    before = os.fstat(descriptor).st_size
    tail = _torn(descriptor, before)
    if tail.startswith(_OURS):
        before -= len(tail)
        os.ftruncate(descriptor, before)
    elif tail:
        data = b"\n" + data
    if before and before + len(data) > most_bytes:
        return False
    left = memoryview(data)
    try:
        # One call, unless the disk is full: who reads meanwhile sees whole lines.
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.ftruncate(descriptor, before)
        raise
    return True


def _torn(descriptor: int, size: int) -> bytes:
    """Return what stands behind the last whole line."""
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return b""
    chunks: list[bytes] = []
    # As far as a line of ours may go.
    while size > 0 and len(chunks) * _CHUNK < LONGEST_LINE * 2:
        start = max(0, size - _CHUNK)
        _, newline, after = os.pread(descriptor, size - start, start).rpartition(b"\n")
        chunks.append(after)
        if newline:
            break
        size = start
    return b"".join(reversed(chunks))


def _rotate(path: str, keep: int) -> None:
    if not keep:
        os.unlink(path)
        return
    # Up to the first number that is free: who was killed in the middle of this has left a gap.
    last = next((number for number in range(1, keep) if not os.path.lexists(rotated(path, number))), keep)
    for number in range(last, 1, -1):
        os.replace(rotated(path, number - 1), rotated(path, number))
    os.rename(path, rotated(path, 1))

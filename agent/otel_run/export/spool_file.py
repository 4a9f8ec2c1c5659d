"""One file of lines that was not delivered: locked for as long as its writer lives, cut where a line has left.

A record lock of POSIX's ends with its process, however that ends, and no forked child inherits it. It is the process's,
though, and gone as soon as that closes any descriptor of the file: so within a process a path is claimed before it is
opened. A program may close every descriptor, and the next file that it opens gets our number: each step looks first.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from otel_run.export.otlp_json import count_spans

try:
    from fcntl import LOCK_EX, LOCK_NB, lockf
except ImportError:  # Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".jsonl"
_NAME = re.compile(r"([\w-]+)\.\d+\.[0-9a-f]{8}\.jsonl", re.ASCII)
_CHUNK = 256 * 1024  # bytes

_claimed: dict[tuple[int, str], object] = {}


class Found(NamedTuple):
    """A file of a spool folder."""

    path: str
    # As in the name; none if the file is not ours.
    service: str
    size: int
    changed: int  # nanoseconds


def look(folder: str, service: str = "") -> list[Found]:
    """Return the `.jsonl` files of a folder, or of one service, the oldest first; raises OSError."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(SUFFIX) or not entry.is_file(follow_symlinks=False):
                continue
            whose = service_of(entry.name)
            if service and service != whose:
                continue
            try:
                told = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # delivered meanwhile
            found.append(Found(entry.path, whose, told.st_size, told.st_mtime_ns))
    return sorted(found, key=lambda file: (file.changed, file.path))


def service_of(name: str) -> str:
    """Return the service whose spans a file of this name holds, empty if the name is none of ours."""
    match = _NAME.fullmatch(name)
    return match[1] if match else ""


class LostError(OSError):
    """The descriptor is not ours any more."""


class SpoolFile:
    """An open file that is locked. Every method but `close` raises OSError."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._pid = os.getpid()
        told = os.fstat(descriptor)
        self._identity = told.st_dev, told.st_ino
        self._changed = told.st_mtime_ns
        self._is_cut = False
        self._is_torn = False

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._look().st_size

    def is_good(self) -> bool:
        """Tell whether more may be written: it ends with a whole line, and its name and descriptor still mean it."""
        return not self._is_torn and self._is_in_place()

    def append(self, data: bytes) -> None:
        """Write at the end, all or nothing: what was written of it is cut off if that fails."""
        before = self.size
        left = memoryview(data)
        self._is_torn = True
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, before)
            self._is_torn = False
            raise
        self._is_torn = False

    def last_line(self) -> tuple[int, bytes]:
        """Return where the last line begins, and the line, with its end unless it is torn."""
        at = end = self.size
        chunks: list[bytes] = []
        while at > 0:
            size = min(_CHUNK, at)
            chunk = os.pread(self._descriptor, size, at - size)
            if len(chunk) != size:
                raise OSError("somebody else has cut it")
            found = chunk.rfind(b"\n", 0, size - 1 if at == end else size)
            chunks.append(chunk[found + 1 :])
            at -= size
            if found >= 0:
                at += found + 1
                break
        return at, b"".join(reversed(chunks))

    def cut(self, size: int) -> None:
        """Keep that many bytes."""
        self._look()
        os.ftruncate(self._descriptor, size)
        self._is_cut = True

    def count_spans(self) -> int:
        """Return how many spans it holds, by what stands before each."""
        return sum(count_spans(line) for line in self._lines())

    def remove(self) -> None:
        """Remove it from its folder, if it still is the one of its name, and close it."""
        try:
            if self._is_in_place():
                os.unlink(self.path)
        finally:
            self._is_cut = False
            self.close()

    def close(self) -> None:
        """Give back the descriptor and the lock; in a forked child its copy, while its parent keeps the lock."""
        try:
            self._look()
            if self._is_cut and self._pid == os.getpid():
                # What is left is as old as before: the oldest goes first when room is needed.
                os.utime(self._descriptor, ns=(self._changed, self._changed))
        except LostError:
            pass
        except OSError:
            os.close(self._descriptor)
        else:
            os.close(self._descriptor)
        _claimed.pop((self._pid, self.path), None)

    def _is_in_place(self) -> bool:
        try:
            return self._look().st_nlink > 0 and _identity_of(self.path) == self._identity
        except OSError:
            return False

    def _look(self) -> os.stat_result:
        try:
            told = os.fstat(self._descriptor)
        except OSError:
            raise LostError("the program has closed it") from None
        if (told.st_dev, told.st_ino) != self._identity:
            raise LostError("the program has closed it")
        return told

    def _lines(self) -> Iterator[bytes]:
        at, rest = 0, b""
        while chunk := os.pread(self._descriptor, _CHUNK, at):
            at += len(chunk)
            whole, newline, rest_of_chunk = chunk.rpartition(b"\n")
            if newline:
                yield rest + whole
                rest = rest_of_chunk
            else:
                rest += chunk
        yield rest


def create(folder: str, service: str) -> SpoolFile:
    """Make a new file, and the folder if there is none; raises OSError."""
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(0, "it is no folder") from None
    # Not by `random`, which the program may have seeded.
    path = os.path.join(folder, f"{service}.{os.getpid()}.{os.urandom(4).hex()}{SUFFIX}")
    made = _open(path, os.O_CREAT | os.O_EXCL)
    assert made is not None
    return made


def take(path: str) -> SpoolFile | None:
    """Open and lock a file whose writer is dead; return None if it lives, or the file is gone or no plain one.

    Raises OSError for one that may not be read and written.
    """
    if _identity_of(path) is None:
        return None
    try:
        return _open(path, 0)
    except (BlockingIOError, FileNotFoundError):
        return None


def _open(path: str, flags: int) -> SpoolFile | None:
    key, claim = (os.getpid(), path), object()
    if _claimed.setdefault(key, claim) is not claim:
        return None
    descriptor = -1
    try:
        # O_NONBLOCK: what was a file may be a FIFO by now.
        flags |= os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        _lock(descriptor)
        opened = SpoolFile(path, descriptor)
        # Whoever had the lock before may have removed it.
        if opened._identity == _identity_of(path):
            return opened
        opened.close()
    except BaseException:
        if descriptor >= 0:
            os.close(descriptor)
            if flags & os.O_EXCL:
                os.unlink(path)
        _claimed.pop(key, None)
        raise
    return None


def _lock(descriptor: int) -> None:
    try:
        lockf(descriptor, LOCK_EX | LOCK_NB)
    except PermissionError as error:  # what some systems say for EAGAIN
        raise BlockingIOError from error


def _identity_of(path: str) -> tuple[int, int] | None:
    """Return what tells a plain file from another that gets its name; None if there is none."""
    try:
        told = os.lstat(path)
    except OSError:
        return None
    # S_ISREG, without importing `stat`.
    return (told.st_dev, told.st_ino) if told.st_mode & 0o170000 == 0o100000 else None

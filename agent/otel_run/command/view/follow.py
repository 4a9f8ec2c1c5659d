"""Files that grow while they are read: each whole line once, through rotation, truncation and late beginnings.

By looking a few times a second: what tells of changes differs between systems, and is silent on network drives.
"""

from __future__ import annotations

import os
import stat
import time
import zlib
from typing import TYPE_CHECKING

from otel_run.command.view.sources import STDIN, files, lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST_LINE = 64 << 20  # bytes
_PART = 1 << 20  # bytes that are read at once
_REMEMBERED = 256  # bytes before where reading went on, to see that they are the same
_LINGERING = 2.0  # seconds in which a file that was moved away may still be written to
MOST_FILES = 200


class Tail:
    """One file that is read as it grows. It stays open: else its inode could become another file's."""

    def __init__(self, path: str) -> None:
        """Open it; raise OSError."""
        # Non-blocking: a FIFO without a writer must not hold us up.
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._file)
            raise OSError(0, "it is no file")
        self.identity = found.st_dev, found.st_ino
        self.gone_since = 0.0
        self._at = 0
        self._before = b""
        self._torn: list[bytes] = []
        self._torn_size = 0
        self._modified = 0

    def read(self) -> Iterator[bytes]:
        """Yield the lines that are new and whole; raises OSError."""
        found = os.fstat(self._file)
        if found.st_mtime_ns == self._modified and found.st_size == self._at:
            return
        if found.st_size < self._at or os.pread(self._file, len(self._before), self._at - len(self._before)) != (
            self._before
        ):
            self._at, self._before = 0, b""
            self._forget_torn()
        self._modified = found.st_mtime_ns
        while part := os.pread(self._file, _PART, self._at):
            self._at += len(part)
            self._before = (self._before + part[-_REMEMBERED:])[-_REMEMBERED:]
            yield from self._lines(part)

    def _lines(self, part: bytes) -> Iterator[bytes]:
        first, *others = part.split(b"\n")
        self._torn.append(first)
        self._torn_size += len(first)
        if self._torn_size > _LONGEST_LINE:
            # Whoever reads it finds that it is no JSON, and says so.
            self._torn = [b"{"]
        for other in others:
            line = b"".join(self._torn)
            self._torn, self._torn_size = [other], len(other)
            if line.strip():
                yield line

    def _forget_torn(self) -> None:
        self._torn, self._torn_size = [], 0

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Following:
    """The files that are named, and those of the folders that are."""

    def __init__(self, places: Sequence[str]) -> None:
        """`places` are files, which need not exist yet, and folders."""
        self._places = list(places)
        # What does not grow: what is still to be read of that, and what was.
        self._once: list[str] = []
        self._was_read: set[str] = set()
        self._tails: dict[tuple[int, int], Tail] = {}
        self._told: dict[str, str] = {}
        # What went wrong and was not told yet.
        self.troubles: list[tuple[str, str]] = []

    def read(self) -> Iterator[tuple[str, bytes]]:
        """Yield what is new as (path, line)."""
        now = time.monotonic()
        present = dict(self._look())
        while self._once:
            yield from self._read_whole(self._once.pop())
        for identity, tail in list(self._tails.items()):
            path = present.get(identity, "")
            try:
                for line in tail.read():
                    yield path, line
            except OSError as error:
                self._tell(path, error.strerror or str(error))
            tail.gone_since = 0.0 if path else tail.gone_since or now
            if tail.gone_since and now - tail.gone_since > _LINGERING:
                tail.close()
                del self._tails[identity]

    def _read_whole(self, path: str) -> Iterator[tuple[str, bytes]]:
        try:
            for _, line in lines(path):
                if line.strip():
                    yield path, line
        except (OSError, EOFError, zlib.error) as error:
            self._tell(path, str(error))

    def close(self) -> None:
        """Let go of all files."""
        for tail in self._tails.values():
            tail.close()

    def _look(self) -> Iterator[tuple[tuple[int, int], str]]:
        """Open what is new; yield what there is."""
        for path, trouble in files(self._places):
            if trouble:
                continue
            if _is_read_once(path):
                if path not in self._was_read:
                    self._was_read.add(path)
                    self._once.append(path)
                continue
            try:
                found = os.stat(path)
                identity = found.st_dev, found.st_ino
                if identity not in self._tails:
                    if len(self._tails) >= MOST_FILES:
                        self._tell(path, f"more than {MOST_FILES} files are not followed")
                        continue
                    tail = Tail(path)
                    identity = tail.identity
                    self._tails.setdefault(identity, tail)
                yield identity, path
            except FileNotFoundError:
                pass  # not yet, or being moved
            except OSError as error:
                self._tell(path, error.strerror or str(error))

    def _tell(self, path: str, trouble: str) -> None:
        if self._told.get(path) != trouble:
            self._told[path] = trouble
            self.troubles.append((path, trouble))


def _is_read_once(path: str) -> bool:
    """Tell whether it is stdin or packed, and so does not grow."""
    return path == STDIN or path.endswith(".gz")

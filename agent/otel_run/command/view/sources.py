"""Where traces come from: files, folders of them, packed ones, and stdin, line by line."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDIN = "-"
_ENDINGS = (".jsonl", ".jsonl.gz")
_LONGEST = 64 * 1024 * 1024  # bytes; what is longer may be anything but a line


def files(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each file with an empty text, those of a folder from the oldest on; or what is wrong with a place."""
    for place in places:
        try:
            if place == STDIN or not os.path.isdir(place):
                yield place, ""
                continue
            found = _in_folder(place)
        except OSError as error:
            yield place, error.strerror or str(error)
            continue
        if not found:
            yield place, "there is no *.jsonl file in it"
        for path in found:
            yield path, ""


def _in_folder(folder: str) -> list[str]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.name.endswith(_ENDINGS) and entry.is_file():
                    found.append((entry.stat().st_mtime_ns, entry.path))
            except FileNotFoundError:
                pass  # moved meanwhile
    return [path for _, path in sorted(found)]


def looks_like_one(path: str) -> bool:
    """Tell whether a file is called as those are that hold traces."""
    return path.endswith(_ENDINGS)


def can_be_read_again(path: str) -> bool:
    """Tell whether `read_at` can be used."""
    return path != STDIN and not path.endswith(".gz") and os.path.isfile(path)


def lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield where each line begins, and the line, of one without end its beginning; raises OSError."""
    with _open(path) as file:
        at = 0
        while line := file.readline(_LONGEST):
            yield at, line
            at += len(line)
            while len(line) == _LONGEST and not line.endswith(b"\n"):
                line = file.readline(_LONGEST)
                at += len(line)


def read_at(path: str, at: int, size: int) -> bytes:
    """Return so many bytes; raises OSError."""
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(size)


def whole(path: str) -> bytes:
    """Return all of a file, or nothing if that is a lot; raises OSError."""
    with _open(path) as file:
        data = file.read(_LONGEST)
    return data if len(data) < _LONGEST else b""


def _open(path: str) -> IO[bytes]:
    if path == STDIN:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        return open(sys.stdin.fileno(), "rb", closefd=False)
    if path.endswith(".gz"):
        import gzip
        import io

        return io.BufferedReader(gzip.open(path, "rb"))
    return open(path, "rb")

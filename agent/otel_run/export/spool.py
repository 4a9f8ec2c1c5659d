"""What could not be delivered in time waits here, in a folder, for a healthy process of the same service.

Each process writes a file of its own, whole batches, and a file always holds just what has not been delivered: so
whatever ends a process, and when, a batch comes twice at worst and is never lost. When the folder is full, what is
oldest goes. A file that is large is left and another begun, so that nothing is ever copied to make room.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from otel_run import report
from otel_run.export import spool_file
from otel_run.export.otlp_json import to_json
from otel_run.export.spool_drain import Drained, drain
from otel_run.export.spool_file import LostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.export.sender import Outcome
    from otel_run.export.spool_file import Found, SpoolFile

_LOOKS_EVERY = 30.0  # seconds, for files that others have left
_LOOK_COSTS = 0.003  # seconds until the next look, for each file in the folder; none for a few
_FEW = 16
_SHARE = 8  # a file has at most this part of what the folder may
_LONGEST_SERVICE = 80


class Spool:
    """The folder, as one process of one service sees it. Used by one thread at a time."""

    def __init__(self, folder: str, service: str, most_bytes: int, unit: str) -> None:
        """`most_bytes` is for all files of the folder together; `unit` is who is spoken of in the report."""
        # Spans that are lost: the oldest, for room, and those that were refused or can't be read.
        self.dropped = 0
        try:
            self._folder = os.path.abspath(folder)
        except OSError:  # where the current folder is no more
            self._folder = folder
        self._service = safe(service)
        self._most = most_bytes
        self._unit = unit
        self._start_over()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._own: SpoolFile | None = None
        # Everybody's files, the oldest first, as they were when they were looked at.
        self._others: list[Found] = []
        self._look_again = 0.0
        # Files of this service that may have been left; when to look for others.
        self._left: list[str] = []
        self._look_for_left = 0.0
        # Files that can't be read or cut.
        self._stuck: set[str] = set()

    def write(self, record: bytes, spans: int) -> str:
        """Keep a request; return an empty text, or in a few words why it is not kept."""
        if not spool_file.HAS_LOCKS:
            return "no file locks here"
        self._notice_fork()
        try:
            data = b"".join([line + b"\n" for line in to_json(record)])
            if len(data) > self._most:
                return "OTEL_RUN_SPOOL_MAX_BYTES is too small for it"
            self._leave_own_unless_fit(len(data))
            if not self._make_room(len(data)):
                return "the folder is full of what may not be removed"
            own = self._own = self._own or spool_file.create(self._folder, self._service)
            own.append(data)
        except (OSError, ValueError) as error:
            if not self._own_size():
                self._leave_own()
            return getattr(error, "strerror", None) or str(error)
        # What is there now is looked for as soon as something can be delivered.
        self._look_for_left = 0.0
        report.note(self._unit, "spooled", f"{spans} spans, in {own.path}")
        return ""

    def deliver(self, send: Callable[[bytes], Outcome], goes_on: Callable[[], bool]) -> int:
        """Send what this process has kept, and what dead ones of the same service have; return how many records.

        `goes_on()` is asked before each. The first that can't be delivered now ends it.
        """
        if not spool_file.HAS_LOCKS:
            return 0
        self._notice_fork()
        self._find_left()
        drained = Drained()
        while self._left and goes_on():
            path = self._left[0]
            try:
                is_done = self._drain(path, send, goes_on, drained)
            except LostError:
                is_done = True
            except OSError as error:
                # Where a line can't be cut off, it would be sent again and again.
                self._stuck.add(path)
                report.note(self._unit, "spool", f"{path} is left alone: {error}")
                is_done = True
            if not is_done:
                break
            self._left.pop(0)
        self.dropped += drained.refused + drained.unreadable
        return drained.records

    def close(self) -> None:
        """Give back descriptors and locks; a later write begins another file."""
        self._notice_fork()
        self._leave_own()

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            inherited = self._own
            self._start_over()
            if inherited is not None:
                inherited.close()

    def _leave_own(self) -> None:
        """Give up the file that is written: from now on it is one that a dead process has left."""
        own, self._own = self._own, None
        if own is None:
            return
        self._look_again = 0.0
        try:
            is_empty = not own.size
        except OSError:
            is_empty = False
        try:
            if is_empty:
                own.remove()
            else:
                own.close()
        except OSError:
            pass  # it stays, empty, for the next who looks

    # What is kept.

    def _own_size(self) -> int:
        try:
            return self._own.size if self._own is not None else 0
        except OSError:
            return 0

    def _leave_own_unless_fit(self, size: int) -> None:
        """Leave our own file if somebody has taken it from us, or if it would be large with `size` bytes more."""
        if self._own is not None and not self._own.is_good():
            self._leave_own()
        before = self._own_size()
        if before and before + size > self._most // _SHARE:
            self._leave_own()

    def _make_room(self, size: int) -> bool:
        """Remove what is oldest, until `size` bytes more fit in; return whether they do."""
        self._look()
        used = sum(found.size for found in self._others) + self._own_size()
        used -= self._drop_oldest(used + size - self._most)
        if used + size > self._most and self._own is not None:
            # Nothing else is left that is older than our own lines.
            self._leave_own()
            self._look()
            used -= self._drop_oldest(used + size - self._most)
        return used + size <= self._most

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._look_again:
            return
        try:
            found = spool_file.look(self._folder)
        except FileNotFoundError:
            found = []
        except NotADirectoryError:
            raise NotADirectoryError(0, "it is no folder") from None
        own = self._own.path if self._own is not None else ""
        self._others = [other for other in found if other.path != own]
        self._look_again = now + min(_LOOKS_EVERY, _LOOK_COSTS * max(0, len(found) - _FEW))

    def _drop_oldest(self, excess: int) -> int:
        """Remove the oldest files of dead processes, at least `excess` bytes of them; return how many bytes it were."""
        freed, kept = 0, []
        for found in self._others:
            gone = freed < excess and bool(found.service) and self._drop(found.path)
            if gone:
                freed += found.size
            else:
                kept.append(found)
        self._others = kept
        return freed

    def _drop(self, path: str) -> bool:
        try:
            file = spool_file.take(path)
            if file is None:
                return not os.path.lexists(path)
            try:
                lost = file.count_spans()
            finally:
                file.remove()
        except OSError:
            return False
        self.dropped += lost
        report.note(self._unit, "spool", f"{path} removed for room, with {lost} spans")
        return True

    # What leaves.

    def _find_left(self) -> None:
        now = time.monotonic()
        if now < self._look_for_left:
            return
        self._look_for_left = now + _LOOKS_EVERY
        try:
            found = spool_file.look(self._folder)
        except OSError:
            found = []
        self._left = [other.path for other in found if other.service == self._service and other.path not in self._stuck]

    def _drain(
        self, path: str, send: Callable[[bytes], Outcome], goes_on: Callable[[], bool], drained: Drained
    ) -> bool:
        """Send what is in a file; return whether nothing of ours is left in it."""
        own = self._own if self._own is not None and self._own.path == path else None
        file = own or spool_file.take(path)
        if file is None:
            return True
        drained.is_whole = False
        has_failed = True
        try:
            drain(file, send, goes_on, drained)
            has_failed = False
        finally:
            if file is not own:
                (file.remove if drained.is_whole else file.close)()
            elif drained.is_whole or has_failed:
                self._leave_own()
        return drained.is_whole


def safe(service: str) -> str:
    """Return what stands for a service in a file's name: the same for the same, and another for another."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", service)[:_LONGEST_SERVICE] or "unknown"
    if plain == service:
        return plain
    # Imported for whoever needs it, which may be nobody.
    from binascii import crc32

    return f"{plain}-{crc32(service.encode('utf-8', 'surrogatepass')):08x}"

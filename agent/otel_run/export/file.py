"""`OTEL_TRACES_EXPORTER=file`: each batch as lines of OTLP JSON at the end of a file that other processes share.

A sender like the others, so what can't be written is kept in memory, tried again and told like a receiver that is away.
Source: OpenTelemetry Protocol File Exporter.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from otel_run.export.encode import Encoder
from otel_run.export.file_end import HAS_LOCKS, append
from otel_run.export.otlp_json import to_json
from otel_run.export.sender import DELIVERED, Outcome
from otel_run.export.spool import safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan

_AT_ONCE = 64  # spans that share a line
_PATIENCE = 2.0  # seconds for another process that writes; one that is stopped meanwhile holds everybody up


class FileSender:
    """Writes each batch to one file, or to a file of its process in a folder."""

    def __init__(self, place: str, service: str, most_bytes: int, keep: int) -> None:
        """`place` is a file's path, or a folder's: one that is there, or ends with a slash."""
        self._place = place
        self._service = service
        self._most = most_bytes
        self._keep = keep
        self._encoder = Encoder()
        self.destination = self._path()

    def _path(self) -> str:
        if not (self._place.endswith(os.sep) or os.path.isdir(self._place)):
            return self._place
        return os.path.join(self._place, f"{safe(self._service)}.{os.getpid()}.jsonl")

    def pack(self, spans: Iterable[ReadableSpan]) -> bytes:
        """Return the lines of a batch."""
        found: list[bytes] = []
        rest = iter(spans)
        # Others get their turn between two spans, so no more than a millisecond's work is done at once.
        while some := list(islice(rest, _AT_ONCE)):
            found += to_json(self._encoder.encode(some))
        return b"".join([line + b"\n" for line in found])

    def send(self, parcel: bytes, timeout: float) -> Outcome:
        """Write them, all or nothing."""
        if not parcel:
            return DELIVERED
        if not HAS_LOCKS:
            return Outcome(False, "no file locks here", hint="OTEL_TRACES_EXPORTER=otlp")
        # Somebody may have made a folder of it.
        self.destination = self._path()
        try:
            append(self.destination, parcel, self._most, self._keep, min(timeout, _PATIENCE))
        except OSError as error:
            return Outcome(False, error.strerror or str(error), retry=True)
        return DELIVERED

    def record(self, parcel: bytes) -> None:
        """Return None: what can't be written here is not written elsewhere."""

    def send_record(self, record: bytes, timeout: float) -> Outcome:  # noqa: ARG002 - as senders have it
        """Refuse."""
        return Outcome(False, "a file takes spans alone", retry=True)

    def rest(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

"""One file of a spool is sent, line by line from its end, and cut behind each line that has left.

So whatever stops it, the file holds just what has not been delivered; a line whose answer has come, but which is not
cut off yet, comes twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.export.otlp_from_json import to_protobuf
from otel_run.export.otlp_json import count_spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.export.sender import Outcome
    from otel_run.export.spool_file import SpoolFile


class Drained:
    """What came of the lines of files."""

    def __init__(self) -> None:
        self.records = 0
        self.spans = 0
        # Spans that are lost: refused for good, or in a line that can't be read.
        self.refused = 0
        self.unreadable = 0
        # Whether the last file is empty now; if not, what has stopped it, unless `goes_on` did.
        self.is_whole = False
        self.outcome: Outcome | None = None


def drain(
    file: SpoolFile,
    send: Callable[[bytes], Outcome],
    goes_on: Callable[[], bool],
    drained: Drained,
    keeps_refused: bool = False,
) -> None:
    """Send the lines of a file, the last one first, and cut off each that has left; count in `drained`.

    Raises OSError if the file can't be read or cut.
    """
    while goes_on():
        at, line = file.last_line()
        if not line:
            drained.is_whole = True
            break
        spans = count_spans(line)
        try:
            # Torn is what can't be read; one that lacks its end alone is whole.
            record = to_protobuf(line) if line.strip() else b""
        except ValueError:
            drained.unreadable += max(1, spans)
            file.cut(at)
            continue
        if record:
            outcome = send(record)
            if not outcome.delivered and (outcome.retry or keeps_refused):
                drained.outcome = outcome
                break
            if outcome.delivered:
                drained.records += 1
                drained.spans += spans
            else:
                drained.refused += spans
        file.cut(at)

"""Contexts that could not be left: entered in one contextvars.Context, and left in another.

An async generator that is closed elsewhere does it, or a greenlet that gets another context in the middle of a call.
Nothing is wrong then with the program, and little with its spans, but OpenTelemetry logs a traceback for each. So
they are counted here, and the report says once that there are any.
"""

from __future__ import annotations

import logging

from otel_run import report

count = 0

_SAID_BY_OPENTELEMETRY = "Failed to detach context"


def tell() -> None:
    """Count one."""
    global count
    count += 1
    if count == 1:
        report.note("context", "left elsewhere", "what was current there stays; further ones are only counted")


class Counted(logging.Filter):
    """Counts what OpenTelemetry would log of it, and passes everything else."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether it is something else; a token that was used twice, say, is a mistake of the program's."""
        kind = record.exc_info[0] if record.exc_info else None
        if record.msg != _SAID_BY_OPENTELEMETRY or kind is None or not issubclass(kind, ValueError):
            return True
        tell()
        return False

"""What the SDK says through `logging`: each thing once, and as loud as OTEL_LOG_LEVEL wants it.

It warns for every attribute above a limit and for every value of a wrong type. Most programs have no
handler for that, so it would stand on their stderr, line after line.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otel_run.tracing.mismatch import Counted

if TYPE_CHECKING:
    from otel_run.settings import Settings

# The loggers of the code that runs for each span.
_TALKATIVE = (
    "opentelemetry.attributes",
    "opentelemetry.sdk.trace",
    "opentelemetry.sdk.util",
    "opentelemetry.trace",
    "opentelemetry.trace.span",
    "opentelemetry.trace.propagation.tracecontext",
    "opentelemetry.baggage.propagation",
    "opentelemetry.context",
    "opentelemetry.exporter.otlp.proto.common._internal",
)
# Different messages; more are the same one with a value formatted in.
_MOST = 100
_LEVELS = {
    "none": logging.CRITICAL + 1,
    "off": logging.CRITICAL + 1,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}


class Once(logging.Filter):
    """Passes the first record of each message, told apart by their templates and not by their values."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether this message is new."""
        template = str(record.msg)
        if template in self._seen or len(self._seen) >= _MOST:
            return False
        self._seen.add(template)
        return True


def calm(settings: Settings) -> None:
    """Install the filters; set the level of the SDK's loggers if the user chose one."""
    # In front of the next one: what is counted is not said even once.
    logging.getLogger("opentelemetry.context").addFilter(Counted())
    once = Once()
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(once)
    if settings.log_level in _LEVELS:
        logging.getLogger("opentelemetry").setLevel(_LEVELS[settings.log_level])

"""What an exception does to the span of the function that it leaves: which ones mark it, and which are told with it.

Iterators end by an exception, tasks are cancelled by one, a program ends well by `sys.exit(0)`: nothing has failed
there. What has is told once, by the innermost span that it leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import Status, StatusCode

from otel_run.tracing import told_errors
from otel_run.tracing.call import error_type, is_cancellation

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# What the next span says too need not be asked for again; but many of a great length are not to be kept.
_LONGEST_KEPT = 1024


def mark(span: Span, error: BaseException) -> None:
    """Mark `span`, which is still open, with `error`, and tell the error unless a span below has done so."""
    if not _is_failure(error) or not span.is_recording():
        return
    span.set_attribute("error.type", error_type(error))
    told = told_errors.find(span, error)
    if told is None:
        event = told_errors.describe(error)
        description = f"{event['exception.type']}: {event['exception.message']}"
        span.add_event("exception", event)
        is_short = len(description) <= _LONGEST_KEPT
        told_errors.remember(span, error, description if is_short else None, for_requests=True)
    else:
        description = told.description or told_errors.in_short(error)
    span.set_status(Status(StatusCode.ERROR, description))


def _is_failure(error: BaseException) -> bool:
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        return False
    if isinstance(error, SystemExit) and not error.code:
        return False
    return not is_cancellation(error)

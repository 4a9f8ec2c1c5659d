"""The context that a thread, or a greenlet, begins in: that of whoever started it, until the trace has long been over.

Most threads that are started below a span work for it, and may well go on after it has ended. But some are started by
whoever happens to be the first (a scheduler, the keeper of a pool) and then live as long as the process: all that
they ever do would be told in that one trace, or, if its sampler said no, never. So what is inherited is forgotten
five minutes after the span has ended: longer than most jobs that a request leaves behind, and short enough that
one trace stays one. What such a thread does later begins traces of its own, and what it has held is freed.

No clock of ours ticks for this: the context itself looks, when somebody asks it for something.
A span that is not recorded keeps no time, so it counts as ended when the thread was started; one that is not of this
process (a parent that came from elsewhere) belongs to nobody here and is kept.
"""

from __future__ import annotations

from contextvars import Context as Variables
from time import time_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run.tracing.entering import enter, now
from otel_run.tracing.span import Unsampled

LIFE = 300 * 1_000_000_000  # nanoseconds

_get, _clear, _copy = dict.get, dict.clear, dict.copy


class Inherited(Context):
    """A context that forgets everything when it is too old."""

    __slots__ = ("_since",)

    def __init__(self, around: Context, since: int | None = None) -> None:
        """Count from `since`, in ns since the epoch, in place of the end of the span."""
        super().__init__(around)
        self._since = since

    def get(self, key: Any, default: Any = None) -> Any:
        """Return an entry, unless it is too late; whoever makes a span asks for its parent first of all."""
        span: Any = _get(self, _SPAN_KEY)
        if span is not None:
            ended = span._end_time if self._since is None else self._since
            if ended is not None and time_ns() - ended > LIFE:
                _clear(self)
        return _get(self, key, default)

    def copy(self) -> dict[str, object]:
        """Return what is left, to which an entry is to be added."""
        self.get(_SPAN_KEY)
        return _copy(self)


def inherited(around: Context) -> Context:
    """Return what a thread inherits that is started in `around`; empty if there is nothing to inherit."""
    if isinstance(around, Inherited):
        return around
    span: Any = around.get(_SPAN_KEY)
    if isinstance(span, ReadableSpan):
        return Inherited(around)
    return Inherited(around, time_ns()) if _is_not_recorded_here(span) else around


def _is_not_recorded_here(span: Any) -> bool:
    if span is None or type(span) is Unsampled:
        return span is not None
    # What the SDK makes of it, where the program has its own provider.
    context = span.get_span_context()
    return context.is_valid and not context.is_remote


def hand_on_to_greenlet(greenlet: Any) -> None:
    """Have a greenlet that has not begun inherit what is current, and no other variable; unless it has its own."""
    around = now()
    if not around or greenlet.gr_context is not None:
        return
    around = inherited(around)
    if around:
        greenlet.gr_context = variables = Variables()
        variables.run(enter, around)

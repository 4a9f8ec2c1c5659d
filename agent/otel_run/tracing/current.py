"""A span that is current for a block or a function: what `start_as_current_span` gives.

The SDK makes two generators and a context manager around each for it. This is one object, with the same order of
things: the span starts when the block is entered, stops being current, takes the exception, ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util._decorator import _AgnosticContextManager

from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.trace import Span, Tracer


class CurrentSpan(_AgnosticContextManager["Span"]):
    """For `with`, and as a decorator of functions and coroutine functions, of which each call gets its span."""

    def __init__(self, tracer: Tracer, arguments: tuple[Any, ...], end_on_exit: bool) -> None:
        """Take the `arguments` of `start_span`, of which the last two are what becomes of an exception."""
        self._tracer = tracer
        self._arguments = arguments
        self._end_on_exit = end_on_exit
        self._span: Span | None = None
        self._token: Any = None

    def _recreate_cm(self) -> CurrentSpan:
        return CurrentSpan(self._tracer, self._arguments, self._end_on_exit)

    def __enter__(self) -> Span:
        """Start the span."""
        if self._span is not None:
            raise RuntimeError("it has been entered before: each block needs one of its own")
        self._span = span = self._tracer.start_span(*self._arguments)
        self._token = enter(Context(now(), **{_SPAN_KEY: span}))
        return span

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """End it, with the exception that leaves the block unless that is none of an error's."""
        span = self._span
        if span is None or self._token is None:
            return  # not entered, or left before
        self._stop()
        try:
            if isinstance(error, Exception) and span.is_recording():
                self._keep(span, error)
        finally:
            if self._end_on_exit:
                span.end()

    def _stop(self) -> None:
        token, self._token = self._token, None
        leave(token)

    def __del__(self) -> None:
        """End what was entered and thrown away, as a generator's `finally` does: else it would be current for ever."""
        if self._span is not None and self._token is not None:
            self._stop()
            if self._end_on_exit:
                self._span.end()

    def _keep(self, span: Span, error: Exception) -> None:
        *_, records, sets_status = self._arguments
        if records:
            span.record_exception(error)
        if sets_status:
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))

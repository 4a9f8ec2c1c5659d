"""A task that runs after the response: a trace of its own, linked to the request that has left it behind.

The client does not wait for it, so it is no part of the request's time. It is kept if the request was: half of the
story is none.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run.instrumentors.http_request import REQUEST, of
from otel_run.tracing import told_errors
from otel_run.tracing.call import EVERYTHING, error_type, is_cancellation, is_suppressed
from otel_run.tracing.decided import IS_KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from opentelemetry.trace import Span, Tracer

    from otel_run.patching.wrap import Finish


class Background:
    """What begins with `BackgroundTask.__call__`."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Start the task's span, or, where the request isn't kept, see to it that nothing of the task is."""
        around = context.get_current()
        request = of(around)
        # An excluded request keeps away all that is below it, by itself.
        if request is None or request.is_excluded or is_suppressed(EVERYTHING):
            return None
        told = request.span.get_span_context()
        if not told.trace_flags.sampled:
            return _Task(context.attach(Context(around, **{IS_KEPT: False})), None)
        entries = {key: value for key, value in around.items() if key not in (_SPAN_KEY, REQUEST)}
        parent = Context(entries, **{IS_KEPT: True})
        name, attributes = _described(args[0])
        span = self._tracer.start_span(name, parent, SpanKind.INTERNAL, attributes, [Link(told)])
        return _Task(context.attach(Context(parent, **{_SPAN_KEY: span})), span)


class _Task:
    """A task that runs, and its span, if it has one."""

    __slots__ = ("_context", "_span", "_token")

    def __init__(self, token: Token[Context], span: Span | None) -> None:
        self._context = context.get_current()
        self._token = token
        self._span = span

    def __call__(self, _result: Any, error: BaseException | None) -> None:
        """End the span."""
        # A coroutine that was abandoned ends wherever it is collected: that context is not ours to restore.
        if not isinstance(error, GeneratorExit) or context.get_current() is self._context:
            context.detach(self._token)
        span = self._span
        if span is None:
            return
        if error is not None and not is_cancellation(error):
            span.set_attribute("error.type", error_type(error))
            span.set_status(Status(StatusCode.ERROR))
            told_errors.tell_of_request(span, error)
        span.end()


def _described(task: Any) -> tuple[str, Mapping[str, str]]:
    """Return the name of a task's function and what is told of it (semantic conventions, "Code")."""
    function = task.func
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(getattr(function, "__qualname__", None), str):
        # An object with a `__call__`.
        function = type(function)
    qualified = function.__qualname__
    # A method of an object that is written in C has no module.
    full = f"{function.__module__}.{qualified}" if function.__module__ else qualified
    return qualified.rpartition("<locals>.")[2], {"code.function.name": full}

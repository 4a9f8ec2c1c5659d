"""The span of each call of one function: when there is one, what it tells, and how it is current.

A function may be called a million times in a second. Below a span that nobody will see a call costs a look into the
context; beyond the limit it is counted, on the span around it.
"""

from __future__ import annotations

from os.path import abspath
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run import report
from otel_run.functions import failure, template
from otel_run.functions.apart import Apart
from otel_run.tracing import process_span
from otel_run.tracing.call import EVERYTHING
from otel_run.tracing.entering import enter, leave, now
from otel_run.tracing.inside import start_inside
from otel_run.tracing.span import Span, Unsampled
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from types import CodeType, FunctionType

    from opentelemetry.trace import Tracer

    from otel_run.functions.arguments import Arguments

    # The span, and what `leave` takes.
    Begun = tuple[Any, Any]

_INTERNAL = SpanKind.INTERNAL
_SECOND = 1_000_000_000


class FunctionSpans:
    """Makes the spans of one function, which runs between `begin` and `end`; a generator in pieces between those.

    What `begin` or `begin_apart` has returned is for the others; None means that there is nothing to do.
    """

    def __init__(
        self,
        tracer: Tracer,
        function: FunctionType,
        module: str,
        qualname: str,
        span_name: str | None,
        arguments: tuple[str, ...],
        limit: int,
    ) -> None:
        """Take a function as it is before it is traced; `limit` is for the spans in one second.

        `arguments` are the names of parameters to be told; those that it has not are said and left out.
        """
        code = function.__code__
        self._tracer: Any = tracer
        self._name = span_name or qualname
        self._subject = f"function {module}:{qualname}"
        self._attributes: dict[str, Any] = {
            "code.function.name": f"{module}.{qualname}",
            "code.file.path": _path_of(code),
            "code.line.number": code.co_firstlineno,
        }
        self._counted_as = f"otelrun.calls.{module}.{qualname}"
        self.arguments: tuple[str, ...] = ()
        if arguments:
            self._take_arguments(code, arguments)
        self._limit = self._left = limit
        # When the second began in which so many are left.
        self._since = 0
        self._has_said = False

    def _take_arguments(self, code: CodeType, wanted: tuple[str, ...]) -> None:
        from otel_run.functions.arguments import Arguments  # only for whoever asks for some

        known = template.parameters(code)
        for name in wanted:
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                report.warn(self._subject, f"no parameter {name}", has)
        self.arguments = tuple(name for name in dict.fromkeys(wanted) if name in known)
        self._values: Arguments = Arguments.by_settings()

    def begin(self, values: tuple[Any, ...] | None) -> Begun | None:
        """Start the span of a call, and make it current. `values` are those of `arguments`."""
        around = now()
        span = self._start(values, around)
        return None if span is None else (span, enter(Context(around, **{_SPAN_KEY: span})))

    def begin_apart(self, values: tuple[Any, ...] | None) -> Apart | None:
        """Start the span of a generator, which is current only when it is resumed."""
        span = self._start(values, now())
        return None if span is None else Apart(span)

    def _start(self, values: tuple[Any, ...] | None, around: Context) -> Any:
        above: Any = None
        if around:
            above = around.get(_SPAN_KEY)
            if type(above) is Unsampled and is_dropped(self._tracer, around):
                return None
            if around.get(EVERYTHING) or around.get("suppress_instrumentation"):
                return None
        if above is None and is_dropped(self._tracer, around):
            return None
        # Twice would cost more than the look itself.
        at = time_ns()
        if not 0 <= at - self._since < _SECOND:
            self._since, self._left = at, self._limit
        if self._left <= 0:
            self._count(above)
            return None
        attributes, is_plain = (self._attributes, True) if values is None else self._with(values)
        span: Any = None
        if type(above) is Span:
            span = start_inside(self._tracer, above, around, self._name, attributes, is_plain, at)
        if span is None:
            # Also one that nobody will see: it is the parent by which all below is not seen either.
            span = self._tracer.start_span(self._name, around, _INTERNAL, attributes, (), at)
            if type(span) is Unsampled:
                return span
        # Without a lock: of two threads one may pass for both.
        self._left -= 1
        return span

    def _with(self, values: tuple[Any, ...]) -> tuple[dict[str, Any], bool]:
        """Return the attributes with those of the arguments, and whether no sequence is among them."""
        tell, is_plain = self._values.told, True
        attributes = self._attributes.copy()
        for name, value in zip(self.arguments, values, strict=True):
            told = tell(name, value)
            if told is not None:
                attributes[name] = told
                is_plain = is_plain and type(told) is not tuple
        return attributes, is_plain

    def _count(self, above: Any) -> None:
        """Count a call beyond the limit on the span `above`, if it is one that will be seen."""
        if above is None and process_span.of_process is not None:
            above = process_span.of_process.open_span
        if type(above) is Span:
            above.count(self._counted_as)
        if not self._has_said:
            self._has_said = True
            why = f"more than {self._limit} calls in a second; the others are counted on the span around them, if any"
            report.note(self._subject, "over the limit", why)

    def end(self, begun: Begun | Apart, error: BaseException | None) -> None:
        """Stop being current, and end the span; with `error`, if that has left the function."""
        if isinstance(begun, Apart):
            span = begun.span
            begun.pause()
        else:
            span, token = begun
            # A coroutine that was abandoned ends wherever it is collected: that context is not ours to restore.
            if error is None or not isinstance(error, GeneratorExit) or now().get(_SPAN_KEY) is span:
                leave(token)
        if error is None:
            span.end()
            return
        try:
            failure.mark(span, error)
        finally:
            span.end()

    # A generator's span is current from each resumption to the next `yield`.
    resume = staticmethod(Apart.resume)
    pause = staticmethod(Apart.pause)


def _path_of(code: CodeType) -> str:
    # Not of what has no file: "<string>", "<frozen importlib>".
    return code.co_filename if code.co_filename.startswith("<") else abspath(code.co_filename)

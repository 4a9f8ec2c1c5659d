"""The span that stands for the process: when there is one, how it starts, and how it ends.

What becomes its child is said in tracing/process_span.py. Its parent is whoever has started the process, by what the
environment said at that time (`TRACEPARENT`, `TRACESTATE`, `BAGGAGE`), whichever propagators requests use.
Source: OpenTelemetry semantic conventions, "CLI programs" (callee).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_run import __version__, forks, native, prefork
from otel_run.startup import lifetime, process_facts
from otel_run.startup.program import is_keeper, is_main_interpreter
from otel_run.tracing import process_span, told_errors, w3c, w3c_baggage
from otel_run.tracing.process_span import Bounds, ProcessSpan

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

    from otel_run.settings import Settings

_NANOSECONDS = 1_000_000  # in a millisecond


def begin(provider: TracerProvider, found: Settings) -> None:
    """Have a span for the process, made when it is needed; whoever starts us does so at once if it always is."""
    if found.process_span == "off":
        return
    caller = w3c.parse(found.traceparent, found.tracestate) if found.traceparent else None
    baggage = w3c_baggage.parse(found.baggage) if found.baggage and "baggage" in found.propagators else {}
    bounds = Bounds(found.process_span_max_age * _NANOSECONDS, found.process_span_max_spans)
    is_always = found.process_span == "on" and is_main_interpreter()

    def make(around: Context) -> Any:
        process_facts.watch()
        tracer = provider.get_tracer("otel_run.process", __version__)
        return tracer.start_span(
            process_facts.name(),
            around,
            SpanKind.INTERNAL,
            process_facts.attributes(found),
            start_time=process_facts.started_at(),
        )

    made = ProcessSpan(make, caller, baggage, None if is_always else bounds, native.RLock)
    forks.in_child(lambda: made.begin_child(prefork.is_heir()))
    lifetime.at_end(lambda for_good: _end(made, for_good))
    if is_keeper():
        # Its children do the program's work.
        forks.in_child(lambda: _have(made))
        return
    _have(made)


def _have(made: ProcessSpan) -> None:
    process_span.of_process = made


def _end(made: ProcessSpan, for_good: bool) -> None:
    forks.notice()  # a child that was made in C, in which it is the parent's
    # Where there is none and the process may go on, what comes then can still need one.
    if made.is_made or for_good:
        made.end(finish=_tell_ending)


def _tell_ending(span: Any) -> None:
    """Tell how the process ends."""
    ending = process_facts.ending()
    if ending.exit_code is not None:
        span.set_attribute("process.exit.code", ending.exit_code)
    if ending.error_type is not None:
        span.set_attribute("error.type", ending.error_type)
    error = ending.exception
    if ending.exit_code or ending.error_type is not None:
        span.set_status(Status(StatusCode.ERROR, None if error is None else told_errors.in_short(error)))
    if error is not None:
        # Told once, where it was raised, as for a request.
        told_errors.tell_of_request(span, error)

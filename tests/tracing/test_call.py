"""The span around a call, and what is in the context meanwhile."""

from __future__ import annotations

from contextvars import copy_context

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider

from otel_run.tracing.call import EVERYTHING, Call, is_suppressed

TRACER = TracerProvider().get_tracer("test")


def test_what_outlives_a_call_with_a_copy_of_its_context_is_not_silent_for_ever() -> None:
    call = Call(TRACER, "SELECT", {}, suppress=EVERYTHING)
    begun_meanwhile = copy_context()
    assert is_suppressed("any")
    assert begun_meanwhile.run(is_suppressed, "any")
    call.end()
    assert not is_suppressed("any")
    assert not begun_meanwhile.run(is_suppressed, "any")


def test_the_context_is_afterwards_what_it_was_before() -> None:
    before = context.get_current()
    call = Call(TRACER, "GET", {}, suppress=EVERYTHING)
    assert trace.get_current_span() is call.span
    call.leave()
    assert context.get_current() == before
    assert call.span.is_recording()
    call.end()
    assert context.get_current() == before
    assert not call.span.is_recording()

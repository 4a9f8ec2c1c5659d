"""What goes before a program in which some requests are kept and others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servers.receiver import Span

# `kept()` and `dropped()` are requests, for a `with` block; `assert_outside()` fails if one has left something.
REQUESTS = """
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

def request(flags):
    caller = NonRecordingSpan(SpanContext(0xA, 0xB, True, TraceFlags(flags)))
    around = trace.set_span_in_context(caller)
    return trace.get_tracer("app").start_as_current_span("request", around, SpanKind.SERVER)

def kept():
    return request(1)

def dropped():
    return request(0)

def assert_outside():
    assert context.get_current() == {}, context.get_current()
"""

# A sampler of the program's, which keeps nothing and notes all that it was asked about.
LOOKING = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

seen = []

class Looking(Sampler):
    def should_sample(self, context, trace_id, name, kind=None, attributes=None, *args, **kwargs):
        seen.append([name, dict(attributes or {})])
        return SamplingResult(Decision.DROP)

    def get_description(self):
        return "looking"

trace.set_tracer_provider(TracerProvider(sampler=Looking()))
"""


def at_start(span: Span) -> dict[str, Any]:
    """Return the attributes without those that are not known when a call begins."""
    later = {"db.response.returned_rows", "error.type", "db.response.status_code"}
    return {name: value for name, value in span.attributes.items() if name not in later}

"""A span inside of one that is recorded: what `Tracer.start_span` comes to there, in fewer steps.

For those that are made by the thousand, a call of a function of the program's: nothing is decided there, since the
sampler is known to follow the parent, and nobody else is told.
"""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otel_run.tracing.decided import IS_KEPT
from otel_run.tracing.ids import RandomIds
from otel_run.tracing.processors import Processors
from otel_run.tracing.span import Span, start
from otel_run.tracing.tracer import Tracer

if TYPE_CHECKING:
    from opentelemetry.context import Context

_SAMPLED = TraceFlags.SAMPLED
_INTERNAL = SpanKind.INTERNAL
_new, _number = tuple.__new__, int.from_bytes


def start_inside(
    tracer: Any, above: Span, around: Context, name: str, attributes: dict[str, Any], is_plain: bool, at: int
) -> Span | None:
    """Start an INTERNAL span below `above` at `at`, in ns since the epoch; None if `start_span` must be asked.

    `is_plain` tells that `attributes` are such as the SDK takes as they are.
    """
    if type(tracer) is not Tracer:
        return None
    parent = above._context
    rule = tracer._rule if tracer.sampler is tracer._ruler else tracer._learn(tracer.sampler)
    processor: Any = tracer.span_processor
    trace_id, _, _, flags, state, _ = parent
    if (
        not (rule.follows and flags & _SAMPLED and tracer._tracer_config.is_enabled)
        or IS_KEPT in around
        or type(tracer.id_generator) is not RandomIds
        or type(processor) is not Processors
        or processor._others
    ):
        return None
    span_id = _number(urandom(8), "big") or tracer.id_generator.generate_span_id()
    made = _new(SpanContext, (trace_id, span_id, False, flags, state, True))
    span = start(tracer, name, made, parent, _INTERNAL, None if is_plain else attributes, at)
    if is_plain:
        span._attributes.take(attributes)
    return span

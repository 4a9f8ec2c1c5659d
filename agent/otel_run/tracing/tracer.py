"""A tracer as the SDK has it, with a short way from a call to a span, or to none.

Short where the sampler is one of the specification's: what it would decide is then known without asking (decided.py).
Everything else is asked, handed on and raised as the SDK does.
Source: OpenTelemetry specification, "Trace SDK", "Sampling"; W3C Trace Context Level 2, "random-trace-id flag".
"""

from __future__ import annotations

from os import getpid
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace._tracer_metrics import NoOpTracerMetrics
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

from otel_run import forks
from otel_run.tracing import process_span
from otel_run.tracing.current import CurrentSpan
from otel_run.tracing.decided import ASK, IS_KEPT, Rule, rule_of
from otel_run.tracing.entering import now
from otel_run.tracing.ids import RandomIds
from otel_run.tracing.span import Span, Unsampled, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Link
    from opentelemetry.util.types import Attributes

_SAMPLED, _RANDOM = TraceFlags.SAMPLED, TraceFlags.RANDOM_TRACE_ID
# All that there are of them.
_new = tuple.__new__
_FLAGS = tuple(TraceFlags(bits) for bits in range(_SAMPLED + _RANDOM + 1))
_LOW = TraceIdRatioBased.TRACE_ID_LIMIT
_OURS = (Span, Unsampled)


class Tracer(sdk.Tracer):
    """A tracer whose spans are ours; `adopt` makes it of one of the SDK's."""

    # What `_learn` has found out, and of which sampler: a program may give its tracers others.
    _ruler: Sampler | None = None
    _rule: Rule = ASK

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Any:
        """Start a span in `context`, or the current one, at `start_time`, in ns since the epoch, or now."""
        around = now() if context is None else context
        above: Any = around.get(_SPAN_KEY)
        parent = above._context if type(above) in _OURS else _context_of(above)
        if not self._tracer_config.is_enabled:
            return NonRecordingSpan(parent)
        ids: Any = self.id_generator
        draws = type(ids) is RandomIds
        trace_id, span_id, is_remote, flags, state, has_parent = parent
        if is_remote or not has_parent:
            if forks.pid != getpid():
                forks.notice()
            process = process_span.of_process
            if process is not None:
                if kind is process_span.SERVER or kind is process_span.CONSUMER:
                    process.serve()
                elif not has_parent:
                    inside = process.above(around, context is not None and not self._is_ours())
                    if inside is not None:
                        context = around = inside
                        parent = _context_of(around[_SPAN_KEY])
                        trace_id, span_id, is_remote, flags, state, has_parent = parent
                    elif process.links is not None and IS_KEPT not in around:
                        links = (*links, *process.links) if links else process.links
        if not has_parent:
            state = None
            flags = _RANDOM if ids.is_trace_id_random() else 0
            trace_id, span_id = ids.generate_both() if draws else (ids.generate_trace_id(), 0)
        sampler = self.sampler
        rule = self._rule if sampler is self._ruler else self._learn(sampler)
        keeps = records = is_kept = around.get(IS_KEPT)
        if keeps is None:
            if rule is ASK:
                result: Any = sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
                keeps, records = result.decision.is_sampled(), result.decision.is_recording()
                attributes, state = result.attributes, result.trace_state
            else:
                keeps = records = flags & _SAMPLED if has_parent and rule.follows else trace_id & _LOW < rule.bound
        if has_parent or not draws:
            span_id = ids.generate_span_id()
        flags = _FLAGS[flags & _RANDOM | (_SAMPLED if keeps else 0)]
        # The SDK's constructor does the same, after looking whether the ids are within their bounds.
        made = _new(SpanContext, (trace_id, span_id, False, flags, state or DEFAULT_TRACE_STATE, True))
        if not draws:
            made = SpanContext(trace_id, span_id, False, flags, state)
        if not records:
            return (Unsampled if rule.drops_below or is_kept is False else NonRecordingSpan)(made)
        if type(attributes) is not dict and attributes is not None:
            # What is no mapping fails as it does in a sampler's result; one look at a lazy one is enough.
            seen = MappingProxyType(attributes)
            attributes = dict(seen.items()) if seen else None
        span = start(self, name, made, parent if has_parent else None, kind, attributes, start_time)
        if links:
            if type(links) is process_span.Links:
                span._links.extend(links)
            else:
                span._links = span._new_links(links)
        if not (record_exception and set_status_on_exception):
            span._record_exception, span._set_status_on_exception = record_exception, set_status_on_exception
        self.span_processor.on_start(span, parent_context=context)
        return span

    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> CurrentSpan:
        """Return what starts a span, is current with it for a block or each call of a function, and ends it."""
        arguments = (name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        return CurrentSpan(self, arguments, end_on_exit)

    def _learn(self, sampler: Sampler) -> Rule:
        self._rule = rule_of(sampler)
        self._ruler = sampler
        return self._rule

    def _known_rule(self) -> Rule:
        return self._rule if self.sampler is self._ruler else self._learn(self.sampler)

    def _is_ours(self) -> bool:
        """Tell whether this is an instrumentor's of ours: none of them wishes for a root by handing on a context."""
        scope = self._instrumentation_scope
        return scope is not None and scope.name.startswith("otel_run.")

    def drop(self, around: Context, above: NonRecordingSpan | None) -> Unsampled | None:
        """Return a span for what is started in `around`, below the span `above`, if it is known that none is kept.

        What `start_span` would come to, in fewer steps: this is done for each request that is not sampled.
        """
        sampler, ids = self.sampler, self.id_generator
        rule = self._rule if sampler is self._ruler else self._learn(sampler)
        if IS_KEPT in around or type(ids) is not RandomIds or not self._tracer_config.is_enabled:
            return None
        if above is None:
            if rule.bound:
                return None
            trace_id, span_id = ids.generate_both()
            told = (trace_id, span_id, False, _FLAGS[_RANDOM], DEFAULT_TRACE_STATE, True)
        else:
            trace_id, _, _, flags, state, is_valid = _context_of(above)
            if not (rule.follows and is_valid) or flags & _SAMPLED:
                return None
            told = (
                trace_id,
                ids.generate_span_id(),
                False,
                _FLAGS[flags & _RANDOM],
                state or DEFAULT_TRACE_STATE,
                True,
            )
        return Unsampled(_new(SpanContext, told))


def _context_of(span: object) -> SpanContext:
    """Return the context of what a program has put into the place of the current span."""
    found = span.get_span_context() if isinstance(span, api.Span) else None
    if found is not None and not isinstance(found, SpanContext):
        raise TypeError("parent_span_context must be a SpanContext or None.")
    return found or api.INVALID_SPAN_CONTEXT


def dropped(tracer: object, around: Context, kind: SpanKind = SpanKind.CLIENT) -> Unsampled | None:
    """Return the unsampled span that stands for what an instrumentor could make in `around`; None if it must make it.

    This is the one check that a call costs below a request that is not sampled.
    """
    above = around.get(_SPAN_KEY)
    if type(above) is Unsampled:
        return above if is_dropped(tracer, around) else None
    if type(tracer) is Tracer and (above is None or type(above) is NonRecordingSpan):
        process = process_span.of_process
        if process is not None:
            if forks.pid != getpid():
                forks.notice()
            if kind is SpanKind.SERVER:
                process.serve()
            elif above is None:
                drops = process.drops(around, tracer._known_rule())
                if drops is not True:
                    return drops or None
        return tracer.drop(around, above)
    return None


def is_dropped(tracer: Any, around: Context) -> bool:
    """Tell the same to whoever needs no span: no header goes out to a database."""
    is_kept = around.get(IS_KEPT)
    if is_kept is not None:
        # What is below an excluded request is not kept, whosever tracer it is.
        return not is_kept
    if type(tracer) is not Tracer:
        return False
    sampler = tracer.sampler
    rule = tracer._rule if sampler is tracer._ruler else tracer._learn(sampler)
    above = around.get(_SPAN_KEY)
    if above is None:
        process = process_span.of_process
        return rule.bound == 0 if process is None else process.drops(around, rule) is not False
    # A tracer with another sampler may have dropped what is above.
    return type(above) is Unsampled and rule.drops_below


def adopt(tracer: object) -> None:
    """Make a tracer of the SDK's one of ours, in place: whoever changes it later changes what we use."""
    if type(tracer) is sdk.Tracer and type(tracer._tracer_metrics) is NoOpTracerMetrics and _fits(tracer):
        tracer.__class__ = Tracer


def _fits(tracer: sdk.Tracer) -> bool:
    """Tell whether the SDK is built as ours counts on; else its own tracer does the work, only slower."""
    context = SpanContext(1, 2, False, _FLAGS[0], DEFAULT_TRACE_STATE)
    return tuple(context) == (1, 2, False, _FLAGS[0], DEFAULT_TRACE_STATE, True) and all(
        hasattr(tracer, name) for name in ("_tracer_config", "_span_limits", "_instrumentation_scope")
    )

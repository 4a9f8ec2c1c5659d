"""What all HTTP servers and frameworks share: one SERVER span for each request, and when there is none.

A request passes through layers: the server's, middleware, a framework's, that of one mounted inside. The outermost
that we see makes the span; those inside find it in the context (`http_request.current`) and add what they know: the
route, the exception that became an error page. Source: OpenTelemetry semantic conventions, "HTTP server span"
(stable), and for the old names "HTTP" as of 1.20.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate
from opentelemetry.baggage import _BAGGAGE_KEY
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY, get_current_span

from otel_run import settings
from otel_run.instrumentors.http_arrival import Deferred, Description
from otel_run.instrumentors.http_headers import HeaderCapture
from otel_run.instrumentors.http_probes import is_probe
from otel_run.instrumentors.http_request import Excluded, Passing, Request, of
from otel_run.tracing import propagation
from otel_run.tracing.call import EVERYTHING, HTTP, is_suppressed
from otel_run.tracing.decided import ASK, IS_KEPT
from otel_run.tracing.entering import now
from otel_run.tracing.ids import RandomIds
from otel_run.tracing.processors import Processors
from otel_run.tracing.span import Span, Unsampled
from otel_run.tracing.tracer import Tracer, dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry import trace

    from otel_run.instrumentors.http_arrival import Arrival
    from otel_run.instrumentors.http_headers import Attributes

_ids = RandomIds()


class HttpServer:
    """One layer, a server's or a framework's: its settings, compiled once.

    `library` is the name in OTEL_PYTHON_<LIBRARY>_EXCLUDED_URLS. A server's layer is `outermost`: what is current
    when it calls the application is whatever the program was doing when it started the server, and no caller.
    """

    # Whether the server has an answer of its own in place of one that ended before its first byte.
    answers_instead = True
    # Its answer for an application that makes a body and never tells a status; None if it sends one without.
    answer_to_silence: int | None = 500

    def __init__(self, tracer: trace.Tracer, library: str, outermost: bool = False) -> None:
        found = settings.current()
        self.tracer = tracer
        self.is_on = True
        self._outermost = outermost
        # Each by itself: joined into one, an inline flag such as (?i) would be an error.
        self._excluded = [re.compile(pattern) for pattern in found.excluded_urls_of(library)]
        # Whether this layer has a say of its own in what is excluded.
        self._has_own_patterns = library in found.excluded_urls_by_library
        self._drops_probes = found.probes == "drop"
        self._may_exclude = bool(self._excluded) or self._drops_probes
        self.has_old_names = "http/dup" in found.semconv_opt_in
        self._describe = Description(found)
        self._methods = self._describe.methods
        self.headers = HeaderCapture(found, found.capture_server_request_headers, found.capture_server_response_headers)
        # Whether answers get a header with the trace's id, and which.
        self._told_in = () if "off" in found.response_header else found.response_header
        self.tells_client = bool(self._told_in)

    def begin(self, read: Callable[[Any], Arrival], source: Any) -> Passing | None:
        """Start the span of the request that `read` finds in `source`; None if it has one, or nobody wants any."""
        if not self.is_on:
            return None
        arrival, around = read(source), now()
        # Empty where nothing is above, as nearly everywhere.
        if around:
            above = of(around)
            if above is not None and above.is_about(arrival):
                return self._begin_inside(above, arrival)
            if self._outermost:
                around = _without_caller(around)
            elif is_suppressed(EVERYTHING, around):
                return None
        # Most of the outermost bring nothing: that is seen here without a call for each header.
        brings = propagate._HTTP_TEXT_FORMAT is not propagation._default or arrival.brings_context()
        parent = propagation.extract(arrival, around) if brings else around
        if self._may_exclude and (self._excludes(arrival) or (self._drops_probes and is_probe(arrival))):
            return _exclude(arrival, parent)
        return self._start(arrival, parent)

    def _begin_inside(self, above: Passing, arrival: Arrival) -> Passing | None:
        """Let a layer inside decide what is excluded, if the user has given it patterns of its own."""
        if not self._has_own_patterns or (self._drops_probes and is_probe(arrival)):
            return None
        excludes = self._excludes(arrival)
        if excludes is above.is_excluded:
            return None
        parent = _with_span_of(above.parent, now())
        if excludes:
            above.drop()
            return _exclude(arrival, parent)
        return self._start(arrival, parent)

    def _start(self, arrival: Arrival, parent: Context) -> Passing:
        tracer: Any = self.tracer
        is_ruled = type(tracer) is Tracer and tracer._ruler is tracer.sampler and tracer._rule is not ASK
        if is_ruled and (parent or not tracer._rule.bound):
            unsampled = dropped(tracer, parent, SpanKind.SERVER)
            if unsampled is not None:
                return Passing(arrival, unsampled, parent)
        method = arrival.method
        if self._methods is not None and method not in self._methods:
            method = "HTTP"
        if is_ruled and type(tracer.span_processor) is Processors and not tracer.span_processor._others:
            # Nobody looks at a span that starts, and only one that is kept shall cost its attributes.
            span = tracer.start_span(method, parent, SpanKind.SERVER)
            if type(span) is not Span:
                return Passing(arrival, span, parent)
            span.set_attributes(self._attributes(arrival) if self.headers.of_requests else self._describe(arrival))
        else:
            # All attributes that are known go in at the start: samplers see nothing else.
            span = tracer.start_span(method, parent, SpanKind.SERVER, Deferred(self._attributes, arrival))
            if not span.is_recording():
                return Passing(arrival, span, parent)
        return Request(self, arrival, span, parent, method)

    def _attributes(self, arrival: Arrival) -> Attributes:
        attributes = self._describe(arrival)
        if self.headers.of_requests:
            attributes.update(self.headers.of_request(arrival.headers()))
        return attributes

    def _excludes(self, arrival: Arrival) -> bool:
        url = arrival.url()
        return any(pattern.search(url) for pattern in self._excluded)

    def headers_for_client(self, request: Passing) -> list[tuple[str, str]]:
        """Return the headers that tell the client which trace its request became.

        Sources: W3C Trace Context Level 2, "traceresponse"; for browsers, which cannot read that one across
        origins, W3C Server Timing.
        """
        value = propagation.told_as_header(request.span.get_span_context())
        made: Mapping[str, tuple[str, str]] = {
            "traceresponse": ("traceresponse", value),
            "server-timing": ("Server-Timing", f'traceparent;desc="{value}"'),
        }
        return [made[name] for name in self._told_in]


def _exclude(arrival: Arrival, parent: Context) -> Excluded:
    """Give the request a parent for all below that is not sampled, in the caller's trace if there is one."""
    told = get_current_span(parent).get_span_context()
    # Whether the trace's id was drawn at random stays as it was told.
    is_random = told.trace_flags & TraceFlags.RANDOM_TRACE_ID if told.is_valid else TraceFlags.RANDOM_TRACE_ID
    unsampled = SpanContext(
        told.trace_id or _ids.generate_trace_id(),
        told.span_id or _ids.generate_span_id(),
        False,
        TraceFlags(is_random),
        told.trace_state,
    )
    return Excluded(arrival, Unsampled(unsampled), parent)


# What tells of whoever started the server, and holds for none of its requests.
_OF_CALLERS = frozenset((_SPAN_KEY, _BAGGAGE_KEY, IS_KEPT, EVERYTHING, HTTP, "suppress_instrumentation"))


def _without_caller(around: Context) -> Context:
    if _OF_CALLERS.isdisjoint(around):
        return around
    return Context({key: value for key, value in around.items() if key not in _OF_CALLERS})


def _with_span_of(source: Context, around: Context) -> Context:
    """Return `around` with the span, what is decided of it, and the baggage of `source` in place of its own."""
    if not source and _SPAN_KEY not in around and _BAGGAGE_KEY not in around:
        return around
    parts = (_SPAN_KEY, _BAGGAGE_KEY, IS_KEPT)
    kept = {key: value for key, value in around.items() if key not in parts}
    kept.update((key, source[key]) for key in parts if key in source)
    return Context(kept)

"""Events and links, as the SDK takes and shows them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, EventBase
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, SpanContext, TraceFlags, TraceState

from tracing.like_sdk import Recording, Side, compare

GOOD = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(3), trace_state=TraceState([("a", "b")]))
CONTEXTS = [
    GOOD,
    INVALID_SPAN_CONTEXT,
    SpanContext(0, 2, False),
    SpanContext(1, 0, False),
    SpanContext(0, 0, False, trace_state=TraceState([("a", "b")])),
    SpanContext(2**128, 1, False),
    None,
]


@pytest.mark.parametrize("attributes", [None, {}, {"a": 1}, {"": 1}], ids=str)
@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: str(context and tuple(context)))
def test_a_link_to_any_context(context: SpanContext | None, attributes: dict[str, Any] | None) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("add_link", lambda: span.add_link(context, attributes))
        side.note("the span", span)
        link: Any = Link(context, attributes)  # type: ignore[arg-type]
        side.try_("at the start", lambda: side.tracer.start_span("second", links=[link]).end())
        side.try_("inside", lambda: span._add_link(link))
        span.end()
        side.try_("late", lambda: span.add_link(context, attributes))

    compare(program)


@pytest.mark.parametrize("links", [None, (), [], 5, "ab", [None], [5], [GOOD]], ids=str)
def test_whatever_is_given_for_links(links: Any) -> None:
    def program(side: Side) -> None:
        side.try_("start", lambda: side.tracer.start_span("span", links=links).end())

    compare(program)


@pytest.mark.parametrize("time", [None, 0, 1, -1, 2**63, 1.5, True])
@pytest.mark.parametrize("name", ["event", "", None, 5, "\ud800"])
def test_an_event_of_any_name_at_any_time(name: Any, time: Any) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("event", lambda: span.add_event(name, timestamp=time))
        side.try_("exception", lambda: span.record_exception(ValueError(name), timestamp=time))
        side.try_("positional", lambda: span.add_event(name, {"a": 1}, time))
        span.end()

    compare(program)


def test_events_and_links_are_tuples_as_they_are_at_the_moment() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.note("none", (span.events, span.links))
        before = span.events
        span.add_event("first")
        span.add_link(GOOD)
        side.note("before", before)
        side.note("after", (span.events, span.links))
        side.note("the same", (span.events[0] is span.events[0], span.links[0] is span.links[0]))
        span.end()
        (ended,) = side.exporter.get_finished_spans()
        side.note("same in the copy", (ended.events[0] is span.events[0], ended.links == span.links))

    compare(program)


def test_an_event_keeps_what_the_program_gave_and_may_be_copied() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        span.add_event("event", {"a": [1]})
        span.add_link(GOOD, {"a": [1]})
        for part in (span.events[0], span.links[0]):
            for made in (copy.copy(part), copy.deepcopy(part)):
                side.note("copy", made)
                side.try_("immutable", lambda made=made: made.attributes.__setitem__("b", 1))  # type: ignore[misc]
        span.end()

    compare(program)


def test_events_of_a_kind_of_the_programs_own() -> None:
    class Own(EventBase):
        @property
        def attributes(self) -> Any:
            return {"own": True}

    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        span._add_event(Own("own", 5))
        span._add_event(Event("theirs", {"a": 1}, 6))
        side.note("names", [(event.name, event.timestamp, dict(event.attributes)) for event in span.events])
        side.try_("json", lambda: len(span.to_json()) > 0)

    compare(program)


def test_what_is_behind_events_and_links_is_there_before_the_first() -> None:
    def program(side: Side) -> None:
        def add(span: Any) -> None:
            span._events.append(Event("added inside", {"a": 1}, 7))
            side.note("links", (len(span._links), span._links.dropped))

        side.provider.add_span_processor(Recording(side, "adding ", on_start=add, on_ending=add, on_end=add))
        side.provider.add_span_processor(Recording(side, "after it "))
        side.tracer.start_span("span").end()

    compare(program)


def test_what_is_behind_events_and_links_is_theirs() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span", links=[Link(GOOD)])
        span.add_event("event")
        for inside in (span._events, span._links):
            side.note("inside", (len(inside), inside.dropped, inside[0], inside[-1], list(inside), inside[0] in inside))
            inside.append(inside[0])
            inside.extend([inside[0]])
        side.note("the span", span)
        span.end()

    compare(program)

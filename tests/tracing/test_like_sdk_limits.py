"""The limits of a span, as the SDK keeps them: what is dropped, what is cut, what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Link, SpanContext, TraceFlags

from tracing.like_sdk import Side, compare

NONE = SpanLimits.UNSET
ELSEWHERE = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
LIMITS = [
    *({"max_span_attributes": count} for count in (0, 1, 2, 5, NONE)),
    *({"max_event_attributes": count, "max_link_attributes": count} for count in (0, 1, 2, NONE)),
    *({"max_events": count, "max_links": count} for count in (0, 1, 2, NONE)),
    *({"max_attribute_length": length} for length in (0, 1, 3, NONE)),
    *({"max_span_attribute_length": length, "max_attribute_length": 2} for length in (0, 1, 3, NONE)),
    {"max_attributes": 1}, {"max_attributes": 0, "max_events": 0, "max_links": 0}, {"max_attributes": NONE},
    {"max_span_attributes": 2, "max_span_attribute_length": 1},
]  # fmt: skip


def _names(limits: dict[str, int]) -> str:
    return " ".join(f"{name[4:]}={value}" for name, value in limits.items())


@pytest.mark.parametrize("given", LIMITS, ids=_names)
def test_a_span_within_limits(given: dict[str, Any]) -> None:
    def program(side: Side) -> None:
        long = {"a": "text", "b": ["text", "more"], "c": {"deep": ["text", b"text"]}, "d": b"text", "e": 12345}
        links = [Link(ELSEWHERE, dict(long)), Link(ELSEWHERE), Link(ELSEWHERE, {"a": 1})]
        span = side.tracer.start_span("span", attributes=long, links=links)
        side.note("the span", span)
        for key in ("f", "a", "g", "", "b"):
            span.set_attribute(key, f"value of {key}")
            side.note("one", (span.attributes, span.dropped_attributes))
        for more in ({}, {"c": "text", "h": 1}, {"a": 1, "": 2, "i": object(), 5: 6}, long):
            span.set_attributes(more)
            side.note("more", (span.attributes, span.dropped_attributes))
        for number in range(4):
            span.add_event(f"event {number}", long if number else None)
            span.add_link(ELSEWHERE, long if number else None)
            side.note("parts", (span.events, span.dropped_events, span.links, span.dropped_links))
        span.record_exception(ValueError("a long text"), {"own": "attribute", "exception.type": "mine"})
        span.end()

    compare(program, limits=SpanLimits(**given))


@pytest.mark.parametrize("count", [0, 1, 3, NONE])
def test_the_oldest_go_first_and_what_is_set_again_is_young(count: int) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span", attributes={"a": 1, "b": 2, "c": 3})
        for key in ("a", "d", "b", "b", "e", "a"):
            span.set_attribute(key, key)
            side.note(key, (list(span.attributes), span.dropped_attributes))
        span.set_attributes({"x": 1, "a": 2, "y": 3, "z": 4})
        span.end()

    compare(program, limits=SpanLimits(max_span_attributes=count))


def test_the_default_limits_hold_for_everything() -> None:
    def program(side: Side) -> None:
        many = {f"key {number}": number for number in range(130)}
        links = [Link(ELSEWHERE, many) for _ in range(130)]
        span = side.tracer.start_span("span", attributes=many, links=links)
        for number in range(130):
            span.add_event(f"event {number}", many if number % 10 == 0 else None)
            span.set_attribute(f"one {number}", "x" * 1000)
            span.add_link(ELSEWHERE)
        span.end()

    compare(program)


def test_many_links_at_the_start_and_a_mapping_at_the_start_larger_than_the_limit() -> None:
    def program(side: Side) -> None:
        links = tuple(Link(SpanContext(1, number, False)) for number in range(5))
        side.tracer.start_span("span", links=links, attributes={"a": 1, "": 2, "b": 3, "c": 4}).end()
        side.tracer.start_span("span", links=iter(links)).end()
        side.tracer.start_span("span", links=[links[0], None, Link(SpanContext(0, 0, False))]).end()

    compare(program, limits=SpanLimits(max_links=2, max_span_attributes=2))

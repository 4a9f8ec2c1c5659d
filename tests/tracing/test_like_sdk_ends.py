"""A span's end, as the SDK's: what it is before and after, and what it is when nobody holds it any longer."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from tracing.like_sdk import Side, compare, sides

ELSEWHERE = SpanContext(1, 2, is_remote=True)
LATE: dict[str, Callable[[Any], object]] = {
    "set_attribute": lambda span: span.set_attribute("late", 1),
    "a bad attribute": lambda span: span.set_attribute("", object()),
    "set_attributes": lambda span: span.set_attributes({"late": 1}),
    "no attributes": lambda span: span.set_attributes(None),
    "add_event": lambda span: span.add_event("late", {"": object()}),
    "add_link": lambda span: span.add_link(ELSEWHERE, {"late": 1}),
    "a bad link": lambda span: span.add_link(api.INVALID_SPAN_CONTEXT),
    "record_exception": lambda span: span.record_exception(ValueError("late")),
    "set_status": lambda span: span.set_status(Status(StatusCode.ERROR, "late")),
    "a bad status": lambda span: span.set_status(None),
    "update_name": lambda span: span.update_name("late"),
    "end": lambda span: span.end(),
    "end at": lambda span: span.end(5),
    "start": lambda span: span.start(),
    "_add_event": lambda span: span._add_event(sdk.Event("late")),
    "_add_link": lambda span: span._add_link(api.Link(ELSEWHERE)),
    "with": lambda span: span.__enter__() is span and span.__exit__(None, None, None),
    "with an error": lambda span: span.__exit__(ValueError, ValueError("late"), None),
    "is_recording": lambda span: span.is_recording(),
    "inside": lambda span: span._attributes.__setitem__("late", 1),
    "readable": lambda span: span._readable_span(),
}


@pytest.mark.parametrize("what", LATE)
def test_each_call_before_and_after_the_end(what: str) -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span", attributes={"a": 1})
        side.try_("early", lambda: LATE[what](span))
        span.end()
        side.try_("late", lambda: LATE[what](span))
        side.note("the span", span)

    compare(program)


@pytest.mark.parametrize("end", [None, 0, 1, -5, 2**63, 1.5, True, "text"])
@pytest.mark.parametrize("start", [None, 0, 1, -5, 2**63, 1.5, True])
def test_times_are_what_was_given(start: Any, end: Any) -> None:
    def program(side: Side) -> None:
        span = side.try_("start", lambda: side.tracer.start_span("span", start_time=start))
        side.try_("end", lambda: span.end(end))
        side.try_("by name", lambda: span.end(end_time=end))
        side.note("recording", span.is_recording())

    compare(program)


def test_times_rise() -> None:
    for side in sides():
        span = side.tracer.start_span("span")
        span.add_event("event")
        span.end()
        assert span.start_time <= span.events[0].timestamp <= span.end_time


@pytest.mark.parametrize("name", ["name", "", None, 5, "\ud800", b"bytes", ("a", 1)], ids=repr)
@pytest.mark.parametrize("kind", [SpanKind.CLIENT, None, 5, "SERVER"], ids=str)
def test_any_name_and_kind(name: Any, kind: Any) -> None:
    def program(side: Side) -> None:
        span = side.try_("start", lambda: side.tracer.start_span(name, kind=kind))
        side.try_("repr", lambda: repr(span))
        side.try_("update", lambda: span.update_name(name))
        side.try_("end", span.end)

    compare(program)


def test_it_is_one_of_theirs() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        classes = (sdk.Span, sdk.ReadableSpan, api.Span, api.NonRecordingSpan)
        side.note("span", [isinstance(span, cls) for cls in classes])
        side.note("tracer", [isinstance(side.tracer, cls) for cls in (sdk.Tracer, api.Tracer, api.NoOpTracer)])
        side.note("provider", [isinstance(side.provider, cls) for cls in (sdk.TracerProvider, api.TracerProvider)])
        side.note("truth", (bool(span), span == span, span != side.tracer.start_span("other"), len({span, span})))
        public = {name for name in dir(sdk.Span) if not name.startswith("_")}
        side.note("all there", public <= set(dir(span)))
        side.try_("attribute of the program's", lambda: setattr(span, "theirs", 1))
        side.note("repr", repr(span))
        side.note(
            "inside", sorted(set(vars(sdk._Span("x", ELSEWHERE, resource=side.provider.resource))) - set(dir(span)))
        )

    compare(program)


def test_it_is_of_the_class_that_programs_import_from_the_inside() -> None:
    def program(side: Side) -> None:
        side.note("is", isinstance(side.tracer.start_span("span"), sdk._Span))

    compare(program)


def test_a_span_cannot_be_made_by_hand() -> None:
    def program(side: Side) -> None:
        side.try_("made", lambda: sdk.Span("span", ELSEWHERE))

    compare(program)


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("which", ["live", "ended", "exported", "readable", "context", "attributes", "events"])
@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, _pickled])
def test_copies_where_theirs_can_be_made(made: Callable[[Any], Any], which: str) -> None:
    # A lock of theirs is in the way of the others.
    if (made is _pickled and which != "context") or (made is copy.deepcopy and which in ("live", "ended")):
        assert _copied(sides()[0], made, which) == ["raised"]
        return
    assert _copied(sides()[0], made, which) == []
    compare(lambda side: _copied(side, made, which))


def _copied(side: Side, made: Callable[[Any], Any], which: str) -> list[str]:
    """Copy a part of a span, note what it is and what it shares with the original; tell if it could not be."""
    span = side.tracer.start_span("span", attributes={"a": [1]})
    span.add_event("event", {"a": [1]})
    span.add_link(ELSEWHERE, {"b": 2})
    readable = span._readable_span()
    if which != "live":
        span.end()
    parts: dict[str, Callable[[], Any]] = {
        "live": lambda: span, "ended": lambda: span, "exported": lambda: side.exporter.get_finished_spans()[0],
        "readable": lambda: readable, "context": lambda: span.context, "attributes": lambda: span._attributes,
        "events": lambda: span._events,
    }  # fmt: skip
    try:
        result = made(parts[which]())
    except TypeError:
        return ["raised"]
    side.note("made", result)
    if which == "live":
        result.set_attribute("copy", True)
        result.add_event("of the copy")
        side.note("both", (span, result))
        span.end()
        side.note("both", (span, result))
    return []


@pytest.mark.parametrize("is_ended", [True, False])
def test_a_span_is_gone_when_nobody_holds_it(is_ended: bool) -> None:
    gc.collect()
    gc.disable()
    try:
        for side in sides():
            span = side.tracer.start_span("span")
            span.add_event("event")
            if is_ended:
                span.end()
            seen = weakref.ref(span)
            del span
            assert seen() is None
    finally:
        gc.enable()


def test_a_provider_is_gone_when_nobody_holds_it() -> None:
    def left(side: Side) -> weakref.ref[Any]:
        with side.tracer.start_as_current_span("span"):
            pass
        return weakref.ref(side.provider)

    gone = []
    for number in range(2):
        seen = left(sides()[number])
        gc.collect()
        gone.append(seen() is None)
    assert gone[1] == gone[0]

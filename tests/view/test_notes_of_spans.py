"""Errors, time of its own, children side by side and too late: each note where it is just true, and just not."""

from __future__ import annotations

from typing import Any

import pytest
import told
from noted import notes, take, within

from otel_run.view.span import CONSUMER, ERROR, Event
from otel_run.view.tree import traces


@pytest.mark.parametrize(("own", "whole"), [(10, 20), (20, 100)])
def test_time_that_no_span_covers_is_told_from_10_ms_and_a_fifth_on(own: float, whole: float) -> None:
    def trace(covered: float) -> dict[str, str]:
        spans, root = within(whole)
        spans.code("work", 0, covered, root)
        return notes(spans)

    assert trace(whole - own) == {"main": f"{own}ms of its own time, no span covers it"}
    assert trace(whole - own + 0.01) == {}


def test_a_span_without_children_is_all_its_own_time() -> None:
    assert notes(within(500)[0]) == {}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 50), (25, 75)], "2 in parallel, saved 25ms"),
        ([(0, 50), (30.1, 80.1)], None),
        ([(0, 10), (0, 10)], "2 in parallel, saved 10ms"),
        ([(0, 9.99), (0, 9.99)], None),
        ([(0, 40), (40, 80)], None),
        ([(0, 40), (10, 40), (20, 40), (40, 80)], "3 in parallel, saved 50ms"),
    ],
)
def test_what_ran_side_by_side_has_saved_a_fifth_and_10_ms(
    spans: list[tuple[float, float]], expected: str | None
) -> None:
    trace, root = within(max(end for _, end in spans))
    for number, (start, end) in enumerate(spans):
        trace.code(f"job{number}", start, end, root, lane=f"job-{number}")
    assert notes(trace).get("main") == expected


@pytest.mark.parametrize(
    ("lane", "notes_of"),
    [
        ("thread-1", {"generator": "40ms of its own time, no span covers it"}),
        ("thread-2", {"main": "2 in parallel, saved 51ms", "generator": "91ms of its own time, no span covers it"}),
    ],
)
def test_a_generator_has_no_time_of_its_own_while_what_it_gave_is_used(lane: str, notes_of: dict[str, str]) -> None:
    spans, root = within(100)
    generator = spans.code("generator", 0, 100, root)
    spans.code("ask", 0, 9, generator)
    spans.code("use", 30, 81, root, lane=lane)
    assert notes(spans) == notes_of


@pytest.mark.parametrize(
    ("end", "fields", "expected"),
    [
        (150, {}, "ended 50ms after its parent"),
        (101, {}, None),
        (101.1, {}, "ended 1.1ms after its parent"),
        (150, {"process": "prices-1"}, None),
        (150, {"kind": CONSUMER}, None),
        (150, {"is_open": True}, None),
    ],
)
def test_what_ended_after_its_parent_was_not_waited_for(end: float, fields: dict[str, Any], expected: str) -> None:
    spans, root = within(100)
    spans.code("work", 0, 99, root)
    spans.code("mail", 10, end, root, lane="job-2", **fields)
    assert notes(spans).get("mail") == expected


def test_what_limits_have_left_out_is_told() -> None:
    spans, root = within(2)
    spans.code("work", 0, 1, root, dropped=3)
    spans.code("more", 1, 2, root, dropped=0)
    assert notes(spans) == {"work": "dropped 3 attributes or events"}


def raised(
    message: object, kind: object = "builtins.ValueError", status: int = ERROR, text: str = ""
) -> dict[str, str]:
    """Return the notes of a function that raised."""
    spans, root = within(2)
    event = Event("exception", told.START, {"exception.type": kind, "exception.message": message})
    spans.code("work", 0, 1, root, status=status, events=[event], message=text)
    return notes(spans)


def test_an_error_is_told_by_its_type_and_the_first_line_of_what_it_says() -> None:
    assert raised("bad price\nin line 2") == {"work": "ValueError: bad price"}
    assert raised("ValueError: bad price") == {"work": "ValueError: bad price"}
    assert raised("", text="ValueError: from the status") == {"work": "ValueError: from the status"}
    assert raised("x" * 1000) == {"work": f"ValueError: {'x' * 119}…"}
    assert raised("x" * 120) == {"work": f"ValueError: {'x' * 120}"}


def test_an_exception_that_was_handled_is_no_error() -> None:
    assert raised("bad price", status=0) == {}


def test_an_error_of_which_the_line_says_everything_has_no_note() -> None:
    assert raised("") == {}
    assert raised(17, kind=["no", "text"]) == {}


def test_only_the_deepest_span_that_failed_has_a_note() -> None:
    spans, root = within(2)
    outer = spans.code("outer", 0, 2, root, status=ERROR, message="it failed")
    spans.code("left", 0, 1, spans.code("between", 0, 1, outer), status=ERROR, message="bad price")
    spans.code("right", 1, 2, outer, status=ERROR, message="bad size")
    assert notes(spans) == {"left": "bad price", "right": "bad size"}


def test_a_retry_that_failed_says_both() -> None:
    spans, root = within(20)
    for number in range(2):
        spans.call(
            "GET", "http://px/", number * 10, number * 10 + 10, root, status=ERROR, message="timed out", answer=0
        )
    assert [", ".join(note.parts) for note in take(traces(spans)[0]).values()] == [
        "timed out",
        "timed out, retry 1 of the call above, on the critical path",
    ]

"""How much the live page holds, and when it tells of a trace: what a process would take hours to show."""

from __future__ import annotations

import json
import time

from otel_run.command.view.arriving import Arriving
from otel_run.command.view.feed import Feed
from otel_run.view.span import Span


def span(trace: str, number: int = 1, parent: str = "", **more: object) -> Span:
    """Return a span."""
    return Span(trace, f"{number:016x}", parent, "work", 1, 2, attributes=more)


def told(arriving: Arriving) -> dict[str, int]:
    """Return how many spans of each trace are told until there is a pause."""
    found = {}
    while spans := arriving.next(0.6):
        found[spans[0].trace_id] = len(spans)
    return found


def test_the_traces_that_changed_last_are_kept() -> None:
    arriving = Arriving(most_traces=2)
    for trace in "abac":
        arriving.take([span(trace)])
    assert told(arriving) == {"a": 1, "c": 1}
    assert arriving.forgotten == 1


def test_spans_and_their_size_are_bounded_too() -> None:
    arriving = Arriving(most_spans=3)
    arriving.take([span("a"), span("a", 2)])
    arriving.take([span("b"), span("b", 2)])
    assert told(arriving) == {"b": 2}
    arriving = Arriving(most_bytes=1_000_000)
    arriving.take([span("a", text="x" * 600_000)])
    arriving.take([span("b", deep=[{"text": "x" * 600_000}])])
    assert told(arriving) == {"b": 1}


def test_one_trace_alone_does_not_grow_for_ever() -> None:
    arriving = Arriving(most_spans=10)
    arriving.take([span("a", number, "0") for number in range(100)])
    assert told(arriving) == {"a": 10}


def test_spans_that_come_twice_count_once() -> None:
    arriving = Arriving(most_spans=3)
    arriving.take([span("a")])
    for _ in range(10):
        arriving.take([span("b")])
    assert told(arriving) == {"a": 1, "b": 1}


def test_a_trace_that_is_never_quiet_is_told_nevertheless() -> None:
    arriving = Arriving()
    begin = time.monotonic()
    number = 0
    while not arriving.next(0.0):
        number += 1
        arriving.take([span("a", number, "0")])
        assert time.monotonic() - begin < 30
        time.sleep(0.01)
    assert number > 1


def test_what_takes_long_to_tell_is_told_seldom() -> None:
    arriving = Arriving()
    arriving.take([span("a")])
    assert arriving.next(5)
    arriving.took("a", 1000.0)
    arriving.take([span("a", 2), span("b")])
    assert told(arriving) == {"b": 1}


def test_a_feed_holds_the_newest_state_of_each_trace_that_is_held() -> None:
    feed = Feed()
    for trace, state in [("a", b"1"), ("b", b"2"), ("a", b"3")]:
        feed.tell(trace, state, lambda trace: True)
    assert feed.after(0, 0) == (2, b"2")
    assert feed.after(2, 0) == (3, b"3")
    assert feed.after(3, 0) is None
    feed.tell("c", b"4", lambda trace: trace == "c")
    assert feed.after(0, 0) == (4, b"4")


def test_a_feed_is_bounded_by_its_size() -> None:
    feed = Feed(most_bytes=100)
    for number in range(50):
        feed.tell(str(number), json.dumps(list(range(number, number + 5))).encode(), lambda trace: True)
    first = feed.after(0, 0)
    assert first is not None
    assert 1 < first[0] <= 50

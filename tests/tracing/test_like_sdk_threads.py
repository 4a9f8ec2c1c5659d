"""One span in the hands of many threads: nothing is lost, raised or counted wrongly, as with the SDK's lock."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode

from tracing.like_sdk import Side, compare, logged, sides

THREADS, TIMES = 6, 100
ELSEWHERE = SpanContext(1, 2, True)


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def _at_once(work: Callable[[int], object], threads: int = THREADS) -> list[Any]:
    """Run `work` in several threads that start together; return the results, raise what one has raised."""
    together = threading.Barrier(threads)

    def run(number: int) -> object:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


@pytest.mark.parametrize("count", [10_000, 100, 1])
def test_attributes_of_many_threads_are_all_there_or_counted(count: int) -> None:
    for side in sides(limits=SpanLimits(max_span_attributes=count)):
        span = side.tracer.start_span("span")

        def work(number: int, span: Any = span) -> None:
            for time in range(TIMES):
                span.set_attribute(f"{number} {time}", time)
                span.set_attributes({f"{number} {time} more": [time]})

        with logged():
            _at_once(work)
        total = THREADS * TIMES * 2
        assert (len(span.attributes), span.dropped_attributes) == (min(count, total), max(0, total - count))
        span.end()


def test_an_attribute_that_is_set_in_the_middle_of_dropping_another() -> None:
    """As a signal handler may; the SDK waits for ever there."""

    class Interrupting(str):
        is_armed = False

        def __hash__(self) -> int:
            if self.is_armed:
                self.is_armed = False
                span.set_attribute("inner", 1)
            return super().__hash__()

    _, ours = sides(limits=SpanLimits(max_span_attributes=2))
    span, oldest = ours.tracer.start_span("span"), Interrupting("oldest")
    with logged():
        span.set_attribute(oldest, 1)
        span.set_attribute("next", 1)
        oldest.is_armed = True
        span.set_attribute("outer", 1)
    assert (list(span.attributes), span.dropped_attributes) == (["inner", "outer"], 2)


def test_attributes_that_all_threads_set_again_and_again() -> None:
    for side in sides(limits=SpanLimits(max_span_attributes=8)):
        span = side.tracer.start_span("span")

        def work(number: int, span: Any = span) -> None:
            for time in range(TIMES * 4):
                span.set_attribute(f"key {time % 8}", (number, time))

        _at_once(work)
        assert sorted(span.attributes) == [f"key {number}" for number in range(8)]
        assert span.dropped_attributes == 0
        span.end()


@pytest.mark.parametrize("count", [10_000, 100, 1, 0])
def test_events_and_links_of_many_threads_are_all_there_or_counted(count: int) -> None:
    for side in sides(limits=SpanLimits(max_events=count, max_links=count)):
        span = side.tracer.start_span("span")

        def work(number: int, span: Any = span) -> None:
            for time in range(TIMES):
                span.add_event(f"{number} {time}")
                span.add_link(ELSEWHERE)

        _at_once(work)
        total = THREADS * TIMES
        expected = (min(count, total), max(0, total - count))
        assert (len(span.events), span.dropped_events) == expected
        assert (len(span.links), span.dropped_links) == expected
        span.end()


def test_the_first_events_of_many_threads_are_all_there() -> None:
    for side in sides():
        for _ in range(TIMES):
            span = side.tracer.start_span("span")

            def work(number: int, span: Any = span) -> None:
                span.add_event(str(number))
                span.add_link(ELSEWHERE)

            _at_once(work, 4)
            assert sorted(event.name for event in span.events) == ["0", "1", "2", "3"]
            assert len(span.links) == 4
            span.end()


class Counting(SpanProcessor):
    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()

    def _on_ending(self, span: Any) -> None:
        self.ends["ending"] += 1

    def on_end(self, span: Any) -> None:
        self.ends["end"] += 1
        assert span.end_time is not None


def test_of_many_ends_one_counts() -> None:
    for side in sides():
        counting = Counting()
        side.provider.add_span_processor(counting)
        times = 60
        with logged() as log:
            for _ in range(times):
                span = side.tracer.start_span("span")
                _at_once(lambda number, span=span: span.end(number + 1), 4)  # type: ignore[misc]
        assert counting.ends == {"ending": times, "end": times}
        assert len(side.exporter.get_finished_spans()) == times
        warnings = [line[2] for line in log.lines]
        assert warnings == ["Calling end() on an ended span."] * 3 * times


def test_what_is_exported_changes_no_longer() -> None:
    for side in sides():
        stop = threading.Event()
        spans: list[Any] = []

        def work(number: int, side: Side = side, stop: threading.Event = stop, spans: list[Any] = spans) -> None:
            if number == 0:
                for _ in range(20):
                    spans.append(side.tracer.start_span("span"))
                    spans[-1].end()
                stop.set()
            while not stop.is_set():
                for span in spans[-1:]:
                    span.set_attribute("late", number)
                    span.add_event("late")
                    span.update_name("late")

        with logged():
            _at_once(work, 3)
        before = [side.shown(span) for span in side.exporter.get_finished_spans()]
        for span in spans:
            with logged():
                span.set_attribute("later", 1)
        assert [side.shown(span) for span in side.exporter.get_finished_spans()] == before


def test_a_span_may_be_read_while_it_grows() -> None:
    for side in sides():
        span = side.tracer.start_span("span", attributes={"a": [1]})
        stop = threading.Event()

        def work(number: int, span: Any = span, stop: threading.Event = stop) -> int:
            reads = 0
            if number == 0:
                for time in range(120):
                    # No more than fit, and none again: theirs, too, can be caught between two steps.
                    span.set_attribute(f"key {time}", time)
                    span.add_event(f"event {time}", {"a": time})
                    span.add_link(ELSEWHERE, {"a": time})
                    span.set_status(StatusCode.ERROR, f"status {time}")
                    span.update_name(f"name {time}")
                stop.set()
                return 1
            while not stop.is_set() or not reads:
                json.loads(span.to_json())
                list(span.attributes.items())
                [event.attributes for event in span.events]
                span._readable_span()
                reads += 1
            return reads

        with logged():
            assert all(_at_once(work, 3))
        span.end()


def test_a_span_that_is_started_here_and_ended_there() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")

        def elsewhere() -> None:
            side.note("current there", api.get_current_span() is api.INVALID_SPAN)
            with api.use_span(span):
                side.tracer.start_span("child").end()
            span.set_attribute("there", True)
            span.end()

        with api.use_span(span):
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
        side.note("recording", span.is_recording())

    compare(program)


def test_one_tracer_in_many_threads() -> None:
    for side in sides():

        def work(number: int, side: Side = side) -> None:
            for _ in range(20):
                with side.tracer.start_as_current_span(f"outer {number}") as outer:
                    inner = side.tracer.start_span("inner")
                    assert inner.parent.span_id == outer.get_span_context().span_id
                    inner.end()

        side.account = []
        _at_once(work)
        ended = side.exporter.get_finished_spans()
        assert Counter(span.name for span in ended)["inner"] == THREADS * 20
        assert len(ended) == THREADS * 20 * 2

"""A story: each line with its label, its times, how it failed and where it ran, and what the trace waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from otel_run.view.labels import label
from otel_run.view.self_time import self_time
from otel_run.view.story import Story, tell
from otel_run.view.tree import Trace, traces
from view import told
from view.forests import any_trace
from view.told import MS, STORIES, Spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.view.span import Span
    from otel_run.view.story import Row


def story(spans: list[Span]) -> Story:
    """Return the story of a trace."""
    [trace] = traces(spans)
    return tell(trace)


def rows(story: Story) -> Iterator[Row]:
    """Yield the lines from the first to the last."""
    waiting = story.rows[::-1]
    while waiting:
        row = waiting.pop()
        yield row
        waiting += reversed(row.children)


def test_each_line_has_its_label_and_its_times() -> None:
    found = story(told.order())
    lines = [
        (row.label, *(time / MS for time in (row.duration, row.self_time, row.own_on_path, row.on_path)))
        for row in rows(found)
    ]
    assert lines == [
        ("ProcessOrder", 450, 9, 9, 450),
        ("validate", 1, 1, 1, 1),
        ("enrichOrder", 380, 3, 3, 380),
        ("SELECT counterparty FROM counterparties WHERE id = ?", 2, 2, 2, 2),
        ("GET cache:instrument:AAPL", 45, 45, 45, 45),
        ("POST http://reference-data/v1/instruments/AAPL", 330, 330, 330, 330),
        ("executeOrder", 60, 0, 0, 60),
        ("BEGIN", 1, 1, 1, 1),
        ("INSERT INTO orders (id, side, qty, px) VALUES (?, ?, ?, ?)", 55, 55, 55, 55),
        ("COMMIT", 4, 4, 4, 4),
    ]
    assert (found.label, found.duration, found.spans, found.failed) == ("ProcessOrder", 450 * MS, 10, 0)
    assert not any(row.is_parallel or row.failure or row.service for row in rows(found))


def test_the_summary_tells_what_the_path_consists_of() -> None:
    found = story(told.order())
    told_of = [(name, time / MS) for name, time in found.summary]
    assert told_of == [("POST reference-data", 330), ("INSERT orders", 55), ("GET cache", 45), ("other", 20)]


def test_what_is_alike_counts_together_in_the_summary() -> None:
    summary = dict(story(told.n_plus_one()).summary)
    assert (summary["SELECT products"] / MS, sum(summary.values())) == (pytest.approx(38, abs=0.01), 62 * MS)


def test_a_path_of_many_small_parts_has_no_summary_that_says_other() -> None:
    assert story(told.wide(100)).summary == [("main", 10 * MS), ("other", 90 * MS)]
    spans = Spans()
    root = spans.add("root", 0, 100)
    for number in range(100):
        spans.add(f"step {number}", number, number + 1, root)
    assert story(spans).summary == []


def test_spans_that_share_a_line_are_told_together() -> None:
    found = story(told.n_plus_one())
    assert [len(row.nodes) for row in rows(found)] == [1, 1, 48, 1]
    many = list(rows(found))[2]
    assert many.label == "SELECT * FROM products WHERE id = ?"
    assert many.duration == many.self_time == many.on_path == many.own_on_path == pytest.approx(38 * MS, abs=100)


def test_a_service_is_named_where_it_begins_if_there_are_several() -> None:
    found = story(told.distributed())
    assert [(row.label, row.service) for row in rows(found) if row.service] == [
        ("ProcessOrder", "orders"),
        ("POST /v1/instruments/{id}", "reference-data"),
        ("process prices", "prices"),
    ]
    assert found.services == ["orders", "prices", "reference-data"]


def test_how_spans_failed_is_told() -> None:
    found = story(told.failed())
    assert [row.failure for row in rows(found)] == ["500", "UniqueViolation", "UniqueViolation"]
    assert found.failed == 3


def test_siblings_that_ran_beside_each_other_are_known() -> None:
    marks = [(row.label, row.duration / MS, row.is_parallel) for row in rows(story(told.retried()))]
    assert marks == [
        ("POST /quote", 400, False),
        ("GET http://px-a/quote", 200, True),
        ("GET http://px-b/quote", 300, True),
        ("GET http://px-c/quote", 100, True),
        ("GET http://px-c/quote", 285, True),
    ]


def test_noise_of_the_timer_and_roots_are_not_beside_each_other() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100)
    spans.add("A", 0, 51, root)
    spans.add("B", 50, 100, root)
    spans.add("orphan", 20, 60, "feed")
    spans.add("another", 30, 70, "beef")
    assert not any(row.is_parallel for row in rows(story(spans)))


def test_a_generator_and_what_uses_it_take_turns() -> None:
    def marked(lane: str) -> set[str]:
        spans = Spans()
        root = spans.add("P", 0, 100)
        spans.add("generator", 0, 90, root)
        spans.add("use", 10, 20, root, lane=lane)
        return {row.label for row in rows(story(spans)) if row.is_parallel}

    assert marked("thread-1") == set()
    assert marked("thread-2") == {"generator", "use"}


def test_of_several_roots_the_one_that_took_longest_has_the_path() -> None:
    spans = Spans()
    spans.add("short", 0, 5, "lost")
    spans.add("long", 2, 50, "lost")
    found = story(spans)
    assert [row.label for row in found.rows] == ["short", "long"]
    assert [part.node.span.name for part in found.path] == ["long"]
    assert [row.on_path for row in found.rows] == [0, 48 * MS]
    assert found.summary == [("long", 48 * MS)]


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_the_same_each_time_and_in_whatever_order_its_spans_came(name: str) -> None:
    spans = STORIES[name]()
    assert repr(story(spans)) == repr(story(spans[::-1]))


@settings(deadline=None)
@given(any_trace())
def test_no_span_is_lost_and_the_path_is_shared_out_exactly(trace: Trace) -> None:
    found = tell(trace)
    lines = list(rows(found))
    # Below a line of several spans, what is below the first of them is shown.
    below_others = [node for row in lines for other in row.nodes[1:] for node in Trace("", other.children).nodes()]
    assert {node for row in lines for node in row.nodes} | set(below_others) == set(trace.nodes())
    assert found.spans == sum(len(row.nodes) for row in lines) + len(below_others)
    length = sum(end - start for _, start, end in found.path)
    assert sum(row.on_path for row in found.rows) == length
    assert not found.summary or sum(time for _, time in found.summary) == length
    for row in lines:
        assert row.on_path >= row.own_on_path + sum(child.on_path for child in row.children)
        assert row.self_time == sum(map(self_time, row.nodes))
        assert len(row.nodes) > 1 or row.label == label(row.node.span)


def test_a_trace_as_deep_or_wide_as_they_come_is_told() -> None:
    assert sum(1 for _ in rows(story(told.deep(10_000)))) == 10_001
    assert sum(1 for _ in rows(story(told.wide(20_000)))) == 20_001

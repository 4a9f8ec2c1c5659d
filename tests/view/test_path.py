"""The critical path: what was waited for, where spans follow each other, run beside each other, and get out of hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings

from otel_run.view.path import Segment, critical_path
from otel_run.view.self_time import self_time
from otel_run.view.span import CLIENT, CONSUMER, LANE, PRODUCER, Span
from otel_run.view.tree import Trace, traces
from view.forests import any_trace, one_after_another
from view.told import MS, START, Spans, distributed, gathered, order, retried


def steps(spans: list[Span]) -> list[tuple[str, float]]:
    """Return the path of a trace: whose time, and how many milliseconds."""
    [trace] = traces(spans)
    return [(part.node.span.name, (part.end - part.start) / MS) for part in critical_path(trace.roots[0])]


def test_spans_that_follow_each_other_are_all_on_it() -> None:
    spans = Spans()
    root = spans.add("P", 0, 200)
    spans.add("A", 100, 150, root)
    spans.add("B", 150, 200, root)
    assert steps(spans) == [("P", 100), ("A", 50), ("B", 50)]


def test_siblings_that_overlap_by_noise_of_the_timer_follow_each_other() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100)
    spans.add("A", 0, 51, root)
    spans.add("B", 50, 100, root)
    assert steps(spans) == [("A", 50), ("B", 50)]


def test_siblings_that_overlap_by_more_ran_beside_each_other() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100)
    spans.add("A", 0, 52, root)
    spans.add("B", 50, 100, root)
    assert steps(spans) == [("P", 50), ("B", 50)]


def test_a_task_is_followed_back_in_its_own_lane() -> None:
    # foo2 was over when foo3 began, and yet foo3 did not wait for it but slept.
    assert steps(gathered()) == [("foo1", 100), ("main", 100), ("foo3", 300)]


def test_without_lanes_what_ended_last_is_taken_for_what_was_waited_for() -> None:
    spans = gathered()
    for span in spans:
        span.attributes = {name: value for name, value in span.attributes.items() if name != LANE}
    assert steps(spans) == [("foo2", 200), ("foo3", 300)]


def test_own_work_after_a_gather_has_waited_for_the_slowest_task() -> None:
    spans = Spans()
    root = spans.add("main", 0, 300, lane="task-1")
    spans.add("A", 0, 50, root, lane="task-1")
    spans.add("foo1", 50, 100, root, lane="task-2")
    spans.add("foo2", 50, 250, root, lane="task-3")
    spans.add("B", 250, 300, root, lane="task-1")
    assert steps(spans) == [("A", 50), ("foo2", 200), ("B", 50)]


def test_what_is_started_and_forgotten_was_not_waited_for() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100)
    spans.add("A", 10, 40, root)
    spans.add("background", 20, 150, root, lane="thread-2")
    assert steps(spans) == [("P", 10), ("A", 30), ("P", 60)]


def generated(end: float, **fields: Any) -> list[Span]:
    spans = Spans()
    root = spans.code("main", 0, 100)
    spans.add("parts", 10, end, root, **fields)
    spans.code("use", 20, 40, root)
    spans.code("use", 60, 80, root)
    return spans


def test_what_uses_a_generator_runs_while_that_is_suspended() -> None:
    expected = [("main", 10), ("parts", 10), ("use", 20), ("parts", 20), ("use", 20), ("parts", 10), ("main", 10)]
    assert steps(generated(90)) == expected


def test_what_uses_a_generator_that_nobody_closed_is_waited_for_all_the_same() -> None:
    assert steps(generated(120)) == [("main", 20), ("use", 20), ("main", 20), ("use", 20), ("main", 20)]


def test_what_runs_in_another_lane_or_elsewhere_is_not_suspended() -> None:
    beside = [("main", 10), ("parts", 80), ("main", 10)]
    assert steps(generated(90, lane="job-1")) == beside
    assert steps(generated(90, lane="")) == beside
    assert steps(generated(90, kind=CLIENT)) == beside


def test_of_three_in_parallel_the_slowest_is_on_it() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100)
    for name, length in (("A", 30), ("B", 60), ("C", 90)):
        spans.add(name, 10, 10 + length, root, lane=name)
    assert steps(spans) == [("P", 10), ("C", 90)]


def test_of_those_that_end_together_the_one_that_began_first_is_on_it() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100)
    spans.add("long", 10, 100, root, lane="thread-2")
    spans.add("short", 90, 100, root, lane="thread-3")
    assert steps(spans) == [("P", 10), ("long", 90)]


def test_a_clock_of_another_machine_that_is_late_moves_no_end() -> None:
    spans = Spans()
    root = spans.call("GET", "http://b/", 0, 100, "")
    spans.add("theirs", 50, 130, root, process="b-1", service="b")
    assert steps(spans) == [("GET", 50), ("theirs", 50)]


def test_threads_of_two_processes_that_have_one_number_are_two_lanes() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100, lane="1")
    spans.add("early", 0, 20, root, lane="1", process="b")
    spans.add("other", 0, 60, root, lane="2", process="b")
    spans.add("late", 70, 100, root, lane="1", process="b")
    assert steps(spans) == [("early", 20), ("P", 50), ("late", 30)]


def test_nobody_waits_for_the_reader_of_a_message() -> None:
    spans = Spans()
    root = spans.add("publish", 0, 10, kind=PRODUCER)
    spans.add("process", 2, 9, root, kind=CONSUMER, process="reader")
    assert steps(spans) == [("publish", 10)]


def test_whole_traces() -> None:
    names = [name for name, _ in steps(order())]
    assert names[:6] == [
        "ProcessOrder",
        "validate",
        "ProcessOrder",
        "enrichOrder",
        "SELECT counterparties",
        "enrichOrder",
    ]
    assert ("POST", 330) in steps(order())
    assert steps(retried())[-2:] == [("GET", 285), ("POST /quote", 5)]
    assert ("SELECT instruments", 318) in steps(distributed())
    assert "process prices" not in [name for name, _ in steps(distributed())]


def test_what_took_no_time_waited_for_nothing() -> None:
    assert steps([Span("t", "1", "", "P", START, START)]) == []
    assert steps([Span("t", "1", "", "P", START, START - 5)]) == []


@settings(max_examples=400, deadline=None)
@given(any_trace())
def test_it_partitions_the_time_of_the_root_exactly(trace: Trace) -> None:
    root = trace.roots[0]
    path = critical_path(root)
    assert all(part.start < part.end for part in path)
    assert all(before.end == after.start for before, after in pairwise(path))
    assert sum(part.end - part.start for part in path) == root.span.duration
    if root.span.duration:
        assert (path[0].start, path[-1].end) == (root.span.start, root.span.end)


@settings(max_examples=400, deadline=None)
@given(any_trace())
def test_each_segment_lies_within_its_span_and_the_path_is_the_same_each_time(trace: Trace) -> None:
    path = critical_path(trace.roots[0])
    assert all(part.node.span.start <= part.start and part.end <= part.node.span.end for part in path)
    assert path == critical_path(trace.roots[0])


@settings(deadline=None)
@given(one_after_another())
def test_where_one_thing_is_done_at_a_time_it_is_the_self_time_of_all(trace: Trace) -> None:
    own = dict.fromkeys(trace.nodes(), 0)
    for node, start, end in critical_path(trace.roots[0]):
        own[node] += end - start
    assert own == {node: self_time(node) for node in trace.nodes()}


def test_20_000_levels_and_50_000_children_are_no_harder() -> None:
    deep = traces([Span("t", str(i), str(i - 1) if i else "", "f", i, 60_000 - i) for i in range(20_000)])[0]
    assert len(critical_path(deep.roots[0])) == 2 * 20_000 - 1
    wide = [Span("t", str(i), "r", "f", i * MS, i * MS + MS // 2) for i in range(50_000)]
    [root] = traces([Span("t", "r", "", "root", 0, 50_000 * MS), *wide])[0].roots
    path = critical_path(root)
    assert len(path) == 100_000
    assert path[0] == Segment(root.children[0], 0, MS // 2)

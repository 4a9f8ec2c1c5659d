"""Self time: what a span did while none of its children ran, however these overlap."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_run.view.self_time import covered, self_time
from otel_run.view.span import Span
from otel_run.view.tree import Node, Trace, traces
from view.forests import any_trace, one_after_another
from view.told import MS, Spans


def test_children_that_run_beside_each_other_count_once() -> None:
    spans = Spans()
    root = spans.add("P", 0, 100)
    spans.add("A", 10, 40, root)
    spans.add("B", 20, 60, root)
    spans.add("C", 30, 35, root)
    spans.add("D", 80, 90, root)
    [trace] = traces(spans)
    assert self_time(trace.roots[0]) == 40 * MS
    assert covered(trace.roots[0].children) == 60 * MS


def test_what_of_a_child_is_outside_of_its_parent_does_not_count() -> None:
    spans = Spans()
    root = spans.add("P", 100, 200)
    spans.add("early", 0, 110, root, process="other")
    spans.add("late", 190, 900, root)
    spans.add("after", 300, 400, root)
    assert self_time(traces(spans)[0].roots[0]) == 80 * MS


def test_a_span_without_children_is_all_its_own() -> None:
    assert self_time(Node(Span("t", "1", "", "a", 5, 12))) == 7
    assert self_time(Node(Span("t", "1", "", "a", 12, 5))) == 0


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40))))
def test_it_is_the_number_of_moments_in_which_no_child_ran(
    start: int, length: int, times: list[tuple[int, int]]
) -> None:
    end = start + length
    root = Span("t", "r", "", "root", start, end)
    [node] = traces([root, *(Span("t", str(i), "r", "c", a, b) for i, (a, b) in enumerate(times))])[0].roots
    assert self_time(node) == sum(not any(a <= moment < b for a, b in times) for moment in range(start, end))


@settings(deadline=None)
@given(any_trace())
def test_it_is_never_more_than_the_span_nor_less_than_nothing(trace: Trace) -> None:
    assert all(0 <= self_time(node) <= node.span.duration for node in trace.nodes())


@settings(deadline=None)
@given(one_after_another())
def test_where_one_thing_is_done_at_a_time_all_self_times_are_the_whole(trace: Trace) -> None:
    assert sum(map(self_time, trace.nodes())) == trace.roots[0].span.duration

"""Spans as trees: what becomes of whole, torn and hostile traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_run.view.span import Span
from otel_run.view.tree import traces
from view.told import START, Spans, distributed, order, torn

if TYPE_CHECKING:
    from otel_run.view.tree import Node, Trace

# A tree as nested pairs: a name, and what is below it.
Shape = list[tuple[str, "Shape"]]


def shape(nodes: list[Node]) -> Shape:
    """Return the names of `nodes` and of all below them."""
    return [(node.span.name, shape(node.children)) for node in nodes]


def names(trace: Trace) -> list[str]:
    """Return all names, in the order of a drawn tree."""
    return [node.span.name for node in trace.nodes()]


def span(span_id: str, parent: str, start: int, end: int, trace: str = "t") -> Span:
    """Return a span that is called by its id."""
    return Span(trace, span_id, parent, span_id, start, end)


ORDER: Shape = [
    (
        "ProcessOrder",
        [
            ("validate", []),
            ("enrichOrder", [("SELECT counterparties", []), ("GET", []), ("POST", [])]),
            ("executeOrder", [("BEGIN", []), ("INSERT orders", []), ("COMMIT", [])]),
        ],
    )
]


def test_spans_in_any_order_become_a_tree_in_the_order_of_time() -> None:
    [trace] = traces(reversed(order()))
    assert shape(trace.roots) == ORDER
    assert [node.parent and node.parent.span.name for node in trace.nodes()][:3] == [
        None,
        "ProcessOrder",
        "ProcessOrder",
    ]
    assert not any(node.is_orphan for node in trace.nodes())


def test_each_trace_is_by_itself_and_they_are_in_the_order_of_their_start() -> None:
    later, sooner = Spans("later"), Spans("sooner")
    for spans, start in ((later, 10), (sooner, 5)):
        # The same ids, as tests and poor generators make them.
        spans.add("child", start + 1, start + 2, spans.add("root", start, start + 9))
    found = traces([span for pair in zip(later, sooner, strict=True) for span in pair])
    assert [(trace.id, shape(trace.roots)) for trace in found] == [
        ("sooner", [("root", [("child", [])])]),
        ("later", [("root", [("child", [])])]),
    ]


def test_a_trace_lasts_from_its_first_span_to_the_end_of_its_last() -> None:
    [trace] = traces(distributed())
    assert ((trace.start - START) / 1e6, (trace.end - START) / 1e6) == (0, 600)


def test_a_span_whose_parent_never_arrived_is_a_root() -> None:
    [trace] = traces(torn())
    assert shape(trace.roots) == [("ProcessOrder", [("validate", []), ("POST", [])]), ("SELECT instruments", [])]
    assert [node.is_orphan for node in trace.roots] == [False, True]


def test_a_span_that_came_twice_counts_once() -> None:
    [trace] = traces([span("a", "", 0, 2), span("b", "a", 0, 1), span("b", "a", 0, 1)])
    assert shape(trace.roots) == [("a", [("b", [])])]


def test_spans_that_begin_together_stand_in_the_order_of_their_end_and_of_their_id() -> None:
    [trace] = traces([span("c", "", 0, 2), span("b", "", 0, 2), span("a", "", 0, 3)])
    assert names(trace) == ["b", "c", "a"]


def test_the_tree_of_the_same_spans_is_the_same_again() -> None:
    spans = order()
    assert [shape(trace.roots) for trace in traces(spans)] == [shape(trace.roots) for trace in traces(spans)] == [ORDER]


def test_spans_in_a_circle_are_seen_all_the_same() -> None:
    [trace] = traces([span("self", "self", 0, 1), span("a", "b", 1, 2), span("b", "a", 2, 3), span("c", "b", 2, 3)])
    assert sorted(names(trace)) == ["a", "b", "c", "self"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12), st.integers(0, 5), st.integers(0, 5))))
def test_whatever_arrives_each_id_is_in_the_tree_once(rows: list[tuple[int, int, int, int]]) -> None:
    found = traces(span(str(key), str(parent), start, end) for key, parent, start, end in rows)
    assert sorted(name for trace in found for name in names(trace)) == sorted({str(row[0]) for row in rows})
    for trace in found:
        for node in trace.nodes():
            assert [child.parent for child in node.children] == [node] * len(node.children)
            assert node.children == sorted(node.children, key=lambda child: child.span.start)


def test_a_chain_deeper_than_the_recursion_limit_is_a_tree() -> None:
    [trace] = traces(span(str(i), str(i - 1) if i else "", i, 40_000 - i) for i in range(20_000))
    assert names(trace) == [str(i) for i in range(20_000)]

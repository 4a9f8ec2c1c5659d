"""Which siblings stand on one line: runs, patterns, whole subtrees, and what never shares a line."""

from __future__ import annotations

from typing import Any

import pytest
import told
from hypothesis import given
from hypothesis import strategies as st

from otel_run.view.repeats import fold
from otel_run.view.span import ERROR, Span
from otel_run.view.tree import Node


def leaf(name: str, **fields: Any) -> Node:
    """Return a span without children; in capitals it has failed."""
    status = ERROR if name.isupper() else 0
    return Node(Span("t", "s", "", name.lower(), told.START, told.START, **{"status": status, **fields}))


def siblings(names: str) -> list[Node]:
    """Return a leaf for each letter."""
    return [leaf(name) for name in names]


def above(node: Node, *below: Node) -> Node:
    """Put spans below another one."""
    node.children.extend(below)
    return node


def folded(children: list[Node]) -> str:
    """Return the groups as a text: what is on one line, and a blank between lines."""
    shown = {node: node.span.name.upper() if node.span.status == ERROR else node.span.name for node in children}
    return " ".join("".join(shown[node] for node in group) for group in fold(children))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", ""),
        ("a", "a"),
        ("aa", "a a"),
        ("aaa", "aaa"),
        ("aab", "a a b"),
        ("baaac", "b aaa c"),
        ("aaabbb", "aaa bbb"),
        ("abab", "a b a b"),
        ("ababab", "aaa bbb"),
        ("abababa", "aaaa bbb"),
        ("xabababy", "x aaa bbb y"),
        ("aabaabaab", "aaaaaa bbb"),
        ("aaabaaabaaab", "aaaaaaaaa bbb"),
        ("abcdefgh" * 3, "aaa bbb ccc ddd eee fff ggg hhh"),
        ("abcdefghi" * 3, " ".join("abcdefghi" * 3)),
        # What failed stays where it is, and those around it are lines of their own.
        ("aaaAaaa", "aaa A aaa"),
        ("aaAa", "a a A a"),
        ("AAAAA", "A A A A A"),
        ("AAAAAA", "AAAAAA"),
        ("aA" * 5, " ".join("aA" * 5)),
        ("aA" * 6, "aaaaaa AAAAAA"),
    ],
)
def test_what_repeats_is_on_one_line(names: str, expected: str) -> None:
    assert folded(siblings(names)) == expected


def test_what_failed_in_another_way_is_on_another_line() -> None:
    children = [leaf("A", attributes={"error.type": str(500 + number % 2)}) for number in range(8)]
    assert len(fold(children)) == 8


def test_the_same_name_in_another_service_is_another_thing() -> None:
    children = [leaf("a", service=service) for service in ("one", "two", "three")]
    assert len(fold(children)) == 3


def test_what_is_still_open_is_alone() -> None:
    children = [*siblings("aaa"), leaf("a", is_open=True), leaf("a", is_open=True), leaf("a", is_open=True)]
    assert folded(children) == "aaa a a a"
    assert len(fold([above(leaf("a"), leaf("b", is_open=True)) for _ in range(3)])) == 3


def test_spans_with_the_same_below_them_are_one_line() -> None:
    assert len(fold([above(leaf("a"), leaf("b"), leaf("c")) for _ in range(3)])) == 1


def test_spans_with_something_else_below_them_are_lines_of_their_own() -> None:
    same = [above(leaf("a"), leaf("b")) for _ in range(2)]
    assert len(fold([*same, above(leaf("a"), leaf("c"))])) == 3
    assert len(fold([*same, leaf("a")])) == 3
    assert len(fold([*same, above(leaf("a"), leaf("b"), leaf("b"))])) == 3
    assert len(fold([*same, above(leaf("a"), above(leaf("b"), leaf("b")))])) == 3


def test_how_often_something_repeats_below_them_does_not_matter() -> None:
    assert len(fold([above(leaf("a"), *siblings("b" * count)) for count in (3, 4, 50)])) == 1


def test_a_failure_below_keeps_them_apart() -> None:
    children = [above(leaf("a"), leaf(name)) for name in ("b", "b", "b", "B", "B", "b", "b", "b")]
    assert [len(group) for group in fold(children)] == [3, 1, 1, 3]


def test_spans_with_very_much_below_them_are_lines_of_their_own() -> None:
    def many(count: int) -> list[Node]:
        return [above(leaf("a"), *(leaf(f"step{number}") for number in range(count))) for _ in range(3)]

    assert len(fold(many(64))) == 1
    assert len(fold(many(65))) == 3


@given(st.lists(st.sampled_from("abcABC")), st.integers(1, 12))
def test_lines_are_all_siblings_in_their_order(names: list[str], times: int) -> None:
    children = siblings("".join(names) * times)
    place = {node: at for at, node in enumerate(children)}
    groups = [[place[node] for node in group] for group in fold(children)]
    assert sorted(at for group in groups for at in group) == list(range(len(children)))
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    for group in groups:
        assert group == sorted(group)
        assert len({children[at].span.name for at in group}) == 1
        failed = {children[at].span.status for at in group}
        assert len(group) == 1 or (failed == {0} and len(group) >= 3) or (failed == {ERROR} and len(group) >= 6)

"""The tree and its lines: what becomes of whole, torn and hostile traces."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from otel_run.view.draw import ASCII, draw, duration, lines
from otel_run.view.tree import Node, forest

MS = 1_000_000


def node(name: str, parent: str | None, start: float, end: float, where: str = "") -> Node:
    """Return a node that is called by its id; times in milliseconds."""
    return Node(name, parent, name, int(start * MS), int(end * MS), where)


ORDER = [
    node("COMMIT", "execute", 440, 444),
    node("execute", "order", 390, 450),
    node("GET", "enrich", 5, 50),
    node("order", None, 0, 450),
    node("enrich", "order", 2, 382),
    node("INSERT", "execute", 391, 440),
]


def test_a_trace_is_drawn_as_a_tree_with_durations_in_the_order_of_time() -> None:
    assert list(lines(forest(ORDER))) == [
        "order [450ms]",
        "├── enrich [380ms]",
        "│   └── GET [45ms]",
        "└── execute [60ms]",
        "    ├── INSERT [49ms]",
        "    └── COMMIT [4ms]",
    ]


def test_a_service_is_named_where_it_begins() -> None:
    roots = forest(
        [
            node("POST", None, 0, 9, "orders"),
            node("GET", "POST", 1, 2, "orders"),
            node("serve", "GET", 1, 2, "prices"),
            node("SELECT", "serve", 1, 2, "prices"),
        ]
    )
    assert list(lines(roots, ASCII)) == [
        "orders: POST [9ms]",
        "`-- GET [1ms]",
        "    `-- prices: serve [1ms]",
        "        `-- SELECT [1ms]",
    ]


def test_a_node_whose_parent_never_arrived_is_a_root() -> None:
    roots = forest([node("late", "lost", 5, 6), node("child", "late", 5, 6), node("early", None, 1, 2)])
    assert [root.label for root in roots] == ["early", "late"]
    assert [child.label for child in roots[1].children] == ["child"]


def test_a_node_that_came_twice_counts_once() -> None:
    roots = forest([node("a", None, 0, 2), node("b", "a", 0, 1), node("b", "a", 0, 1)])
    assert list(lines(roots)) == ["a [2ms]", "└── b [1ms]"]


def test_a_forest_of_the_same_nodes_is_the_same_again() -> None:
    assert list(lines(forest(ORDER))) == list(lines(forest(ORDER)))


def test_nodes_in_a_circle_are_seen_all_the_same() -> None:
    roots = forest([node("self", "self", 0, 1), node("a", "b", 1, 2), node("b", "a", 2, 3), node("c", "b", 2, 3)])
    assert sorted(line.strip("├─└│ ").split()[0] for line in lines(roots)) == ["a", "b", "c", "self"]


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 12), st.integers(0, 5), st.integers(0, 5))))
def test_whatever_arrives_each_id_is_drawn_once(rows: list[tuple[int, int | None, int, int]]) -> None:
    roots = forest(Node(key, parent, f"n{key}", start, end) for key, parent, start, end in rows)
    drawn = [line.strip("├─└│ ").split()[0] for line in lines(roots)]
    assert sorted(drawn) == sorted({f"n{row[0]}" for row in rows})


def test_a_chain_deeper_than_the_recursion_limit_is_drawn() -> None:
    chain = [Node(i, i - 1 if i else None, "x", i, 10_000) for i in range(3_000)]
    assert sum(1 for _ in lines(forest(chain))) == 3_000


def test_a_stream_that_can_not_write_the_branches_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    draw(forest([node("a", None, 0, 2), node("GET clé", "a", 0, 1)]), stream)
    stream.flush()
    assert raw.getvalue().decode("ascii").splitlines() == ["a [2ms]", "`-- GET cl\\xe9 [1ms]"]


def test_a_stream_that_can_write_them_gets_the_real_ones() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    draw(forest([node("a", None, 0, 2), node("GET clé", "a", 0, 1)]), stream)
    stream.flush()
    assert raw.getvalue().decode("utf-8").splitlines() == ["a [2ms]", "└── GET clé [1ms]"]


def test_a_label_can_not_move_the_cursor_or_begin_a_line() -> None:
    [line] = lines([Node(1, None, "SELECT 1\n  FROM x\x1b[2J\u202e", 0, MS)])
    assert line == "SELECT 1 FROM x\\x1b[2J\\u202e [1ms]"


def test_a_lone_surrogate_in_a_label_is_shown_by_its_number() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    draw([Node(1, None, "\udc80", 0, MS)], stream)
    stream.flush()


def test_durations_read_as_a_person_says_them() -> None:
    told = {0: "0ms", 0.00001: "0ms", 0.0234: "0.023ms", 0.411: "0.41ms", 0.5: "0.5ms", 0.9999: "1ms"}
    told |= {1: "1ms", 1.24: "1.2ms", 9.96: "10ms", 45: "45ms", 999.4: "999ms", 999.6: "1.00s", 2500: "2.50s"}
    told |= {12_340: "12.3s", 59_960: "1m00s", 125_000: "2m05s"}
    assert {ms: duration(int(ms * MS)) for ms in told} == told


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    assert list(lines(forest([node("a", None, 5, 3)]))) == ["a [0ms]"]

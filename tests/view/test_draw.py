"""A story as lines: what stands where, what is shortened, and what becomes of whatever spans contain."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_run.view import cells
from otel_run.view.draw import Style, encoded, lines
from otel_run.view.note import Note
from otel_run.view.path import Segment
from otel_run.view.span import CLIENT, INTERNAL, SERVER, Span
from otel_run.view.story import Row, Story, tell
from otel_run.view.tree import Node, Trace, traces
from view import told

MS = told.MS


def row(label: str, start: float = 0, end: float = 1, *children: Row, times: int = 1, **fields: object) -> Row:
    """Return a row of `times` spans in a trace, times in milliseconds."""
    kind = fields.pop("kind", INTERNAL)
    is_open = fields.pop("is_open", False)
    is_orphan = fields.pop("is_orphan", False)
    nodes = [
        Node(Span("f" * 32, str(id(children)), "", label, int(start * MS), int(end * MS), kind, is_open=is_open))
        for _ in range(times)
    ]
    for node in nodes:
        node.is_orphan = is_orphan
        node.children = [child.node for child in children]
    return Row(nodes, label, int((end - start) * MS), list(children), **fields)


def story(*rows: Row, services: tuple[str, ...] = ("orders",), summary: list[tuple[str, int]] | None = None) -> Story:
    """Return a story whose path is the first row's."""
    root = rows[0].node
    path = [Segment(root, root.span.start, root.span.end)]
    return Story(Trace("f" * 32, [one.node for one in rows]), list(rows), path, summary or [], list(services), 2, 0)


def drawn(told: Story, width: int | None = None, **style: object) -> list[str]:
    """Return the lines of a story."""
    return list(lines(told, Style(width=width, **style)))


def test_marks_notes_counts_and_services_stand_in_their_places() -> None:
    slow = Note("slow", ("cache miss", "slow", "10% of the trace"))
    whole = story(
        row(
            "POST /quote",
            0,
            400,
            row("GET http://px-a/quote", 0, 200, is_parallel=True, service="px"),
            row("GET key", 0, 45, is_parallel=True, note=slow),
            row("SELECT 1", 0, 0.8, times=48),
            row("GET http://px-c/quote", 0, 285, failure="502"),
            failure="502",
            service="orders",
        ),
        services=("orders", "px"),
        summary=[("GET px-a", 200 * MS), ("other", 200 * MS)],
    )
    assert drawn(whole) == [
        "orders: POST /quote [400ms] ✗ 502",
        "├─∥ px: GET http://px-a/quote [200ms]",
        "├─∥ GET key [45ms]  ← cache miss, slow, 10% of the trace",
        "├── 48\u00d7 SELECT 1 (median 0.8ms) [0.8ms]",
        "└── GET http://px-c/quote [285ms] ✗ 502",
        "critical path 400ms: GET px-a 200ms · other 200ms",
    ]
    assert drawn(whole, is_ascii=True) == [
        "orders: POST /quote [400ms] x 502",
        "|-= px: GET http://px-a/quote [200ms]",
        "|-= GET key [45ms]  <- cache miss, slow, 10% of the trace",
        "|-- 48x SELECT 1 (median 0.8ms) [0.8ms]",
        "`-- GET http://px-c/quote [285ms] x 502",
        "critical path 400ms: GET px-a 200ms, other 200ms",
    ]


def test_a_service_is_not_named_where_there_is_only_one() -> None:
    assert drawn(story(row("main", service="orders"))) == ["main [1ms]"]


def test_what_is_shortened_first_is_the_share_then_the_note_then_the_label_and_never_duration_or_mark() -> None:
    note = Note("slow", ("slow write", "1 row", "12% of the trace"))
    label = "INSERT INTO orders (id, side) VALUES (?, ?)"
    one = story(row(label, 0, 55, failure="23505", note=note))
    assert drawn(one, 90) == [f"{label} [55ms] ✗ 23505  ← slow write, 1 row"]
    assert drawn(one, 75) == [f"{label} [55ms] ✗ 23505  ← slow write"]
    assert drawn(one, 60) == ["INSERT INTO orders (id, side)… [55ms] ✗ 23505  ← slow write"]
    assert drawn(one, 40) == ["INSERT INTO orders (id,… [55ms] ✗ 23505"]
    long = story(row(label, 0, 55, failure="SomeVeryLongExceptionName", note=note))
    assert drawn(long, 40) == ["INSERT INTO orders (id, side)… [55ms] ✗"]


def test_a_long_note_is_cut_before_it_is_left_out() -> None:
    note = Note("error", ("UniqueViolation: duplicate key value violates unique constraint",))
    assert drawn(story(row("INSERT", 0, 5, note=note)), 40) == ["INSERT [5ms]  ← UniqueViolation: duplic…"]


def test_what_still_runs_says_so() -> None:
    assert drawn(story(row("main", 0, 3200, is_open=True))) == ["main [3.20s … still running]"]
    cut = drawn(story(row("x" * 60, 0, 3200, is_open=True)), 40, is_ascii=True)
    assert cut == ["xxxxxxxxxxxxxxxxxxxxxxxxx... [3.20s ...]"]


def test_orphans_stand_below_a_line_that_says_what_is_missing() -> None:
    whole = story(row("main"), row("lost", 0, 1, row("below"), is_orphan=True), row("alone", is_orphan=True))
    assert drawn(whole) == [
        "main [1ms]",
        "(parent not seen)",
        "├── lost [1ms]",
        "│   └── below [1ms]",
        "└── alone [1ms]",
    ]


def test_a_request_that_was_sent_from_elsewhere_misses_nothing() -> None:
    assert drawn(story(row("GET /", is_orphan=True, kind=SERVER))) == ["GET / [1ms]"]
    assert drawn(story(row("GET x", is_orphan=True, kind=CLIENT)))[0] == "(parent not seen)"


def chain(levels: int, *more: Row) -> Row:
    """Return rows each below the other; the last but three has a note."""
    below = list(more)
    for level in range(levels - 1, -1, -1):
        note = Note("slow", ("slow",)) if level == levels - 3 else None
        below = [row(f"level{level}", 0, 1, *below, note=note, own_on_path=MS)]
    return below[0]


def test_of_levels_that_are_too_deep_those_stay_that_a_reader_looks_for() -> None:
    assert drawn(story(chain(30)))[12:] == [
        "                                      └ level12 [1ms]",
        "                                        └ … 15 levels",
        "                                          ├ level27 [1ms]  ← slow",
        "                                          └ level29 [1ms]",
    ]
    assert drawn(story(chain(15)))[-1].strip() == "└ level14 [1ms]"
    wide = drawn(story(chain(20, row("a"), row("b"), row("c"))))
    assert wide[13].strip() == "└ … 6 levels, 8 spans"


def test_a_trace_deeper_than_recursion_goes_is_drawn() -> None:
    assert drawn(story(chain(20_000)))[13].strip() == "└ … 19985 levels"


def test_colour_follows_the_critical_path_and_says_nothing_that_the_text_does_not() -> None:
    whole = story(
        row(
            "main",
            0,
            100,
            row("hot", 0, 60, on_path=60 * MS),
            row("warm", 0, 20, on_path=20 * MS),
            row("mild", 0, 5, on_path=5 * MS),
            row("cold", 0, 4, on_path=4 * MS, failure="502"),
            on_path=100 * MS,
        )
    )
    coloured = drawn(whole, is_coloured=True)
    assert coloured == [
        "\x1b[31mmain [100ms]\x1b[0m",
        "├── \x1b[31mhot [60ms]\x1b[0m",
        "├── \x1b[33mwarm [20ms]\x1b[0m",
        "├── mild [5ms]",
        "└── \x1b[2mcold [4ms]\x1b[0m\x1b[1;31m ✗ 502\x1b[0m",
    ]
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured] == drawn(whole)


def test_bars_show_where_in_the_trace_a_span_is() -> None:
    whole = story(row("main", 0, 100, row("a", 0, 50), row("b", 50, 100), row("c", 99.99, 99.99)))
    assert drawn(whole, 110, has_bars=True) == [
        "▕██████████████▏ main [100ms]",
        "▕███████       ▏ ├── a [50ms]",
        "▕       ███████▏ ├── b [50ms]",
        "▕             ▐▏ └── c [0ms]",
    ]
    assert drawn(whole, 110, has_bars=True, is_ascii=True)[2] == "|       #######| |-- b [50ms]"


def test_a_header_tells_the_time_of_day_the_trace_and_its_services() -> None:
    spans = told.distributed()
    whole = tell(traces(spans)[0])
    names = "orders, prices, reference-data"
    assert next(lines(whole, header=True)) == f"06:13:20Z  4bf92f35  {names}"
    assert next(lines(whole, Style(utc_offset=5 * 3600 + 1800), header=True)) == f"11:43:20  4bf92f35  {names}"


def test_a_footer_without_room_tells_less_and_counts_it_as_other() -> None:
    summary = [("POST reference-data", 30 * MS), ("INSERT orders", 20 * MS), ("GET cache", 10 * MS), ("other", 5 * MS)]
    whole = story(row("main", 0, 65), summary=summary)
    assert drawn(whole, 60)[-1] == "critical path 65ms: POST reference-data 30ms · other 35ms"
    assert drawn(whole, 50)[-1] == "critical path 65ms: POST reference-data 30ms"
    assert drawn(whole, 40)[-1] == "critical path 65ms: POST reference… 30ms"


HOSTILE = st.text(st.characters(codec=None), max_size=80) | st.sampled_from(
    [
        "日本語のラベル" * 9,
        "👩\u200d🚀👨\u200d👩\u200d👧\u200d👦" * 9,
        "e\u0301\u0302\u0303\u0304\u0305" * 40,
        "\u202eexe.txt\u2066" * 9,
        "\x1b[2J\x1b]0;title\x07" * 9,
        "a\nb\r\nc\u2028d" * 9,
        "\ud800\udfff" * 30,
        "x" * 1_000_000,
        "界" * 1_000_000,
        "\u0301" * 1_000_000,
        "GET http://" + "host" * 30 + "/" + "path/" * 30 + "last",
        "",
    ]
)
TIMES = st.integers(0, 10**19)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Return roots with what is below them: wide, deep, or both."""
    made: list[Row] = []
    roots: list[Row] = []
    for _ in range(draw(st.integers(1, 25))):
        note = Note("kind", tuple(draw(st.lists(HOSTILE, min_size=1, max_size=3)))) if draw(st.booleans()) else None
        one = row(
            draw(HOSTILE),
            0,
            draw(TIMES) / MS,
            times=draw(st.sampled_from([1, 1, 1, 48])),
            failure=draw(st.just("") | HOSTILE),
            note=note,
            service=draw(st.just("") | HOSTILE),
            is_parallel=draw(st.booleans()),
            is_open=draw(st.booleans()),
            is_orphan=draw(st.booleans()),
            own_on_path=draw(TIMES),
        )
        # Mostly below the last one: that goes deep.
        above = draw(st.sampled_from([*made[-1:] * 8, *made, None]))
        (roots if above is None else above.children).append(one)
        made.append(one)
    return roots


@given(rows(), st.integers(40, 200), st.booleans(), st.booleans(), st.booleans(), st.lists(st.tuples(HOSTILE, TIMES)))
@settings(deadline=None, max_examples=60)
def test_no_line_is_ever_wider_than_the_terminal_nor_does_more_than_be_read(
    roots: list[Row], width: int, is_ascii: bool, has_bars: bool, header: bool, summary: list[tuple[str, int]]
) -> None:
    whole = story(*roots, services=("a", "b\x1b"), summary=summary)
    whole.trace.id = "\x1b[31m\u202e\n"
    style = Style(width=width, is_ascii=is_ascii, has_bars=has_bars and width >= 100)
    for line in lines(whole, style, header=header):
        assert cells.width(line) <= width
        assert cells.printable(line) == line
        assert line.isascii() or not is_ascii
    for line in lines(whole, Style(is_ascii=is_ascii), header=header):
        assert cells.printable(line) == line


@given(st.lists(HOSTILE), st.sampled_from(["utf-8", "ascii", "cp1252", "utf-16", None, "", "no such", "idna", "a\0"]))
@settings(deadline=None, max_examples=50)
def test_lines_are_encoded_as_one_piece_whatever_they_contain(texts: list[str], encoding: str | None) -> None:
    assert isinstance(encoded(texts, encoding), bytes)


def test_what_the_encoding_lacks_is_written_with_backslashes() -> None:
    assert encoded(["é ├", "\ud800"], "cp1252") == b"\xe9 \\u251c\n\\ud800\n"
    assert encoded(["é"], None) == b"\\xe9\n"

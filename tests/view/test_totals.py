"""Many traces in a few numbers, and those as a table."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_run.view import cells
from otel_run.view.draw import Style, table
from otel_run.view.story import Story, tell
from otel_run.view.totals import Durations, Total, Totals
from otel_run.view.tree import traces
from view import told

MS = told.MS


def one(name: str, took: float) -> Story:
    """Return a trace of one span."""
    spans = told.Spans()
    spans.code(name, 0, took)
    return tell(traces(spans)[0])


def test_traces_are_counted_by_their_root_and_those_come_first_that_took_longest_altogether() -> None:
    totals = Totals()
    for took in (10, 20, 30):
        totals.add(one("quick", took))
    totals.add(tell(traces(told.order())[0]))
    totals.add(tell(traces(told.retried())[0]))
    first, second, third = totals.rows()
    assert (first.label, first.count, first.p50, first.p95, first.longest, first.errors) == (
        ("ProcessOrder", 1, 450 * MS, 450 * MS, 450 * MS, 0)
    )
    assert (first.cause, round(first.share, 2)) == ("POST reference-data", 0.73)
    assert (second.label, second.count, second.errors) == ("POST /quote", 1, 1)
    assert (third.label, third.count, third.p50, third.p95, third.longest) == ("quick", 3, 20 * MS, 30 * MS, 30 * MS)


def test_roots_without_end_take_no_memory_without_end() -> None:
    totals = Totals()
    for number in range(300):
        totals.add(one(f"root{number}" + "x" * 1000, 1))
    found = totals.rows()
    assert len(found) == 201
    assert (found[-1].label, found[-1].count) == ("(others)", 100)
    assert all(len(total.label) <= 200 for total in found)


@given(st.lists(st.integers(0, 2**64), min_size=1, max_size=60), st.sampled_from([1, 17]))
@settings(deadline=None)
def test_a_percentile_is_right_within_a_percent_however_many_there_are(took: list[int], times: int) -> None:
    durations = Durations()
    everything = took * (60 * times)
    for duration in everything:
        durations.add(duration)
    ordered = sorted(everything)
    for percent in (50, 95, 100):
        exact = ordered[-(-len(ordered) * percent // 100) - 1]
        if len(everything) <= 1000:
            assert durations.percentile(percent) == exact
        else:
            # And rounded to a whole nanosecond.
            assert abs(durations.percentile(percent) - exact) <= 0.0101 * exact + 0.5


ROWS = [
    Total("POST /orders/{id}/confirmations", 412, 120 * MS, 450 * MS, 1200 * MS, 3, "POST reference-data", 0.73),
    Total("GET /baskets/{id}", 1024, 12 * MS, 40 * MS, 62 * MS, 0, "SELECT products", 0.61),
]


def test_a_table_is_aligned() -> None:
    assert list(table(ROWS, Style())) == [
        "                                 count    p50    p95    max  errors  mostly",
        "POST /orders/{id}/confirmations    412  120ms  450ms  1.20s       3  POST reference-data 73%",
        "GET /baskets/{id}                 1024   12ms   40ms   62ms          SELECT products 61%",
    ]


def test_a_narrow_table_tells_less() -> None:
    assert list(table(ROWS, Style(width=80))) == [
        "                            count    p50    p95    max  errors  mostly",
        "POST /orders/{id}/confirm…    412  120ms  450ms  1.20s       3  POST reference-…",
        "GET /baskets/{id}            1024   12ms   40ms   62ms          SELECT products…",
    ]
    assert list(table(ROWS, Style(width=40))) == [
        "                            count    p95",
        "POST /orders/{id}/confirm…    412  450ms",
        "GET /baskets/{id}            1024   40ms",
    ]


def test_of_very_many_roots_a_table_has_the_first() -> None:
    found = list(table(ROWS * 20, Style(is_ascii=True)))
    assert len(found) == 22
    assert found[-1] == "... 20 more"
    assert list(table([], Style())) == []


TEXTS = st.text(st.characters(codec=None), max_size=60) | st.sampled_from(["日本" * 60, "\x1b[31m\n", "x" * 1_000_000])


@given(
    st.lists(
        st.builds(
            Total,
            TEXTS,
            st.integers(1, 10**7),
            *[st.integers(0, 2**63)] * 3,
            st.integers(0, 10**7),
            TEXTS,
            st.floats(0, 1),
        ),
        max_size=25,
    ),
    st.integers(40, 200),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_no_line_of_a_table_is_wider_than_the_terminal(totals: list[Total], width: int, is_ascii: bool) -> None:
    for line in table(totals, Style(width=width, is_ascii=is_ascii)):
        assert cells.width(line) <= width
        assert cells.printable(line) == line
        assert line.isascii() or not is_ascii

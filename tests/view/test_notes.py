"""Which notes of a trace are kept: those of the recorded traces, five beside errors, and whatever comes."""

from __future__ import annotations

from typing import Any

import told
from hypothesis import given
from hypothesis import strategies as st
from noted import groups_of, notes, take, within

from otel_run.view.span import CLIENT, CONSUMER, ERROR, LANE, PRODUCER, SERVER, Event, Span
from otel_run.view.tree import traces


def test_the_order_says_why_it_was_slow() -> None:
    assert notes(told.order()) == {
        "GET cache:instrument:AAPL": "cache miss, slow, 10% of the trace",
        "http://reference-data/v1/instruments/AAPL": "slow downstream, 73% of the trace",
        "INSERT INTO orders (id, side, qty, px) VALUES (?, ?, ?, ?)": "slow write, 12% of the trace",
    }


def test_the_recorded_shapes_of_trouble_are_told() -> None:
    assert notes(told.n_plus_one()) == {
        "GET /baskets/{id}": "19ms of its own time, no span covers it",
        "SELECT * FROM products WHERE id = ?": "N+1: 48 alike",
    }
    assert notes(told.retried()) == {
        "POST /quote": "3 in parallel, saved 495ms",
        "http://px-c/quote": "retry 1 of the call above, on the critical path",
    }
    duplicate = 'UniqueViolation: duplicate key value violates unique constraint "orders_pkey"'
    assert notes(told.failed())["INSERT INTO orders (id) VALUES (?)"] == duplicate
    # Where the time was spent, and not at the call that waited for it.
    distributed = notes(told.distributed())
    assert distributed["SELECT * FROM instruments WHERE symbol = ?"] == "slow query, 71% of the trace"
    assert "http://reference-data/v1/instruments/AAPL" not in distributed
    for quiet in (told.single, told.deep, told.gathered):
        assert notes(quiet()) == {}


def test_errors_are_told_beside_the_five_notes_that_explain_most() -> None:
    spans, root = within(2100)
    spans.code("rest", 1756, 2099, root)
    for number in range(6):
        spans.sql(f"SELECT a{number}b", 292 * number, 292 * number + 286 + number, root)
        spans.code(f"fail{number}", 1900 + number, 1900.5 + number, root, status=ERROR, message="bad price")
    expected = {f"SELECT a{number}b": "slow query, 14% of the trace" for number in range(1, 6)}
    assert notes(spans) == {**expected, **{f"fail{number}": "bad price" for number in range(6)}}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
NAMES = [
    "db.system.name",
    "db.statement",
    "db.query.text",
    "db.operation.name",
    "db.response.returned_rows",
    "http.request.method",
    "http.request.resend_count",
    "http.response.status_code",
    "url.full",
    "server.address",
    "server.port",
    "messaging.system",
    "rpc.system",
    "error.type",
    "exception.message",
    "exception.type",
    LANE,
]
LIKELY = st.sampled_from(["redis", "SELECT ?", "GET a:1", "SET a:1 ?", "GET", "http://px/1", 0, 1, 302, 503])
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), LIKELY | ANY, max_size=6)


@st.composite
def any_spans(draw: st.DrawFn) -> list[Span]:
    """Make a trace out of anything; some of its spans come many times."""
    spans: list[Span] = []
    for number in range(draw(st.integers(1, 12))):
        fields: dict[str, Any] = {
            "name": draw(st.sampled_from(["a", "WAIT FOR POOL", "CONNECT x"]) | st.text(max_size=5)),
            "start": draw(st.integers(0, 300)) * told.MS,
            "kind": draw(st.sampled_from([0, 1, SERVER, CLIENT, PRODUCER, CONSUMER, 99])),
            "attributes": draw(ATTRIBUTES),
            "status": draw(st.sampled_from([0, 0, ERROR])),
            "message": draw(st.text(max_size=5)),
            "events": [Event("exception", 0, draw(ATTRIBUTES))],
            "dropped": draw(st.integers(-1, 3)),
            "is_open": draw(st.booleans()),
        }
        parent = draw(st.integers(-1, number - 1))
        for copy in range(draw(st.sampled_from([1, 1, 6]))):
            start = fields["start"] + copy * 10 * told.MS
            own = {**fields, "start": start, "end": start + draw(st.integers(-1, 500)) * told.MS}
            spans.append(Span("t", f"{number}.{copy}", f"{parent}.0" if parent >= 0 else "", **own))
    return spans


@given(any_spans())
def test_whatever_comes_there_are_five_notes_at_most_and_errors_and_each_stands_beside_a_line(
    spans: list[Span],
) -> None:
    trace = traces(spans)[0]
    groups = groups_of(trace)
    shown = list(groups[None])
    for group in shown:
        shown += groups[group[0]]
    found = take(trace)
    assert set(found) <= {group[0] for group in shown}
    assert sum(note.kind != "error" for note in found.values()) <= 5
    for note in found.values():
        assert note.parts
        assert all(note.parts)
        assert note.explains >= 0


def test_a_trace_that_is_very_deep_and_one_that_is_very_wide_have_notes_too() -> None:
    assert notes(told.deep(20_000)) == {}
    assert notes(told.wide(20_000)) == {}
    assert notes(told.n_plus_one(20_000))["SELECT * FROM products WHERE id = ?"] == "N+1: 20000 alike"

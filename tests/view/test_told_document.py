"""A story as JSON: complete, strict whatever a span holds, and never more than a browser can draw."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser import stories
from browser.stories import MS, START, TRACE, span, tell
from otel_run.view import document as documents
from otel_run.view.document import document
from otel_run.view.span import CLIENT, ERROR, LANE, Event, Span
from otel_run.view.story import Note


def strict(value: Any) -> Any:
    """Write JSON that any parser reads, and read it."""
    return json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8"))


def attributes_of(held: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = strict(document(tell([span("root", 0, 1, 1, attributes=held)])))["rows"][0]["spans"][0][
        "attributes"
    ]
    return found


def test_a_whole_document():
    call = span(
        "GET /x",
        1,
        3.5,
        2,
        1,
        kind=CLIENT,
        status=ERROR,
        message="refused",
        attributes={"error.type": "502", LANE: "task-1"},
        events=[Event("retry", START + 2 * MS, {"attempt": 2})],
        links=[("ab", "cd")],
        scope="httpx",
        dropped=3,
        service="edge",
    )
    story = tell([span("root", 0, 4, 1), call], {"GET /x": Note("slow", ("slow downstream", "62% of the trace"))})
    alike = {"is_open": False, "is_orphan": False, "process": "orders-1"}
    assert strict(document(story)) == {
        "trace_id": TRACE,
        "start": "2026-11-20T06:13:20.123456789Z",
        "start_unix_nano": str(START),
        "duration_ns": 4 * MS,
        "label": "root",
        "services": ["edge", "orders"],
        "spans": 2,
        "cut_spans": 0,
        "failed": 1,
        "summary": [{"label": "GET /x", "duration_ns": 2_500_000}, {"label": "root", "duration_ns": 1_500_000}],
        "rows": [
            {
                "depth": 0,
                "parent": -1,
                "label": "root",
                "service": "orders",
                "duration_ns": 4 * MS,
                "self_ns": 1_500_000,
                "own_on_path_ns": 1_500_000,
                "on_path_ns": 4 * MS,
                "failure": "",
                "note": "",
                "note_kind": "",
                "is_parallel": False,
                "cut_spans": 0,
                "spans": [
                    {
                        "id": "0000000000000001",
                        "parent_id": "",
                        "name": "root",
                        "kind": "internal",
                        "start_ns": 0,
                        "duration_ns": 4 * MS,
                        "is_failed": False,
                        "message": "",
                        "scope": "",
                        "lane": "",
                        "attributes": {},
                        "events": [],
                        "links": [],
                        "dropped": 0,
                        **alike,
                    }
                ],
            },
            {
                "depth": 1,
                "parent": 0,
                "label": "GET /x",
                "service": "edge",
                "duration_ns": 2_500_000,
                "self_ns": 2_500_000,
                "own_on_path_ns": 2_500_000,
                "on_path_ns": 2_500_000,
                "failure": "502",
                "note": "slow downstream, 62% of the trace",
                "note_kind": "slow",
                "is_parallel": False,
                "cut_spans": 0,
                "spans": [
                    {
                        "id": "0000000000000002",
                        "parent_id": "0000000000000001",
                        "name": "GET /x",
                        "kind": "client",
                        "start_ns": MS,
                        "duration_ns": 2_500_000,
                        "is_failed": True,
                        "message": "refused",
                        "scope": "httpx",
                        "lane": "task-1",
                        "attributes": {"error.type": "502", LANE: "task-1"},
                        "events": [{"name": "retry", "time_ns": 2 * MS, "attributes": {"attempt": 2}}],
                        "links": [["ab", "cd"]],
                        "dropped": 3,
                        **alike,
                    }
                ],
            },
        ],
        "path": [[0, 0, MS], [1, MS, 3_500_000], [0, 3_500_000, 4 * MS]],
    }


def test_values_that_json_cannot_hold_or_readers_would_round_become_text():
    circular: list[Any] = []
    circular.append(circular)
    found = attributes_of(
        {
            "nan": math.nan,
            "inf": -math.inf,
            "bytes": b"\x00\xff",
            "half": "a\ud800b",
            "exact": 2**53 - 1,
            "huge": 2**53,
            "endless": 10**5000,
            "true": True,
            "none": None,
            "nested": {1: [b"x", {"deep": math.inf}], "tuple": (1, 2)},
            "strange": object(),
            "circular": circular,
            "k\udfffey": "",
        }
    )
    endless, deep = found.pop("endless"), found.pop("circular")
    assert endless.startswith("0x")
    assert len(endless) < documents.MAX_TEXT + 100
    assert deep == [[[[[[[["…"]]]]]]]]
    assert found == {
        "nan": "NaN",
        "inf": "-Infinity",
        "bytes": "AP8=",
        "half": "a\\ud800b",
        "exact": 2**53 - 1,
        "huge": "9007199254740992",
        "true": True,
        "none": None,
        "nested": {"1": ["eA==", {"deep": "Infinity"}], "tuple": [1, 2]},
        "strange": "<object>",
        "k\\udfffey": "",
    }


_ANY_TEXT = st.text(st.characters())
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ANY_TEXT | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(_ANY_TEXT, inner),
    max_leaves=8,
)


@given(_ANY_TEXT, st.dictionaries(_ANY_TEXT, _VALUES))
def test_any_span_is_strict_json(text, held):
    whole = Span(text, text, "", text, 5, 3, kind=99, attributes=held, message=text, service=text, scope=text)
    whole.events, whole.links = [Event(text, -7, held)], [(text, text)]
    strict(document(tell([whole])))


@pytest.mark.parametrize("start", [0, -5, 2**64, 10**400])
def test_times_that_no_clock_shows_break_nothing(start):
    (row,) = strict(document(tell([Span("t", "1", "", "odd", start, start + 10)])))["rows"]
    assert row["spans"][0]["duration_ns"] == 10


def test_long_texts_are_cut_and_say_so():
    found = attributes_of({"sql": "x" * 1_000_000, "fine": "y" * 8192, **{str(n): n for n in range(1000)}})
    assert found["sql"] == "x" * 8192 + "… (1000000 characters)"
    assert found["fine"] == "y" * 8192
    assert len(found) == documents.MAX_ITEMS
    many = document(stories.large(5_000))
    assert documents._text_limit(5_000) < documents.MAX_TEXT
    assert len(many["rows"]) == 5_000


def test_items_beyond_the_limit_count_as_dropped():
    whole = document(tell([span("root", 0, 1, 1, attributes={str(n): n for n in range(300)}, dropped=1)]))
    assert whole["rows"][0]["spans"][0]["dropped"] == 45


def test_what_is_too_much_is_cut_from_below_and_counted():
    # 100 chains of 300: of the root and 30,000 below it the first 199 levels are shown, and most of the next.
    whole = document(stories.large(30_001, depth=300))
    assert whole["spans"] == 30_001
    assert whole["cut_spans"] == 10_001
    assert len(whole["rows"]) == documents.MAX_SPANS
    assert max(row["depth"] for row in whole["rows"]) == 200
    assert sum(row["cut_spans"] for row in whole["rows"]) == 10_001
    # What was waited for in the cut ones is drawn in the nearest row that is there.
    assert all(0 <= row < len(whole["rows"]) for row, _, _ in whole["path"])
    assert sum(end - start for _, start, end in whole["path"]) == whole["duration_ns"]


def test_a_row_of_too_many_spans_keeps_the_first():
    spans = [span("root", 0, 30_000, 1), *(span("same", n, n + 1, n + 2, 1) for n in range(30_000))]
    whole = document(tell(spans))
    assert [len(row["spans"]) for row in whole["rows"]] == [1, documents.MAX_SPANS - 1]
    assert [row["cut_spans"] for row in whole["rows"]] == [0, 10_001]


def test_below_spans_that_share_a_row_the_path_is_theirs():
    spans = [span("root", 0, 30, 1)]
    for number in range(3):
        spans += [
            span("same", 10 * number, 10 * number + 10, 10 + number, 1),
            span("inner", 10 * number, 10 * number + 10, 20 + number, 10 + number),
        ]
    whole = document(tell(spans))
    assert [row["label"] for row in whole["rows"]] == ["root", "same", "inner"]
    assert sum(end - start for _, start, end in whole["path"]) == 30 * MS
    assert {row for row, _, _ in whole["path"]} == {1, 2}
    assert whole["cut_spans"] == 0


def test_20_000_deep_and_wide_are_written():
    for story in (stories.large(20_001, depth=20_000), stories.large(20_001)):
        assert strict(document(story))["spans"] == 20_001

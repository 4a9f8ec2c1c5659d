"""Traces for Perfetto: on each track complete events nest, and no span, attribute or moment is lost."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_run.view.perfetto import to_perfetto
from otel_run.view.span import ERROR, LANE, Event, Span
from otel_run.view.tree import traces

ORIGIN = 1_700_000_000_000_000_000


def span(number: int, start: int, end: int, lane: str = "", parent: int = 0, **more: Any) -> Span:
    attributes = {**({LANE: lane} if lane else {}), **more.pop("attributes", {})}
    return Span(
        "1" * 32,
        f"{number:016x}",
        f"{parent:016x}" if parent else "",
        more.pop("name", f"span {number}"),
        ORIGIN + start,
        ORIGIN + end,
        attributes=attributes,
        **more,
    )


def written(*spans: Span) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found: dict[str, Any] = json.loads("".join(to_perfetto(traces(spans))), parse_constant=refuse)
    return found


def events(*spans: Span) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = written(*spans)["traceEvents"]
    return found


def test_a_whole_trace_is_written_with_processes_tracks_and_microseconds() -> None:
    failed = span(
        2, 1500, 2000, "task-1", 1, status=ERROR, message="no", service="shop", process="a", scope="httpx",
        attributes={"n": 1, "b": b"\xff", "nan": math.nan, "l": [1, {"x": math.inf}]},
        events=[Event("exception", ORIGIN + 1700, {"exception.type": "OSError"})],
    )  # fmt: skip
    about = {"trace id": "1" * 32}
    assert written(span(1, 0, 2500, "MainThread", service="shop", process="a"), failed) == {
        "displayTimeUnit": "ms",
        "otherData": {"startTimeUnixNano": str(ORIGIN)},
        "traceEvents": [
            {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": "shop a"}},
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "MainThread"}},
            {
                "name": "span 1", "cat": "span", "pid": 1, "tid": 1, "ts": 0.0, "dur": 2.5, "ph": "X",
                "args": {LANE: "MainThread", **about, "span id": "0000000000000001"},
            },
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": 2, "args": {"name": "task-1"}},
            {
                "name": "span 2", "cat": "httpx", "pid": 1, "tid": 2, "ts": 1.5, "dur": 0.5, "ph": "X",
                "args": {
                    LANE: "task-1", "n": 1, "b": "ff", "nan": "nan", "l": [1, {"x": "inf"}], **about,
                    "span id": "0000000000000002", "parent span id": "0000000000000001", "status": "error",
                    "message": "no",
                },
            },
            {
                "name": "exception", "cat": "event", "pid": 1, "tid": 2, "ts": 1.7, "ph": "i", "s": "t",
                "args": {"exception.type": "OSError"},
            },
        ],
    }  # fmt: skip


def test_nothing_is_a_file_too() -> None:
    assert events() == []


def test_what_overlaps_in_its_lane_is_asynchronous() -> None:
    found = events(span(1, 0, 10, "a"), span(2, 5, 15, "a"))
    assert [(event["ph"], event["name"], event.get("ts")) for event in found if event["ph"] != "M"] == [
        ("X", "span 1", 0.0),
        ("b", "span 2", 0.005),
        ("e", "span 2", 0.015),
    ]
    assert found[-1]["id"] == found[-2]["id"] == f"{'1' * 32}:{2:016x}"


def test_without_lanes_what_overlaps_gets_a_track_of_its_own_and_children_stay_below() -> None:
    found = events(span(1, 0, 10), span(2, 1, 6, parent=1), span(3, 2, 9, parent=1), span(4, 3, 5, parent=3))
    where = {event["name"]: event["tid"] for event in found if event["ph"] == "X"}
    assert where == {"span 1": 1, "span 2": 1, "span 3": 2, "span 4": 2}


def test_services_are_processes_of_their_own() -> None:
    found = events(span(1, 0, 9, "a", service="shop"), span(2, 1, 8, "a", 1, service="stock", process="2"))
    assert [(event["pid"], event["args"]["name"]) for event in found if event["name"] == "process_name"] == [
        (1, "shop"),
        (2, "stock 2"),
    ]


def test_a_trace_as_wide_as_they_come_needs_no_more_tracks_than_a_person_can_see() -> None:
    found = events(*(span(number, number, 100_000 + number) for number in range(1, 5_000)))
    assert len({event["tid"] for event in found}) == 65  # with that of the process' name
    assert sum(event["ph"] in "Xb" for event in found) == 4_999


SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(-2, 20), st.sampled_from(["", "", "a", "b"]), st.integers(0, 12)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(SPANS)
def test_complete_events_of_a_track_nest_or_follow_each_other(drawn: list[tuple[int, int, str, int]]) -> None:
    given = [
        span(number, start * 333, (start + length) * 333, lane, parent if parent != number else 0)
        for number, (start, length, lane, parent) in enumerate(drawn, 1)
    ]
    found = events(*given)
    begun = [event for event in found if event["ph"] in ("X", "b")]
    assert sorted(event["name"] for event in begun) == sorted(span.name for span in given)
    tracks: dict[int, list[tuple[int, int]]] = {}
    for event in found:
        if event["ph"] == "X":
            start, took = round(event["ts"] * 1000), round(event["dur"] * 1000)
            tracks.setdefault(event["tid"], []).append((start, start + took))
    for track in tracks.values():
        for number, (start, end) in enumerate(track):
            for other, until in track[number + 1 :]:
                is_within = (start <= other and until <= end) or (other <= start and end <= until)
                assert is_within or end <= other or until <= start

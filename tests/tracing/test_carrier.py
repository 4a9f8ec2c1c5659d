"""What a child is told, and how that is put into an environment, of bytes or of str."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.propagation import get_current_span

from otel_run.tracing import carrier
from otel_run.tracing.entering import enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SPAN = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1))
NAMES = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")


@pytest.fixture
def current() -> Iterator[Callable[..., None]]:
    """Make a span current, with a state and a baggage, until the test ends."""
    tokens = []

    def make(state: dict[str, str] | None = None, **entries: str) -> None:
        span = SpanContext(SPAN.trace_id, SPAN.span_id, True, SPAN.trace_flags, TraceState(list((state or {}).items())))
        around = set_span_in_context(NonRecordingSpan(span), Context())
        for name, value in entries.items():
            around = baggage.set_baggage(name, value, around)
        tokens.append(enter(around))

    yield make
    for token in reversed(tokens):
        leave(token)


def test_nothing_is_told_without_a_span() -> None:
    assert carrier.told() is None
    token = enter(baggage.set_baggage("order", "1", Context()))
    assert carrier.told() is None
    leave(token)
    token = enter(set_span_in_context(NonRecordingSpan(SpanContext(0, 0, False)), Context()))
    assert carrier.told() is None
    leave(token)


def test_a_state_and_a_baggage_are_told_and_read_again(current: Callable[..., None]) -> None:
    current({"ot": "th:8", "vendor": "x"}, order="n 1", user="ä,;=")
    told = carrier.told()
    assert told == {
        "TRACEPARENT": PARENT,
        "TRACESTATE": "ot=th:8,vendor=x",
        "BAGGAGE": "order=n+1,user=%C3%A4%2C%3B%3D",
    }
    read = carrier.context_of(told)
    span = get_current_span(read).get_span_context()
    assert (span.trace_id, span.span_id, span.trace_flags, span.is_remote) == (SPAN.trace_id, SPAN.span_id, 1, True)
    assert list(span.trace_state.items()) == [("ot", "th:8"), ("vendor", "x")]
    assert baggage.get_all(read) == {"order": "n 1", "user": "ä,;="}


def test_what_is_too_long_for_a_child_is_left_out(current: Callable[..., None]) -> None:
    current({f"k{number}": "v" * 256 for number in range(32)}, **{f"k{number}": "v" * 4000 for number in range(9)})
    told = carrier.told()
    assert told is not None
    assert told["TRACEPARENT"] == PARENT
    assert sum(map(len, told.values())) < 3 * 8192


@pytest.mark.parametrize("told", [{}, {"TRACEPARENT": "nonsense"}, {"TRACEPARENT": PARENT[:-1], "TRACESTATE": "a=b"}])
def test_what_cannot_be_read_is_an_empty_context(told: dict[str, str]) -> None:
    assert carrier.context_of(told) == {}


TOLD = {"TRACEPARENT": PARENT, "BAGGAGE": "order=1"}
# What is inherited, what the program gives the child, and what the child gets.
CASES: dict[str, tuple[dict[str, str], Any, Any]] = {
    "empty": ({}, {}, TOLD),
    "order is kept": ({}, {"B": "1", "A": "2"}, {"B": "1", "A": "2", **TOLD}),
    "inherited by copy": ({"TRACEPARENT": "job"}, {"TRACEPARENT": "job", "A": "1"}, {"A": "1", **TOLD}),
    "inherited state and baggage": (
        {"TRACEPARENT": "job", "TRACESTATE": "a=b", "BAGGAGE": "job=1"},
        {"TRACESTATE": "a=b", "A": "1", "TRACEPARENT": "job", "BAGGAGE": "job=1"},
        {"A": "1", **TOLD},
    ),
    "own": ({}, {"TRACEPARENT": "own", "TRACESTATE": "a=b"}, None),
    "own over inherited": ({"TRACEPARENT": "job"}, {"TRACEPARENT": "own"}, None),
    "own, empty": ({"TRACEPARENT": "job"}, {"TRACEPARENT": ""}, None),
    "own baggage": ({"BAGGAGE": "job=1"}, {"BAGGAGE": "own=1"}, {"BAGGAGE": "own=1", "TRACEPARENT": PARENT}),
    "inherited baggage": ({"BAGGAGE": "job=1"}, {"BAGGAGE": "job=1"}, TOLD),
    "a state alone": ({}, {"TRACESTATE": "own=1"}, TOLD),
    "not its name": ({}, {"XTRACEPARENT": "1", "traceparent": "2"}, {"XTRACEPARENT": "1", "traceparent": "2", **TOLD}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_copy_of_an_environment_is_changed_and_nothing_else(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inherited, given, expected = CASES[case]
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in inherited.items():
        monkeypatch.setenv(name, value)
    before, there = dict(os.environ), dict(given)
    change = carrier.Change(dict(TOLD), NAMES)
    assert _pairs(change.in_mapping(given)) == _pairs(expected)
    in_bytes = {os.fsencode(name): os.fsencode(value) for name, value in given.items()}
    assert _pairs(change.in_mapping(in_bytes), os.fsdecode) == _pairs(expected)
    entries = change.in_entries([name + b"=" + value for name, value in in_bytes.items()])
    assert entries == (None if expected is None else [os.fsencode(f"{k}={v}") for k, v in expected.items()])
    assert given == there
    assert dict(os.environ) == before


def _pairs(found: Any, decoded: Any = lambda word: word) -> Any:
    return None if found is None else [(decoded(name), decoded(value)) for name, value in found.items()]


def test_entries_that_are_no_pairs_or_there_twice_are_kept() -> None:
    change = carrier.Change({"TRACEPARENT": PARENT}, NAMES)
    entries = [b"A=1", b"odd", b"A=2", b"=C:=x", b"\xff=\xfe"]
    assert change.in_entries(entries) == [*entries, f"TRACEPARENT={PARENT}".encode()]


def test_what_is_inherited_is_what_a_child_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", "a=b")
    os.putenv("PAST_THE_COPY", "1")
    try:
        found = carrier.inherited()
        assert found[b"PAST_THE_COPY"] == b"1"
        assert {name: found[name] for name in os.environb} == dict(os.environb)
        found.clear()
        assert carrier.inherited()[b"ODD"] == b"a=b"
    finally:
        os.unsetenv("PAST_THE_COPY")
    assert b"PAST_THE_COPY" not in carrier.inherited()

"""What is said of a receiver that is away, and when it is tried again, by the clock."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from otel_run import report
from otel_run.export import state as states
from otel_run.export.sender import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that the report would print."""
    lines = list[str]()
    monkeypatch.setattr(report, "say", lines.append)
    return lines


AWAY_NOW = Outcome(False, "connection refused", retry=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> states.State:
    return states.State("exporter otlp", 2048, clock=clock)


def _for(clock: Clock, seconds: float, each: float, do: Callable[[], None]) -> None:
    end = clock.now + seconds
    while clock.now < end:
        do()
        clock.now += each


def test_what_lasts_is_said_once_an_hour(state: states.State, clock: Clock, said: list[str]) -> None:
    _for(clock, 3 * 3600 + 60, 20, lambda: state.failed(AWAY_NOW, "http://c", 512, is_last=False))
    assert [line.split(": ")[1] for line in said] == ["down", "still down", "still down", "still down"]
    assert said[1] == "exporter otlp: still down: http://c: connection refused; no span is lost yet"
    state.delivered("http://c")
    state.delivered("http://c")
    assert said[4:] == ["exporter otlp: back: http://c takes spans again, no span was lost"]


def test_what_is_lost_meanwhile_is_told_by_reason(state: states.State, clock: Clock, said: list[str]) -> None:
    state.failed(AWAY_NOW, "http://c", 512, is_last=False)
    for _ in range(3):
        state.drop(states.FULL)
    state.tell_full()  # it is full because the receiver is away, which has been said
    clock.now += 3700
    state.failed(AWAY_NOW, "http://c", 512, is_last=False)
    state.drop(states.HEAVY)
    state.delivered("http://c")
    assert [line.split("; ")[-1].split(", ", 1)[-1] for line in said[1:]] == [
        "3 spans lost so far: the queue was full",
        "4 spans dropped in the meantime: the queue was full (3), the queue was full of long texts (1)",
    ]
    state.end(0, "http://c", 2.0)
    assert len(said) == 3


@pytest.mark.parametrize("is_told", [False, True])
def test_what_was_dropped_while_it_was_found_out_is_told_too(
    is_told: bool, state: states.State, said: list[str]
) -> None:
    for _ in range(150):
        state.drop(states.FULL)
    if is_told:
        state.tell_full()
    state.failed(AWAY_NOW, "http://c", 100, is_last=False)
    state.delivered("http://c")
    assert said[-1].endswith("takes spans again, 150 spans dropped in the meantime: the queue was full")
    state.end(0, "http://c", 2.0)
    assert len(said) == 2 + is_told


def test_a_full_queue_is_said_again_after_an_hour_and_when_it_has_room(
    state: states.State, clock: Clock, said: list[str]
) -> None:
    def drop() -> None:
        state.drop(states.FULL)
        state.tell_full()

    _for(clock, 3630, 10, drop)
    assert [line.split(": ")[1] for line in said] == ["queue full", "queue still full"]
    clock.now += 30
    state.tell_full()
    assert len(said) == 2
    clock.now += 40
    state.tell_full()
    assert said[2] == "exporter otlp: queue has room again: 363 spans dropped in the meantime"
    state.end(0, "http://c", 2.0)
    assert len(said) == 3


def test_no_drop_is_missed_when_many_threads_drop_at_once(state: states.State) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(lambda: [state.drop(states.FULL) for _ in range(20000)])
    finally:
        sys.setswitchinterval(before)
    assert state._gone() == 80000


def test_tries_come_apart_and_never_all_at_the_same_moment(state: states.State, clock: Clock) -> None:
    pauses = []
    for _ in range(12):
        state.failed(AWAY_NOW, "http://c", 1, is_last=False)
        pauses.append(state.pause())
        clock.now += state.pause()
    for number, pause in enumerate(pauses):
        assert 0.79 * min(2**number, 30) <= pause <= 1.21 * min(2**number, 30)
    assert len({round(pause, 3) for pause in pauses[5:]}) > 1
    assert state.is_down
    state.delivered("http://c")
    assert (state.is_down, state.pause()) == (False, 0.0)


def test_what_the_receiver_asks_for_is_kept_to_within_five_minutes(state: states.State) -> None:
    for asked, given in ((7.0, 7.0), (86400.0, 300.0)):
        state.failed(Outcome(False, "503", retry=True, after=asked), "http://c", 1, is_last=False)
        assert state.pause() == given
    state.failed(Outcome(False, "503", retry=True, after=0.0), "http://c", 1, is_last=False)
    assert state.pause() > 3

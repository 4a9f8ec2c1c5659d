"""Which traces are shown: all, those worth a look, or none, and never more than somebody can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_run.export.tree_volume import PER_SECOND, Volume, percentile

if TYPE_CHECKING:
    from collections.abc import Hashable

MS = 1_000_000


def taken(
    volume: Volume, took: float = 10, failed: bool = False, form: Hashable = "usual", at: float = 0.0, label: str = "R"
) -> bool:
    """Show a trace that took `took` ms, if the volume takes it."""
    return volume.takes(label, int(took * MS), failed, lambda: form, at)


@pytest.mark.parametrize(
    ("show", "ok", "failed"), [("all", True, True), ("errors", False, True), ("none", False, False)]
)
def test_what_is_asked_for_is_shown(show: str, ok: bool, failed: bool) -> None:
    volume = Volume(show)
    assert [taken(volume), taken(volume, failed=True)] == [ok, failed]
    assert volume.unshown == [ok, failed].count(False)
    # Nobody has asked for them, so nobody is told how many they were.
    assert list(volume.more(5.0)) == []


def test_a_trace_is_interesting_if_its_form_is_new() -> None:
    volume = Volume("interesting")
    forms = ["one", "one", "other", "one", "other"]
    assert [taken(volume, form=form) for form in forms] == [True, False, True, False, False]


def test_a_trace_of_a_known_form_is_interesting_if_it_has_failed() -> None:
    volume = Volume("interesting")
    assert [taken(volume, failed=failed) for failed in (False, False, True)] == [True, False, True]


def test_a_form_that_failed_at_first_is_known_from_then_on() -> None:
    volume = Volume("interesting")
    assert [taken(volume, failed=failed) for failed in (True, False)] == [True, False]


def test_as_long_as_little_is_known_slow_is_a_second() -> None:
    volume = Volume("interesting")
    assert [taken(volume, took) for took in (1, 900, 1_000)] == [True, False, True]


def test_what_takes_twice_as_long_as_nearly_all_others_is_slow() -> None:
    volume = Volume("interesting")
    for took in range(1, 101):
        taken(volume, took)
    assert [taken(volume, took, at=10.0) for took in (190, 193)] == [False, True]


def test_where_all_take_seconds_a_second_is_not_slow() -> None:
    volume = Volume("interesting")
    for at in range(20):
        taken(volume, 3_000, at=at)
    assert not taken(volume, 3_000, at=100.0)


def test_what_one_root_takes_says_nothing_of_another() -> None:
    volume = Volume("interesting")
    for _ in range(50):
        taken(volume, 1)
    assert [taken(volume, 100, at=10.0), taken(volume, 100, form="new", label="other", at=10.0)] == [True, True]
    assert not taken(volume, 100, form="new", label="other", at=10.0)


def test_in_a_second_no_more_are_shown_than_can_be_read_and_the_rest_is_told_in_a_line() -> None:
    volume = Volume("all")
    shown = [taken(volume, took, at=took / 1_000) for took in range(1, 41)]
    # The first one is of a root that was never seen.
    assert shown == [True] * (1 + PER_SECOND) + [False] * (40 - 1 - PER_SECOND)
    assert list(volume.more(1.5)) == ["… 34 more like R (p50 24ms, max 40ms)"]
    assert list(volume.more(3.0)) == []
    assert taken(volume, at=3.0)


def test_a_root_that_was_never_seen_is_shown_beside_many_of_another() -> None:
    volume = Volume("all")
    for _ in range(50):
        taken(volume)
    assert taken(volume, label="POST /orders")
    assert not taken(volume)


def test_what_has_failed_is_shown_beside_many_that_have_not() -> None:
    volume = Volume("all")
    for _ in range(50):
        taken(volume)
    assert [taken(volume, failed=True) for _ in range(PER_SECOND + 1)] == [True] * PER_SECOND + [False]


def test_the_lines_are_told_once_in_a_second_and_at_the_end_at_once() -> None:
    volume = Volume("all")
    for _ in range(20):
        taken(volume)
    assert len(list(volume.more(2.0))) == 1
    for _ in range(20):
        taken(volume, at=2.1)
    assert list(volume.more(2.2)) == []
    assert list(volume.more(2.3, is_last=True)) == ["… 15 more like R (p50 10ms, max 10ms)"]


def test_many_kinds_are_told_in_few_lines() -> None:
    volume = Volume("all")
    for number in range(20):
        for _ in range(9):
            taken(volume, label=f"R{number}")
    told = list(volume.more(2.0))
    assert len(told) == 6
    held = [int(line.split()[1]) for line in told]
    assert sum(held) == volume.unshown
    assert told[-1].endswith("more of 15 other kinds")


def test_a_root_called_by_a_stranger_does_not_reach_the_terminal_as_it_is() -> None:
    volume = Volume("all")
    for _ in range(9):
        taken(volume, label="\x1b]0;mine\x07")
    assert "\x1b" not in "".join(volume.more(2.0))


def test_roots_without_number_are_remembered_within_bounds() -> None:
    volume = Volume("interesting")
    for number in range(5_000):
        taken(volume, label=f"GET /{number}", form=number)
    assert len(volume._roots) <= 501


def test_a_percentile_is_one_of_the_durations() -> None:
    from collections import deque

    assert [percentile(deque([5]), 95), percentile(deque(range(1, 101)), 50)] == [5, 51]

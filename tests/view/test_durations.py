"""Durations as a person reads them."""

from __future__ import annotations

import pytest

from otel_run.view.durations import duration
from view import told

MS = told.MS


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0ms"),
        (0.0004, "0ms"),
        (0.79, "0.79ms"),
        (1.23, "1.2ms"),
        (9.96, "10ms"),
        (450.4, "450ms"),
        (999.6, "1.00s"),
        (59_949, "59.9s"),
        (59_960, "1m00s"),
        (3_599_600, "1h00m"),
        (7_380_000, "2h03m"),
    ],
)
def test_a_duration_has_few_figures_and_a_unit(milliseconds: float, shown: str) -> None:
    assert duration(round(milliseconds * MS)) == shown


def test_a_duration_that_nobody_can_have_measured_is_drawn_too() -> None:
    assert duration(10**400) == "5124095h35m"

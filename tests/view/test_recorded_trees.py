"""Trees of what real programs left, as they were drawn and read by eye when that was recorded."""

from __future__ import annotations

import pytest

from view.recorded_runs import NAMES, RECORDED, drawn


@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded_is_drawn_as_it_always_was(name: str) -> None:
    recorded = (RECORDED / f"{name}.jsonl").read_text("utf-8").splitlines()
    assert drawn(recorded) == (RECORDED / f"{name}.txt").read_text("utf-8")

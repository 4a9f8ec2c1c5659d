"""The trees of real programs that run now, as far as no clock decides: the lines, and the notes that count."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from view.recorded_runs import NAMES, RECORDED, command, drawn, environment, run

if TYPE_CHECKING:
    from pathlib import Path

# Who waits for whom, and for how long: that differs each time, and with the machine.
_NOTE = re.compile(r"  ← (?!N\+1|same|retry|no answer|\w+Error: )[^\n]*|, on the critical path|, slowest [^\n,]*")
_DURATION = re.compile(r"( \(median )?\b[\d.]+m?s\)?")


def shape(tree: str) -> list[str]:
    """Return the lines of a tree without what clocks and ports decide, and without the path."""
    without = _DURATION.sub("", _NOTE.sub("", tree))
    without = re.sub(r"(← \w+Error): .*", r"\1", without)
    # SQLAlchemy 2.0 names columns that 2.1 does not.
    without = re.sub(r" AS \w+", "", without)
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", without).splitlines()[:-1]


def test_programs_have_the_trees_that_they_had_when_they_were_recorded(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        ran = pool.map(lambda name: drawn(run(name, tmp_path / f"{name}.jsonl")), NAMES)
    expected = {name: shape((RECORDED / f"{name}.txt").read_text("utf-8")) for name in NAMES}
    assert dict(zip(NAMES, map(shape, ran), strict=True)) == expected


def test_ten_thousand_spans_are_two_lines() -> None:
    env = environment("many", OTEL_TRACES_EXPORTER="tree", NO_COLOR="1", OTEL_BSP_MAX_QUEUE_SIZE="20000")
    done = subprocess.run(
        command("many"), cwd=RECORDED, env=env, capture_output=True, timeout=60, check=True, encoding="utf-8"
    )
    assert shape(done.stderr) == ["main []", "├── 10000× SELECT ? []  ← N+1: 10000 alike", "└── ROLLBACK []"]  # noqa: RUF001 - what a person reads as "times"

"""Pools whose processes outlive their tasks: loky's, joblib's, concurrent.futures': each task's span is sent once.

loky ends its idle processes by itself, and its resource tracker and executor end by `os._exit` or of a signal.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from servers.endpoints import HANGING, REFUSING, UP, run_in_each_state

if TYPE_CHECKING:
    from pathlib import Path

    from servers.endpoints import Ended

BEGIN = """
import os, sys, time
from opentelemetry import trace

def work(number):
    from opentelemetry import trace
    trace.get_tracer("t").start_span(f"task {number}").end()
    return os.getpid()

if __name__ == "__main__":
    trace.get_tracer("t").start_span("parent").end()
"""
PROGRAMS = {
    "joblib, loky": """
    import joblib
    for first in (0, 4):
        joblib.Parallel(n_jobs=2)(joblib.delayed(work)(first + number) for number in range(4))
    """,
    "joblib, multiprocessing": """
    import joblib
    joblib.Parallel(n_jobs=2, backend="multiprocessing")(joblib.delayed(work)(number) for number in range(8))
    """,
    "joblib, threading": """
    import joblib
    joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(work)(number) for number in range(8))
    """,
    "loky, reused": """
    import loky
    for first in (0, 4):
        list(loky.get_reusable_executor(max_workers=2, timeout=10).map(work, range(first, first + 4)))
    """,
    "loky, whose idle processes leave": """
    import loky
    list(loky.get_reusable_executor(max_workers=2, timeout=1).map(work, range(8)))
    time.sleep(2.5)
    """,
    "loky, that is killed": """
    import loky
    executor = loky.get_reusable_executor(max_workers=2, timeout=10)
    list(executor.map(work, range(8)))
    time.sleep(0.5)
    executor.shutdown(wait=True, kill_workers=True)
    """,
    "ProcessPoolExecutor": """
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        for first in (0, 4):
            list(pool.map(work, range(first, first + 4)))
    """,
    "a pool whose owner just ends": """
    from concurrent.futures import ProcessPoolExecutor
    pool = ProcessPoolExecutor(2)
    list(pool.map(work, range(8)))
    """,
}
NAMES = ["parent", *(f"task {number}" for number in range(8))]
# What is sent within half a second is not lost with a process that is killed.
ENVIRONMENT = {"loky, that is killed": {"OTEL_BSP_SCHEDULE_DELAY": "100"}}


def _run(name: str, folder: Path, states: tuple[str, ...]) -> dict[str, Ended]:
    mine = folder / name.replace(" ", "-")
    mine.mkdir()
    (mine / "app.py").write_text(BEGIN + PROGRAMS[name])
    return run_in_each_state(["app.py"], mine, states, ENVIRONMENT.get(name))


def test_each_task_has_its_span_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as side_by_side:
        found = dict(
            zip(PROGRAMS, side_by_side.map(lambda name: _run(name, tmp_path, (UP,))[UP], PROGRAMS), strict=True)
        )
    for name, ended in found.items():
        assert (name, ended.names) == (name, NAMES), ended
        assert (ended.status, ended.stderr) == (0, ""), ended


@pytest.mark.parametrize("name", ["joblib, loky", "ProcessPoolExecutor"])
def test_a_receiver_in_trouble_makes_no_pool_fail(name: str, tmp_path: Path) -> None:
    for ended in _run(name, tmp_path, (REFUSING, HANGING)).values():
        lines = ended.stderr.splitlines()
        assert ended.status == 0, ended
        # One line for each process that has lost spans.
        assert 1 <= len(lines) <= 3, ended
        assert all(line.startswith("otel-run: exporter otlp: ") for line in lines), ended

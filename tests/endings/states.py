"""One way to end, tried with a receiver in each of its states."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from process.children import environment
from servers.endpoints import AWAY, BUSY, HANGING, REFUSING, STATES, TELL_END, UP, run_in_each_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from servers.endpoints import Ended

    # What a program does last, and its status.
    Ending = tuple[str, int]

ONE = "from opentelemetry import trace\ntrace.get_tracer('t').start_span('one').end()\n"
END = TELL_END + "\n"

# Seconds: the budget of two, and as much again for a machine that has other things to do.
LONGEST = 4.0

# For the many cases in which it is enough that there is a budget: nobody waits long for a receiver that hangs.
SHORT = {"OTEL_RUN_EXIT_TIMEOUT": "600"}


def check(
    ending: Ending,
    folder: Path,
    names: Sequence[str] = ("one",),
    how: str = "app.py",
    processes: int = 1,
    states: Sequence[str] = STATES,
    env: Mapping[str, str] | None = None,
    begin: str = ONE,
) -> dict[str, Ended]:
    """Run it in each state, and see that spans, status, time and stderr are as they must be.

    `names` are those of all spans, `processes` how many processes have some, and so a line to say of them.
    """
    source, status = ending
    (folder / "app.py").write_text(begin + source)
    command = {"-c": ["-c", begin + source], "-m": ["-m", "app"]}.get(how, [how])
    with ThreadPoolExecutor(1) as pool:
        without_us = pool.submit(_run_bare, command, folder)
        found = run_in_each_state(command, folder, states, env)
        bare = without_us.result()
    assert bare.returncode == status, bare
    for ended in found.values():
        ours = [line for line in ended.stderr.splitlines() if line.startswith("otel-run: ")]
        theirs = [line for line in ended.stderr.splitlines() if not line.startswith("otel-run: ")]
        assert ended.status == status, ended
        assert theirs == bare.stderr.splitlines(), ended
        assert ended.delay < LONGEST, ended
        if ended.state in (UP, BUSY):
            assert (ended.names, ours) == (sorted(names), []), ended
        elif ended.state in (REFUSING, HANGING):
            assert (ended.names, len(ours)) == ([], processes), ended
        else:
            assert ended.state == AWAY
            assert len(ended.names) == len(set(ended.names)), ended
            assert set(ended.names) == set(names) or ours, ended
    return found


def _run_bare(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(PYTHONWARNINGS="ignore::DeprecationWarning"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

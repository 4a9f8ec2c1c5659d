"""The price of one span, from its start to bytes for the wire: loops in processes that take turns."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import processes
from agents import OTEL, OURS

if TYPE_CHECKING:
    from environments import Environment

BATCHES = 20


def measure(environments: dict[str, Environment], runs: int) -> dict[str, Any]:
    """Return microseconds of CPU a span, one for each batch of each run, and bytes a span, by agent."""
    results: dict[str, Any] = {}
    for _ in range(runs):
        for agent, which in ((OURS, "ours"), (OTEL, "sdk")):
            command = [environments[agent.name].python, str(processes.PROGRAMS / "hot_loop.py"), which, str(BATCHES)]
            done = subprocess.run(command, env=processes.clean(), capture_output=True, text=True, check=False)
            if done.returncode:
                raise processes.Failed(f"{' '.join(command)}\n{done.stderr}")
            told = json.loads(done.stdout)
            found = results.setdefault(agent.name, {"microseconds": [], "bytes": told["bytes"]})
            found["microseconds"] += told["microseconds"]
    return results

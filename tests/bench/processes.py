"""Processes that live as long as a `with` block, each ended by its pid, and what they have cost so far.

Every one is told where it stands in a clean environment, says that it is ready in one line of JSON, and is a
session of its own: Ctrl-C in a terminal ends the benchmark, and the benchmark ends them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAMS = Path(__file__).with_name("programs")
READY_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0


class Failed(Exception):
    """A process did not do its part; the message ends with what it wrote."""


@dataclass
class Process:
    """A running process, and the line with which it said that it is ready."""

    popen: subprocess.Popen[str]
    told: dict[str, Any]

    def cpu(self) -> float:
        """Return the seconds of CPU, user and system, that all of its threads have used, living or not."""
        # The clock of a process (see clock_getcpuclockid): /proc/PID/stat counts in hundredths of a second.
        return time.clock_gettime_ns((~self.popen.pid << 3) | 2) / 1e9

    def memory(self) -> float:
        """Return its resident set in MiB."""
        with open(f"/proc/{self.popen.pid}/status") as file:
            line = next(line for line in file if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


def clean(**variables: str) -> dict[str, str]:
    """Return an environment with nothing of the user's but where programs are."""
    # One seed for all: the order of a set must not be what makes two of them differ.
    return {"PATH": os.defpath, "HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0", **variables}


@contextlib.contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Process]:
    """Run `command` until the block is left; its errors go to the file `log`."""
    with open(log, "wb") as errors:
        popen = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,  # closed when we end, whatever ended us
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield Process(popen, _ready(popen, command, log))
    finally:
        stop(popen)


def stop(popen: subprocess.Popen[str]) -> None:
    """End a process: asked at first, killed if it doesn't listen."""
    try:
        popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(STOP_TIMEOUT)
    finally:
        # Also after a second Ctrl-C, which ends the wait above.
        popen.kill()
        popen.wait()
        for stream in (popen.stdin, popen.stdout):
            if stream is not None:
                stream.close()


def _ready(popen: subprocess.Popen[str], command: Sequence[str], log: Path) -> dict[str, Any]:
    assert popen.stdout is not None
    line = _line(popen.stdout)
    if not line.startswith("{"):
        told = log.read_text(errors="replace")[-3000:]
        raise Failed(f"{' '.join(command)} is not ready\n{line}{told}")
    ready: dict[str, Any] = json.loads(line)
    return ready


def _line(stream: IO[str]) -> str:
    readable, _, _ = select.select([stream], [], [], READY_TIMEOUT)
    return stream.readline() if readable else ""

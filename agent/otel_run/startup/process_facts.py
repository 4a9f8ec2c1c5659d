"""What is known of the process itself: when it began, what it is called, and (process_exit.py) how it ends.

All of it is told from outside: nothing about the process is changed to know it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from otel_run import forks
from otel_run.grammar import readable
from otel_run.startup import lifetime
from otel_run.startup.process_exit import Ending, ending, watch
from otel_run.startup.program import running

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from otel_run.settings import Settings

__all__ = ["Ending", "attributes", "ending", "name", "started_at", "watch"]

# An interpreter gets from its start to us in less. A process that is older was something else before: a shell that
# waited for a database and then became the program (`exec`), and what it waited for is no part of the program's time.
_LONGEST_START = 10_000_000_000  # ns

# The start of the agent; elsewhere than on Linux nobody tells of an earlier moment.
_noticed = lifetime.began or time.time_ns()


def _begin_child() -> None:
    global _noticed
    _noticed = time.time_ns()


# A child that is forked begins with the fork: what was done before it is in its parent's span already.
forks.in_child(_begin_child)


def started_at() -> int:
    """Return when the process was made (ns since the epoch), at the latest when the agent began in it."""
    began = _as_the_system_says()
    if began is None or not _noticed - _LONGEST_START <= began <= _noticed:
        return _noticed
    return began


def _as_the_system_says() -> int | None:
    """Return the start by Linux's process table, None where it tells nothing.

    Source: proc_pid_stat(5), "(22) starttime": in clock ticks since the boot of the system.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        return None
    try:
        with open("/proc/self/stat", "rb") as stat:
            # The program's name is in parentheses, and may hold spaces and parentheses of its own.
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        age = time.clock_gettime_ns(clock) - ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return time.time_ns() - age


def name() -> str:
    """Return what a person calls the program: `nightly` for `python jobs/nightly.py`, and for `-m nightly`."""
    program = running()
    if program.kind == "code":
        return "multiprocessing" if "from multiprocessing." in program.code else "python -c"
    name = readable(program.short_name)
    if not name and "uwsgi" in sys.modules:
        return "uwsgi"  # which shows Python none of its arguments
    return name or "python"


def attributes(settings: Settings) -> dict[str, AttributeValue]:
    """Return the attributes that the conventions for command-line programs ask for, but for those of its end."""
    found: dict[str, AttributeValue] = {
        "process.executable.name": readable(os.path.basename(sys.executable or "python")),
        "process.pid": os.getpid(),
    }
    if settings.process_arguments:
        found["process.command_args"] = [readable(argument) for argument in sys.orig_argv]
    return found

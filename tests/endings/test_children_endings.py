"""Children of every kind end with their spans delivered, and as they end without us."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from endings.states import END, HANGING, REFUSING, SHORT, UP, check

if TYPE_CHECKING:
    from pathlib import Path

IMPORTS = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
def work(number):
    from opentelemetry import trace
    trace.get_tracer("t").start_span(f"call {number}").end()
    return number
def work_and_die(number):
    work(number)
    os.kill(os.getpid(), 15)
    time.sleep(20)
"""
MAIN = """
if __name__ == "__main__":
    from opentelemetry import trace
    trace.get_tracer("t").start_span("one").end()
    context = multiprocessing.get_context(METHOD)
"""
CALLS = [f"call {number}" for number in range(5)]
ENDING = "".join(f"    {line}\n" for line in END.splitlines())

# What is done -> the calls that are made.
DONE = {
    "a process each": (
        (
            "    children = [context.Process(target=work, args=(number,)) for number in range(2)]\n"
            "    [child.start() for child in children]\n    [child.join() for child in children]\n"
            "    print([child.exitcode for child in children])\n"
        ),
        CALLS[:2],
    ),
    "a process that dies of SIGTERM": (
        (
            "    child = context.Process(target=work_and_die, args=(0,))\n"
            "    child.start()\n    child.join()\n    print(child.exitcode)\n    assert child.exitcode == -15\n"
        ),
        CALLS[:1],
    ),
    "a pool in a with block": (
        "    with context.Pool(2) as pool:\n        print(pool.map(work, range(5), chunksize=1))\n",
        CALLS,
    ),
    "a pool that is closed and joined": (
        (
            "    pool = context.Pool(2)\n    print(pool.map(work, range(5), chunksize=1))\n"
            "    pool.close()\n    pool.join()\n"
        ),
        CALLS,
    ),
    "a pool whose workers do one task": (
        (
            "    with context.Pool(2, maxtasksperchild=1) as pool:\n"
            "        print(pool.map(work, range(5), chunksize=1))\n        pool.close()\n        pool.join()\n"
        ),
        CALLS,
    ),
    "ProcessPoolExecutor": (
        "    with ProcessPoolExecutor(2, mp_context=context) as pool:\n        print(list(pool.map(work, range(5))))\n",
        CALLS,
    ),
}


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("done", DONE)
def test_every_call_arrives_from(done: str, method: str, tmp_path: Path) -> None:
    what, calls = DONE[done]
    source = IMPORTS + MAIN.replace("METHOD", repr(method)) + what + ENDING
    check((source, 0), tmp_path, names=["one", *calls], begin="", states=(UP,))


def test_they_end_in_time_when_nobody_answers(tmp_path: Path) -> None:
    source = IMPORTS + MAIN.replace("METHOD", "'fork'") + ENDING + DONE["a process each"][0]
    names = ["one", *CALLS[:2]]
    check((source, 0), tmp_path, names=names, begin="", states=(REFUSING, HANGING), processes=3, env=SHORT)


BECOMES = """
import os, sys
from opentelemetry import trace
trace.get_tracer("t").start_span(sys.argv[1] if len(sys.argv) > 1 else "one").end()
if len(sys.argv) == 1:
    CALL
"""
# All ways to become another program; `a` is its command.
EXECUTED = {
    "execv": "os.execv(a[0], a)",
    "execve": "os.execve(a[0], a, os.environ)",
    "execl": "os.execl(a[0], *a)",
    "execvp": "os.execvp(a[0], a)",
    "execvpe": "os.execvpe(a[0], a, dict(os.environ))",
    "posix.execv": "import posix; posix.execv(a[0], a)",
}


@pytest.mark.parametrize("how", EXECUTED)
def test_a_program_that_becomes_another_is_both(how: str, tmp_path: Path) -> None:
    call = f"a = [{sys.executable!r}, 'app.py', 'two']; " + EXECUTED[how]
    check((BECOMES.replace("CALL", call) + END, 0), tmp_path, names=["one", "two"], begin="", states=(UP,))


def test_becoming_another_takes_no_longer_than_the_end(tmp_path: Path) -> None:
    call = f"{END.strip()}; os.execv({sys.executable!r}, [{sys.executable!r}, 'app.py', 'two'])"
    source = BECOMES.replace("CALL", call) + "sys.exit(3)"
    check((source, 3), tmp_path, names=["one", "two"], begin="", processes=2, env=SHORT, states=(UP, REFUSING, HANGING))


def test_a_program_that_can_not_become_another_goes_on(tmp_path: Path) -> None:
    source = """
import os
try:
    os.execv("/nowhere/at/all", ["x"])
except OSError as error:
    print(type(error), error.errno, error.__context__)
trace.get_tracer("t").start_span("two").end()
"""
    check((source + END, 0), tmp_path, names=["one", "two"], states=(UP,))

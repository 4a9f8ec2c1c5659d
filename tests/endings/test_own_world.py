"""What a program can see of itself at its end is what it would see without us: threads, files, warnings, status."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, environment, run
from servers.fickle import fickle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# The connection that is kept from one export to the next, and the pair of sockets that SIGTERM is told by, are all that
# the agent adds, as long as the program runs.
BEGIN = """
import atexit, os, signal, sys, threading, time, warnings
def files():
    found = {}
    for number in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else ():
        try:
            found[int(number)] = os.path.basename(os.readlink(f"/proc/self/fd/{number}")).partition(":")[0]
        except OSError:
            pass  # that of the listing itself
    return found
def own_files():
    found = files()
    added = sorted(found[number] for number in found if number > 2)
    for number in list(found) if "opentelemetry.sdk" in sys.modules else ():
        if number > 2: del found[number]
    return added in ([], ["socket"] * 2, ["socket"] * 3) and sorted(found)
def tell(when):
    print(when, [thread.name for thread in threading.enumerate()], threading.active_count(), own_files())
    print(when, [signal.getsignal(number) for number in (2, 15)], flush=True)
def flush():
    provider = trace.get_tracer_provider()
    if hasattr(provider, "force_flush"):
        provider.force_flush()
atexit.register(tell, "last")
from opentelemetry import trace
tracer = trace.get_tracer("t")
def span(name):
    tracer.start_span(name).end()
"""

PROGRAMS = {
    "a span": "span('one')\ntell('end')\n",
    "an error": "span('one')\n1 / 0\n",
    "a flush": "span('one')\nflush()\ntell('end')\n",
    "a flush, and a child": (
        "span('one')\nflush()\n"
        "if not os.fork():\n    print('child', own_files(), threading.active_count())\n"
        "    tell('in the child')\n    sys.exit(0)\n"
        "print(os.wait()[1])\n"
    ),
    "many threads at work": (
        "over = False\n"
        "def work():\n    while not over: span('one'); time.sleep(0.01)\n"
        "threads = [threading.Thread(target=work) for _ in range(20)]\n"
        "for thread in threads: thread.start()\n"
        "ending = threading.Thread(target=lambda: (time.sleep(0.4), globals().update(over=True)))\n"
        "ending.start()\n"
    ),
    "daemon threads at work to the very end": (
        "def work():\n    while True: span('one'); time.sleep(0.01)\n"
        "for _ in range(20): threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.2)\natexit.unregister(tell)\n"
    ),
    "objects that live until the end": (
        "span('one')\n"
        "class Held:\n    def __del__(self, span=span, tell=tell): span('held'); tell('held')\n"
        "import builtins\nbuiltins.held = Held()\nheld = Held()\ncycle = [held]\ncycle.append(cycle)\n"
    ),
}

# How the interpreter is asked to look closely.
CLOSELY = {
    "nothing special": ((), {}),
    "-X dev -W error": (("-X", "dev", "-W", "error"), {}),
    "debug allocator": (("-W", "error"), {"PYTHONMALLOC": "debug", "PYTHONASYNCIODEBUG": "1"}),
}


def _outcome(command: Sequence[str], folder: Path, endpoint: str, **env: str) -> tuple[int, list[str], list[str]]:
    variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RUN_STRICT="true", **env)
    done = run([*command, "app.py"], folder, env=variables)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.mark.parametrize("closely", CLOSELY)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_is_seen_in_a_program_with(program: str, closely: str, tmp_path: Path) -> None:
    flags, env = CLOSELY[closely]
    (tmp_path / "app.py").write_text(BEGIN + PROGRAMS[program])
    with fickle() as receiver, ThreadPoolExecutor(2) as pool:
        bare, traced = pool.map(
            lambda command: _outcome([*command, sys.executable, *flags], tmp_path, receiver.endpoint, **env),
            ([], OTEL_RUN),
        )
    assert traced == bare
    assert {span.name for span in receiver.spans} == {"one", *(["held"] if "Held" in PROGRAMS[program] else [])}
    assert len({span.span_id for span in receiver.spans}) == len(receiver.spans)
    assert not list(tmp_path.glob("core*"))


def test_a_connection_and_a_pair_of_sockets_are_kept_between_two_exports_and_no_other_file_and_none_after_the_last(
    tmp_path: Path,
) -> None:
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc")
    source = BEGIN + (
        # The pair is there since the import above.
        "before = {number: kind for number, kind in files().items() if number < 3}\nspan('one')\nflush()\n"
        "after = {number: kind for number, kind in files().items() if number not in before}\n"
        "print(list(after.values()), [os.get_inheritable(number) for number in after])\natexit.unregister(tell)\n"
        "class Last:\n    def __del__(self, files=files, before=before): print(files() == before)\n"
        "import builtins\nbuiltins.last = Last()\n"
    )
    (tmp_path / "app.py").write_text(source)
    with fickle() as receiver:
        outcome = _outcome([*OTEL_RUN, sys.executable], tmp_path, receiver.endpoint)
    assert outcome == (0, ["['socket', 'socket', 'socket'] [False, False, False]", "True"], [])


def test_a_first_span_that_ends_when_nothing_can_be_imported_any_more_is_said_to_be_lost(tmp_path: Path) -> None:
    source = BEGIN + (
        "class Held:\n    def __del__(self, span=span): span('held')\n"
        "import builtins\nbuiltins.held = [Held(), Held()]\natexit.unregister(tell)\n"
    )
    (tmp_path / "app.py").write_text(source)
    with fickle() as receiver:
        status, stdout, stderr = _outcome([*OTEL_RUN, sys.executable], tmp_path, receiver.endpoint)
    said = "otel-run: exporter otlp: too late: what ends in destructors now is lost: nothing was sent before"
    assert (status, stdout, stderr, receiver.spans) == (0, [], [said], [])

"""SIGTERM ends a process that has not said otherwise: of the signal, wherever it is, and after its spans have left."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from endings.states import END, HANGING, LONGEST, REFUSING, SHORT, UP, check
from servers.endpoints import run_in_each_state

if TYPE_CHECKING:
    from pathlib import Path

# From a thread, while the main one does what follows.
SOON = """
import _thread, os, signal, time
def _told_to_end():
    time.sleep(0.3)
    print('END', time.time(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
_thread.start_new_thread(_told_to_end, ())
"""

WAITING = {
    "sleeps": "time.sleep(30)",
    "waits for a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "joins a thread": (
        "import threading\n"
        "thread = threading.Thread(target=time.sleep, args=(30,), daemon=True)\nthread.start()\nthread.join()"
    ),
    "is in asyncio.run": "import asyncio\nasyncio.run(asyncio.sleep(30))",
    "waits for a thread at its end": "import threading\nthreading.Thread(target=time.sleep, args=(30,)).start()",
    "computes": "while True: pass",
    "reads a pipe": "os.read(os.pipe()[0], 1)",
    "waits for a child": "import subprocess\nsubprocess.run(['sleep', '5'], stdout=-3, stderr=-3)",
}


@pytest.mark.parametrize("what", WAITING)
def test_while_the_main_thread(what: str, tmp_path: Path) -> None:
    states = (UP, REFUSING, HANGING)
    check((SOON + WAITING[what], -signal.SIGTERM), tmp_path, states=states, env=SHORT)


HANDLED = {
    "exits": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))", 5),
    "raises": ("signal.signal(signal.SIGTERM, signal.default_int_handler)", -signal.SIGINT),
    "leaves": ("signal.signal(signal.SIGTERM, lambda *_: os._exit(6))", 6),
    "dies of it all the same": (
        (
            "def die(*_):\n    signal.signal(signal.SIGTERM, signal.SIG_DFL)\n    signal.raise_signal(signal.SIGTERM)\n"
            "signal.signal(signal.SIGTERM, die)"
        ),
        -signal.SIGTERM,
    ),
    "calls the one before": (
        (
            "old = signal.getsignal(signal.SIGTERM)\n"
            "def mine(number, frame):\n    if callable(old): old(number, frame)\n    sys.exit(8)\n"
            "signal.signal(signal.SIGTERM, mine)"
        ),
        8,
    ),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("handler", HANDLED)
def test_a_program_whose_handler(handler: str, when: str, tmp_path: Path) -> None:
    set_handler, status = HANDLED[handler]
    sets = f"import os, signal, sys, time\n{set_handler}\n"
    one = "from opentelemetry import trace\ntrace.get_tracer('t').start_span('one').end()\n"
    begin = sets + one if when == "before" else one + sets
    # Not `os.kill`, in which a handler's error would show one frame of ours.
    source = END + "import threading; signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\ntime.sleep(30)"
    check((source, status), tmp_path, begin=begin, states=(UP, REFUSING, HANGING), env=SHORT)


def test_the_signal_at_once_in_every_state(tmp_path: Path) -> None:
    source = END + "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)"
    check((source, -signal.SIGTERM), tmp_path)


def test_two_of_them(tmp_path: Path) -> None:
    source = SOON.replace(
        "os.kill(os.getpid(), signal.SIGTERM)",
        "[(os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.1)) for _ in '12']",
    )
    check((source + "time.sleep(30)", -signal.SIGTERM), tmp_path, states=(UP, REFUSING, HANGING), env=SHORT)


def test_in_the_middle_of_the_flush_at_exit(tmp_path: Path) -> None:
    # The program's own end takes two seconds against a receiver that hangs; it would be over without us.
    found = check(
        ("import _thread, os, signal, time\n"
         "def kill():\n    time.sleep(0.5)\n    os.kill(os.getpid(), signal.SIGTERM)\n"
         "import sys\nif 'otel_run' in sys.modules: _thread.start_new_thread(kill, ())\n"
         "else: signal.raise_signal(signal.SIGTERM)\n" + END, -signal.SIGTERM),
        tmp_path, states=(HANGING,),
    )  # fmt: skip
    assert found[HANGING].delay < LONGEST


def test_while_an_export_hangs(tmp_path: Path) -> None:
    source = SOON.replace("sleep(0.3)", "sleep(1)") + "time.sleep(30)"
    check((source, -signal.SIGTERM), tmp_path, states=(HANGING,), env={"OTEL_BSP_SCHEDULE_DELAY": "100"})


def test_a_library_first_imported_in_a_thread_is_known_at_the_main_threads_next_import_of_one(tmp_path: Path) -> None:
    # Handlers can be set in the main thread alone; until it comes by, SIGTERM does what it always did.
    begin = (
        "import threading\n"
        "def work():\n    from opentelemetry import trace\n    trace.get_tracer('t').start_span('one').end()\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    )
    kill = END + "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)"
    check(("import requests\n" + kill, -signal.SIGTERM), tmp_path, begin=begin, states=(UP, REFUSING))
    found = run_in_each_state(["-c", begin + kill], tmp_path, (UP,))
    assert (found[UP].status, found[UP].names, found[UP].stderr) == (-signal.SIGTERM, [], "")


def test_while_the_main_thread_is_in_c_code_that_does_not_look_for_signals(tmp_path: Path) -> None:
    # A lock that is waited for in C, and no signal wakes: as a database's client library waits for its server.
    source = (
        "import ctypes, os, signal, sys, threading, time\n"
        "poll = ctypes.CDLL(None, use_errno=True).poll\n"
        "def kill():\n    time.sleep(0.3)\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=kill, daemon=True).start()\n" + END + "while True: poll(None, 0, 20000)"
    )
    check((source, -signal.SIGTERM), tmp_path, states=(UP, REFUSING))

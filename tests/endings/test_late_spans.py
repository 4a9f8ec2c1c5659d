"""Spans that end while the interpreter does, and what can't be helped."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from endings.states import END, HANGING, REFUSING, SHORT, UP, check

if TYPE_CHECKING:
    from pathlib import Path

TRACER = "from opentelemetry import trace\ntracer = trace.get_tracer('t')\n"

LATE = {
    "an exit handler registered before the agent woke": (
        "import atexit\natexit.register(lambda: tracer.start_span('one').end())\n" + TRACER,
        ["one"],
    ),
    "an exit handler registered after it woke": (
        TRACER + "import atexit\natexit.register(lambda: tracer.start_span('one').end())\n",
        ["one"],
    ),
    "both, and main": (
        "import atexit\natexit.register(lambda: tracer.start_span('one').end())\n"
        + TRACER
        + "atexit.register(lambda: tracer.start_span('two').end())\ntracer.start_span('three').end()\n",
        ["one", "two", "three"],
    ),
    "many, in an exit handler": (
        TRACER + "import atexit\n"
        "@atexit.register\ndef last():\n    for number in range(700): tracer.start_span(f'{number:03}').end()\n",
        [f"{number:03}" for number in range(700)],
    ),
    "a handler that flushes and shuts down": (
        TRACER + "import atexit\n"
        "@atexit.register\ndef last():\n    tracer.start_span('one').end()\n"
        "    provider = trace.get_tracer_provider()\n"
        "    if hasattr(provider, 'shutdown'): provider.force_flush() and provider.shutdown()\n"
        "    tracer.start_span('two').end()\n",
        ["one", "two"],
    ),
    "a thread's exit, waited for after main": (
        TRACER + "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), tracer.start_span('one').end())).start()\n",
        ["one"],
    ),
    "an executor's, waited for after main": (
        TRACER + "import time\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "ThreadPoolExecutor().submit(lambda: (time.sleep(0.3), tracer.start_span('one').end()))\n",
        ["one"],
    ),
}


@pytest.mark.parametrize("where", LATE)
def test_a_span_of(where: str, tmp_path: Path) -> None:
    begin, names = LATE[where]
    # A receiver that is found to be away before the end is said to be then; and at the end, what that has cost.
    is_tried_before = where in ("many, in an exit handler", "a handler that flushes and shuts down")
    states = (UP,) if is_tried_before else (UP, REFUSING, HANGING)
    check((END, 0), tmp_path, names=names, begin=begin, states=states, env=SHORT)


def test_a_span_that_a_destructor_ends_while_modules_are_taken_apart_is_sent_by_itself(tmp_path: Path) -> None:
    begin = TRACER + (
        "class Held:\n    def __init__(self): self.span = tracer.start_span('one')\n"
        "    def __del__(self): self.span.end()\nheld = Held()\ntracer.start_span('two').end()\n"
    )
    check((END, 0), tmp_path, names=["one", "two"], begin=begin, states=(UP,))


def test_a_span_that_has_not_ended_does_not_exist(tmp_path: Path) -> None:
    begin = TRACER + "open_span = tracer.start_span('open')\ntracer.start_span('one').end()\n"
    check((END, 0), tmp_path, begin=begin, states=(UP,))


@pytest.mark.parametrize("how", ["os.abort()", "os.kill(os.getpid(), signal.SIGKILL)", "ctypes.string_at(0)"])
def test_what_nobody_can_wait_for_loses_what_has_not_been_sent(how: str, tmp_path: Path) -> None:
    status = {"os": -signal.SIGKILL, "ct": -signal.SIGSEGV}[how[:2]]
    if "abort" in how:
        status = -signal.SIGABRT
    source = "import ctypes, os, resource, signal\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    sent = "trace.get_tracer_provider().force_flush() if hasattr(trace.get_tracer_provider(), 'force_flush') else 0\n"
    source += sent + "trace.get_tracer('t').start_span('lost').end()\n" + how
    check((source, status), tmp_path, states=(UP,))

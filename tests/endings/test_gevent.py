"""gevent: nothing is imported before it patches, spans leave beside its hub, and it ends as it would without us."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from endings.served import Case, run
from endings.states import END, LONGEST, ONE, check
from process.children import OTEL_RUN, both, environment
from servers.endpoints import BUSY, HANGING, REFUSING, UP, Endpoint, endpoint, run_in_each_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytest.importorskip("gevent")

PATCHED = "from gevent import monkey\nmonkey.patch_all()\n"
# What gevent takes over, and what harms if it comes before (ssl).
PATCHABLE = {
    "ssl", "_ssl", "socket", "select", "selectors", "subprocess", "threading", "queue", "signal", "asyncio",
    "concurrent.futures", "logging", "multiprocessing", "http.client", "urllib.request",
}  # fmt: skip

# Each leaves the modules that are there.
BEFORE_PATCHING = {
    "at once": "",
    "gevent is there": "import gevent.monkey\n",
    "settings are read": "import json, os, argparse, collections\n",
    "a client of redis is there": "import redis\n",
}


@pytest.mark.parametrize("first", BEFORE_PATCHING)
def test_nothing_that_it_patches_is_imported_before_it_patches(first: str, tmp_path: Path) -> None:
    source = BEFORE_PATCHING[first] + "import sys\nprint(*sorted(sys.modules))\n"
    bare, traced = both(["-c", source], tmp_path)
    assert (set(traced[1].split()) - set(bare[1].split())) & PATCHABLE == set()
    assert traced[2] == bare[2]


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, found: Endpoint, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run `python COMMAND` under `otel-run` until the block is left."""
    env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=found.url, OTEL_RUN_STRICT="true", **variables)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*OTEL_RUN, sys.executable, *command], cwd=folder, env=env, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


WAYS = {
    "its first lines": (PATCHED, ["app.py"]),
    "python -m gevent.monkey": ("", ["-m", "gevent.monkey", "app.py"]),
    "after the agent is awake": ("import opentelemetry.trace\n" + PATCHED, ["app.py"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_spans_leave_while_the_program_runs(way: str, tmp_path: Path) -> None:
    first, command = WAYS[way]
    (tmp_path / "app.py").write_text(first + ONE + "import gevent\ngevent.sleep(60)\n")
    with endpoint(UP) as found, running(command, tmp_path, found, OTEL_BSP_SCHEDULE_DELAY="100") as process:
        found.received.wait_for_requests(1)
        assert process.poll() is None
        process.kill()
        assert process.communicate() == ("", "")
    assert found.names == ["one"]


TICKING = """
import threading, time
from opentelemetry import trace

ticks, stop = 0, False
def tick():
    global ticks
    while not stop:
        time.sleep(0.01)
        ticks += 1

ticking = threading.Thread(target=tick)
ticking.start()
trace.get_tracer("t").start_span("one").end()
time.sleep(0.5)  # by now it is sent to one who never answers
print(ticks > 5)
before = ticks
print(trace.get_tracer_provider().force_flush(1000))
print(ticks - before > 5)
stop = True
ticking.join()
"""


@pytest.mark.parametrize("first", [PATCHED, ""], ids=["patched", "threads"])
def test_greenlets_go_on_during_an_export_and_a_flush_as_threads_do(first: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(first + TICKING)
    env = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_RUN_EXIT_TIMEOUT": "600"}
    ended = run_in_each_state(["app.py"], tmp_path, [HANGING], env)[HANGING]
    assert (ended.status, ended.stdout.split()) == (0, ["True", "False", "True"]), ended


def test_a_flush_in_the_hub_itself_waits_as_it_may(tmp_path: Path) -> None:
    source = PATCHED + ONE + "import gevent\n"
    source += "gevent.get_hub().loop.run_callback(lambda: print(trace.get_tracer_provider().force_flush()))\n"
    (tmp_path / "app.py").write_text(source + "gevent.sleep(0.5)\n")
    ended = run_in_each_state(["app.py"], tmp_path, [UP])[UP]
    assert (ended.status, ended.stdout, ended.stderr, ended.names) == (0, "True\n", "", ["one"]), ended


SIGTERM = "import os, signal, gevent\n"
KILL = "os.kill(os.getpid(), signal.SIGTERM)\n"
HANDLED = "from gevent.event import Event\ndone = Event()\ngevent.signal_handler(signal.SIGTERM, done.set)\n"
# Name -> (what it does, its status, the names of its spans beside "one", in how many processes).
ENDINGS = {
    "normal exit": (END, 0, [], 1),
    "exception": (END + "raise KeyError('theirs')\n", 1, [], 1),
    "greenlets that go on": ("import gevent\ngevent.spawn(gevent.sleep, 60)\ngevent.sleep(0.05)\n" + END, 0, [], 1),
    "SIGTERM": (SIGTERM + END + KILL + "gevent.sleep(60)\n", -15, [], 1),
    "SIGTERM that gevent takes": (SIGTERM + HANDLED + KILL + "print(done.wait(30))\n" + END, 0, [], 1),
    # Waiting for a child that ends at once, by waitpid or by a pipe, may take for ever with gevent, without us too.
    "fork": (
        "import os, time\nif not os.fork():\n"
        "    trace.get_tracer('t').start_span('child').end()\n    os._exit(0)\ntime.sleep(1)\n" + END,
        0,
        ["child"],
        2,
    ),
    "threadpool": (
        "import gevent\ndef work(): trace.get_tracer('t').start_span('in a thread').end()\n"
        "gevent.get_hub().threadpool.apply(work)\n" + END,
        0,
        ["in a thread"],
        1,
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_spans_leave_before_the_end(ending: str, tmp_path: Path) -> None:
    source, status, names, processes = ENDINGS[ending]
    states = (UP, REFUSING, HANGING)
    check((source, status), tmp_path, ["one", *names], processes=processes, states=states, begin=PATCHED + ONE)


def test_what_takes_sigterm_before_we_are_awake_keeps_it(tmp_path: Path) -> None:
    # gevent tells the system in C, and Python knows nothing of it.
    source = "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n" + KILL + "print(done.wait(30))\n" + END
    check((source, 0), tmp_path, states=[UP], begin=PATCHED + SIGTERM + HANDLED + ONE)


SERVER = (
    PATCHED
    + """
import os, sys
from flask import Flask, request
from gevent.pywsgi import WSGIServer

application = Flask("app")

@application.get("/<number>")
def answer(number):
    return f"pid={os.getpid()};"

WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()
"""
)


def test_a_server_of_its_own_ends_as_without_us(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SERVER)
    cases = {state: Case(("python", "app.py", "{port}"), state=state) for state in (UP, BUSY, HANGING)}
    for served in run(cases, tmp_path).values():
        assert served.status == -15, served
        assert served.delay < LONGEST, served
        assert served.received == ([] if served.case.state == HANGING else sorted(served.answered.items())), served
        assert served.output.splitlines() == served.said, served
        assert len(served.said) == (served.case.state == HANGING), served

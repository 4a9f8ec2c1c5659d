"""eventlet: spans leave beside its hub, and its programs end as they would without us."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from endings.served import Case, run
from endings.states import END, LONGEST, ONE, check
from servers.endpoints import BUSY, HANGING, REFUSING, UP, run_in_each_state

if TYPE_CHECKING:
    from pathlib import Path

if importlib.util.find_spec("eventlet") is None:
    pytest.skip("eventlet is not installed", allow_module_level=True)

# Its own resolver fails on Python 3.10 where trio is installed.
PATCHED = """
import os, warnings
os.environ["EVENTLET_NO_GREENDNS"] = "yes"
warnings.simplefilter("ignore")  # it tells everybody not to use it
import eventlet
eventlet.monkey_patch()
warnings.resetwarnings()
"""
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


def test_green_threads_go_on_during_an_export_and_a_flush(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PATCHED + TICKING)
    env = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_RUN_EXIT_TIMEOUT": "600"}
    ended = run_in_each_state(["app.py"], tmp_path, [HANGING], env)[HANGING]
    assert (ended.status, ended.stdout.split()) == (0, ["True", "False", "True"]), ended


KILLED = """
import eventlet, os, signal
eventlet.sleep(3)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_spans_leave_while_the_program_runs(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PATCHED + ONE + KILLED)
    ended = run_in_each_state(["app.py"], tmp_path, [UP], {"OTEL_BSP_SCHEDULE_DELAY": "100"})[UP]
    assert (ended.status, ended.stdout, ended.stderr, ended.names) == (-9, "", "", ["one"]), ended


# Name -> (what it does, its status, the names of its spans beside "one", in how many processes).
ENDINGS = {
    "normal exit": (END, 0, [], 1),
    "SIGTERM": (END + "import signal\nos.kill(os.getpid(), signal.SIGTERM)\neventlet.sleep(60)\n", -15, [], 1),
    "fork": (
        "child = os.fork()\nif not child:\n"
        "    trace.get_tracer('t').start_span('child').end()\n    os._exit(0)\nprint(os.waitpid(child, 0)[1])\n" + END,
        0,
        ["child"],
        2,
    ),
    "tpool": (
        "import eventlet.tpool\ndef work(): trace.get_tracer('t').start_span('in a thread').end()\n"
        "eventlet.tpool.execute(work)\n" + END,
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


SERVER = (
    PATCHED
    + """
import sys
from eventlet import wsgi
from flask import Flask

application = Flask("app")

@application.get("/<number>")
def answer(number):
    return f"pid={os.getpid()};"

wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[1]))), application, log_output=False)
"""
)


def test_a_server_of_its_own_ends_as_without_us(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SERVER)
    cases = {state: Case(("python", "app.py", "{port}"), state=state) for state in (UP, BUSY, HANGING)}
    for served in run(cases, tmp_path).values():
        assert served.status == -15, served
        assert served.delay < LONGEST, served
        assert served.received == ([] if served.case.state == HANGING else sorted(served.answered.items())), served
        assert len(served.said) == (served.case.state == HANGING), served
        assert "Traceback" not in served.output, served

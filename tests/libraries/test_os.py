"""os under `otel-run`: the children of `spawn*` and `posix_spawn` are told of the current span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libraries.child_programs import program, told, traceparent
from process.children import both

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced

SPAWN = """
os.environ["TRACESTATE"] = "of=a-job"
python = LINE[0]
os.environ["PATH"] = os.path.dirname(python)
name = os.path.basename(python)
own = {"TRACEPARENT": "own", "PATH": os.environ["PATH"]}
os.spawnv(os.P_WAIT, python, LINE)
with tracer.start_as_current_span("first"):
    os.spawnv(os.P_WAIT, python, LINE)
    os.spawnl(os.P_WAIT, python, *LINE)
    os.spawnvp(os.P_WAIT, name, LINE)
    os.spawnlp(os.P_WAIT, name, *LINE)
    os.waitpid(os.spawnv(os.P_NOWAIT, python, LINE), 0)
    os.spawnve(os.P_WAIT, python, LINE, {})
    os.spawnle(os.P_WAIT, python, *LINE, {"TRACESTATE": "of=a-job"})
    os.spawnvpe(os.P_WAIT, name, LINE, os.environ)
    os.spawnlpe(os.P_WAIT, name, *LINE, own)
assert own == {"TRACEPARENT": "own", "PATH": os.environ["PATH"]} and "TRACEPARENT" not in os.environ
"""
POSIX_SPAWN = """
python = LINE[0]
os.environ["PATH"] = os.path.dirname(python)
def wait(pid):
    os.waitpid(pid, 0)
wait(os.posix_spawn(python, LINE, {}))
with tracer.start_as_current_span("first"):
    wait(os.posix_spawn(python, LINE, {}))
    wait(os.posix_spawn(python, LINE, os.environ, setsigmask=[]))
    wait(os.posix_spawn(python, LINE, os.environb))
    wait(os.posix_spawnp(os.path.basename(python), LINE, {b"BAGGAGE": b"own"}, file_actions=()))
    wait(os.posix_spawn(python, LINE, {"TRACEPARENT": "own"}))
    if sys.version_info >= (3, 13):
        wait(os.posix_spawn(python, LINE, None))
    else:
        wait(os.posix_spawn(python, LINE, os.environ))
"""


def test_the_children_of_spawn_are_told(traced: Traced) -> None:
    run = traced(program(SPAWN))
    parent = {"TRACEPARENT": traceparent(run, "first")}
    assert told(run) == [{"TRACESTATE": "of=a-job"}, *[parent] * 8, {"TRACEPARENT": "own"}]


def test_the_children_of_posix_spawn_are_told(traced: Traced) -> None:
    run = traced(program(POSIX_SPAWN))
    parent = {"TRACEPARENT": traceparent(run, "first")}
    assert told(run) == [{}, parent, parent, parent, {**parent, "BAGGAGE": "own"}, {"TRACEPARENT": "own"}, parent]


SAME = """
import os, sys
from opentelemetry import trace

CODE = '''
kept = [line for line in open("/proc/self/environ", "rb").read().split(bytes(1))
        if line.partition(b"=")[0] not in (b"TRACEPARENT", b"PYTHONPATH", b"OTEL_RUN_SAID")]
print(kept, flush=True)
'''
LINE = [sys.executable, "-S", "-c", CODE]
os.putenv("ONLY_IN_C", "1")
os.environb[b"BYTES"] = b"\\xff"

def told(function, *args, **options):
    try:
        print(function(*args, **options), flush=True)
    except Exception as error:
        print(type(error), error, error.__context__, flush=True)

with trace.get_tracer("app").start_as_current_span("first"):
    told(os.spawnv, os.P_WAIT, LINE[0], LINE)
    told(os.spawnve, os.P_WAIT, LINE[0], LINE, {"B": "1", b"A": b"2"})
    told(os.spawnv, os.P_WAIT, "/no/such", LINE)
    told(os.spawnvp, os.P_WAIT, "no_such_program", LINE)
    told(os.spawnv, os.P_WAIT, LINE[0], "no list")
    told(os.spawnve, os.P_WAIT, LINE[0], LINE, 5)
    told(os.spawnve, os.P_WAIT, LINE[0], LINE, {"A": 1})
    told(os.spawnv, os.P_WAIT, LINE[0], [LINE[0], "-c", "import os; os.kill(os.getpid(), 15)"])
    pid = os.posix_spawn(LINE[0], LINE, {"B": "1", b"A": b"2"}); told(lambda: os.waitpid(pid, 0)[1])
    told(os.posix_spawn, LINE[0], LINE, 5)
    told(os.posix_spawn, LINE[0], LINE, {"A": 1})
    told(os.posix_spawn, LINE[0], LINE, {"A=B": "1"})
    told(os.posix_spawn, LINE[0], LINE)
    told(os.posix_spawn, LINE[0], LINE, {}, no_such_option=1)
    told(os.posix_spawn, "/no/such", LINE, {})
"""


def test_a_child_has_all_that_it_would_have_and_errors_are_those_of_a_bare_python(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SAME)
    bare, traced = both(["app.py"], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    assert traced == bare
    assert bare[1].count("ONLY_IN_C") == 1


def test_posix_spawn_is_pickled_as_without_us(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, pickle, posix\n"
        "from opentelemetry import trace\n"
        "for function in os.posix_spawn, os.posix_spawnp:\n"
        "    print(pickle.dumps(function, 0), pickle.loads(pickle.dumps(function)) is function)\n"
    )
    bare, traced = both(["app.py"], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    assert traced == bare
    assert bare[1].count("True") == 2

"""subprocess under `otel-run`: a child's environment tells it of the current span, and else is what it would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.child_programs import program, told, traceparent
from process.children import both

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced

WAYS = {
    "run": "subprocess.run(LINE, check=True)",
    "check_output": "print(subprocess.check_output(LINE, text=True), end='', flush=True)",
    "a shell": "subprocess.run('\"$0\" -S -c \"$CODE\"'.replace('$0', sys.executable), shell=True, env={'CODE': CODE})",
    "os.popen": "os.environ['CODE'] = CODE; print(os.popen(f'{sys.executable} -S -c \"$CODE\"').read(), end='')",
    "posix_spawn": "subprocess.run(LINE, close_fds=False)",
    "preexec_fn": "subprocess.run(LINE, preexec_fn=os.getpid, start_new_session=True)",
    "a thread": "import threading; threading.Thread(target=subprocess.run, args=[LINE]).start()",
    "asyncio": """
import asyncio
async def main():
    await (await asyncio.create_subprocess_exec(*LINE)).wait()
    task = asyncio.create_task(asyncio.create_subprocess_shell(f"{sys.executable} -S -c '{CODE}'"))
    await (await task).wait()
asyncio.run(main())
""",
    "spawn": "import multiprocessing as m; m.get_context('spawn').Process(target=exec, args=[CODE]).start()",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_child_is_told_of_the_span_that_is_current_when_it_is_started(way: str, traced: Traced) -> None:
    started = WAYS[way].strip().replace("\n", "\n        ")
    run = traced(
        program(f"""
if __name__ == "__main__":
    with tracer.start_as_current_span("first"):
        {started}
    assert "TRACEPARENT" not in os.environ and b"TRACEPARENT" not in __import__("posix").environ
""")
    )
    expected = {"TRACEPARENT": traceparent(run, "first")}
    assert told(run) == [expected] * (2 if way == "asyncio" else 1)


def test_gevents_and_eventlets_children_are_told_too(traced: Traced) -> None:
    body = """
import {module}.subprocess as cooperative
with tracer.start_as_current_span("first"):
    cooperative.Popen(LINE).wait()
    cooperative.Popen(LINE, env={{**os.environ, "TRACEPARENT": "own"}}).wait()
    cooperative.check_call(LINE, env={{}})
cooperative.Popen(LINE).wait()
"""
    for module in ("gevent", "eventlet.green"):
        # With them, eventlet imports much that is installed, under its own sockets, and not all of that can bear it.
        run = traced(program(body.format(module=module)), warnings="ignore", env={"EVENTLET_NO_GREENDNS": "yes"})
        expected = {"TRACEPARENT": traceparent(run, "first")}
        assert told(run, run.stderr) == [expected, {"TRACEPARENT": "own"}, expected, {}]


ENVIRONMENTS = """
os.environ.update(TRACEPARENT="of a job", TRACESTATE="of=a-job", BAGGAGE="a=job")
inherited = dict(os.environ)
subprocess.run(LINE)
with tracer.start_as_current_span("first"):
    subprocess.run(LINE)
    subprocess.run(LINE, env=os.environ)
    subprocess.run(LINE, env=inherited)
    subprocess.run(LINE, env={})
    subprocess.run(LINE, env={**inherited, "TRACEPARENT": "own", "BAGGAGE": "own"})
    subprocess.run(LINE, env={"BAGGAGE": "own"})
    subprocess.run(LINE, env={b"TRACEPARENT": b"own"})
    subprocess.run(LINE, env={b"PATH": b"/bin", "TRACESTATE": "own"})
    subprocess.run(LINE, env={"TRACEPARENT": ""})
    with tracer.start_as_current_span("second"):
        context.attach(baggage.set_baggage("order", "n 1"))
        subprocess.run(LINE)
assert inherited == {**os.environ}
"""


def test_what_the_program_says_wins_over_the_span_and_the_span_over_what_is_inherited(traced: Traced) -> None:
    run = traced(program(ENVIRONMENTS))
    parent = {"TRACEPARENT": traceparent(run, "first")}
    own, job = {"TRACEPARENT": "own"}, {"TRACEPARENT": "of a job", "TRACESTATE": "of=a-job", "BAGGAGE": "a=job"}
    assert told(run) == [
        job,
        parent,
        parent,
        parent,
        parent,
        {**job, **own, "BAGGAGE": "own"},
        {**parent, "BAGGAGE": "own"},
        own,
        parent,
        {"TRACEPARENT": ""},
        {"TRACEPARENT": traceparent(run, "second"), "BAGGAGE": "order=n+1"},
    ]


ONE = """
with tracer.start_as_current_span("first"):
    context.attach(baggage.set_baggage("order", "n 1"))
    subprocess.run(LINE)
"""
SETTINGS = [
    ({"OTEL_RUN_CHILD_CONTEXT": "false"}, []),
    ({"OTEL_PROPAGATORS": "none"}, []),
    ({"OTEL_PROPAGATORS": "b3"}, ["TRACEPARENT"]),
    ({"OTEL_PROPAGATORS": "tracecontext"}, ["TRACEPARENT"]),
    ({"OTEL_PROPAGATORS": "baggage"}, ["TRACEPARENT", "BAGGAGE"]),
    ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "os,subprocess"}, []),
]


@pytest.mark.parametrize(("settings", "names"), SETTINGS)
def test_the_settings_decide_what_a_child_is_told(settings: dict[str, str], names: list[str], traced: Traced) -> None:
    (there,) = told(traced(program(ONE), env=settings))
    assert list(there) == names


def test_an_unsampled_span_is_told_of_as_unsampled(traced: Traced) -> None:
    run = traced(program(ONE), env={"OTEL_TRACES_SAMPLER": "always_off"})
    (there,) = told(run)
    assert run.spans == []
    assert there["TRACEPARENT"].endswith("-02")


# All that a child has: environment in order and in bytes, argv, open files; and what the audit hooks are told.
SAME = """
import ctypes, os, subprocess, sys
from opentelemetry import trace

audited = []
def hook(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn"):
        audited.append((event, str(arguments[:2])))
sys.addaudithook(hook)
CODE = '''
import os, sys
kept = [line for line in open("/proc/self/environ", "rb").read().split(bytes(1))
        if line.partition(b"=")[0] not in (b"TRACEPARENT", b"PYTHONPATH", b"OTEL_RUN_SAID")]
print(kept, sys.argv, sorted(os.listdir("/proc/self/fd")), flush=True)
'''
os.environb[b"BYTES"] = b"\\xff\\xfe"
os.environ["EMPTY"] = ""
del os.environ["EMPTY"]
ctypes.CDLL(None).setenv(b"ONLY_IN_C", b"1", 1)
os.putenv("AN_EQUALS", "a=b=c")
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
name = os.path.basename(sys.executable)

def told(*args, **options):
    try:
        print(subprocess.run(*args, **options).returncode, flush=True)
    except Exception as error:
        print(type(error), error, error.__context__, getattr(error, "filename", None), flush=True)

with trace.get_tracer("app").start_as_current_span("first"):
    told([name, "-S", "-c", CODE, "argument"])
    told([sys.executable, "-S", "-c", CODE], close_fds=False)
    told([name, "-S", "-c", CODE], env={"PATH": os.environ["PATH"], b"KEY": os.environb[b"BYTES"], "LAST": "1"})
    told(["no_such_program"])
    told(["no_such_program"], env={"PATH": "/no/such"})
    told([name], env={"A=B": "1"})
    told([name], env={"A": 1})
    told([name], env={"A": "nul" + chr(0)})
    told([name], env=5)
    told([name], cwd="/no/such")
    told([sys.executable, "-c", "exit(3)"], env=dict.fromkeys(("B", "A"), "1"))
print([pair for pair in audited if "executable" not in pair], [name for name in os.environ if "TRACE" in name])
"""


def test_a_child_has_all_that_it_would_have_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SAME)
    bare, traced = both(["app.py"], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    assert traced == bare
    assert "ONLY_IN_C" in bare[1]
    assert bare[2] == ""


def test_a_child_whose_arguments_just_fit_is_started_as_ever(traced: Traced) -> None:
    run = traced(
        program(
            """
            def fits(size):
                long, rest = divmod(size, 100_000)
                try:
                    subprocess.run(["/bin/true", *["x" * 100_000] * long, "x" * rest], env={"A": "B"}, check=True)
                except OSError:
                    return False
                return True

            most, too_much = 0, 16 * 2**20
            while too_much - most > 1:
                size = (most + too_much) // 2
                most, too_much = (size, too_much) if fits(size) else (most, size)
            with tracer.start_as_current_span("first"):
                print(most > 100_000, fits(most), fits(too_much))
            """
        )
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "True True False\n", "")

"""In whichever way a program is run, watched and ended, what is told of its end is what its parent sees."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from jobs.told import BY_HAND, run, told, watched, write

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced


def test_a_program_on_the_command_line(tmp_path: Path) -> None:
    write(tmp_path, "")
    for code, status in {"import watched": 0, "import watched, sys; sys.exit(3)": 3}.items():
        returncode, ending, stderr = run(tmp_path, "", ["-c", code])
        assert (returncode, ending) == (status, [status, str(status) if status else None, None]), stderr


def test_a_program_from_standard_input(tmp_path: Path) -> None:
    returncode, ending, stderr = run(tmp_path, "", ["-"], stdin="import watched, sys\nsys.exit(3)\n")
    assert (returncode, ending) == (3, [3, "3", None]), stderr


@pytest.mark.parametrize("typed", ["sys.exit(3)", "exit(3)"])
def test_a_shell_that_is_told_to_exit(typed: str, tmp_path: Path) -> None:
    returncode, ending, stderr = run(tmp_path, "", ["-i", "-"], stdin=f"import watched, sys\n1 / 0\n{typed}\n")
    assert (returncode, ending) == (3, [3, "3", None]), stderr


def test_a_script_whose_exit_leads_into_a_shell(tmp_path: Path) -> None:
    returncode, ending, stderr = run(tmp_path, "sys.exit(3)", ["-i", "app.py"], stdin="print('typed')\n")
    assert (returncode, ending) == (0, [None, None, None]), stderr


@pytest.mark.parametrize(
    ("handler", "number", "expected"),
    [
        ("", signal.SIGINT, (-2, [130, "SIGINT", None])),
        ("", signal.SIGTERM, (-15, [143, "SIGTERM", None])),
        ("signal.signal(signal.SIGINT, lambda *_: sys.exit(8))", signal.SIGINT, (8, [8, "8", None])),
        ("signal.signal(signal.SIGINT, lambda *_: None)", signal.SIGINT, (0, [0, None, None])),
    ],
)
def test_a_signal_from_another_process(handler: str, number: int, expected: object, tmp_path: Path) -> None:
    write(tmp_path, f"import signal, time\n{handler}\nprint('ready', flush=True)\ntime.sleep(0.5)")
    child = subprocess.Popen(
        [sys.executable, "app.py"], cwd=tmp_path, env=watched(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.1)
    child.send_signal(number)
    stderr = child.communicate(timeout=20)[1]
    assert (child.returncode, told(tmp_path)) == expected, stderr


@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("pass", [0, None, None]),
        ("sys.exit(3)", [3, "3", None]),
        ("raise SystemExit(4)", [4, "4", None]),
        ("1 / 0", [1, "1", None]),
        ("os._exit(7)", [7, "7", None]),
    ],
)
def test_a_child_of_multiprocessing(how: str, ends: str, expected: list[Any], tmp_path: Path) -> None:
    source = f"""
        import multiprocessing, os
        def work():
            os.environ["ENDING"] = "child.json"
            {ends}
        if __name__ == "__main__":
            child = multiprocessing.get_context({how!r}).Process(target=work)
            child.start()
            child.join()
            sys.exit(child.exitcode)
    """
    returncode, ending, stderr = run(tmp_path, source, ["app.py"])
    assert (returncode, ending) == (expected[0], expected), stderr
    assert json.loads((tmp_path / "child.json").read_text()) == expected, stderr


@pytest.mark.parametrize("status", [0, 5])
def test_a_forked_child_that_runs_to_the_end(status: int, tmp_path: Path) -> None:
    source = f"""
        import os
        if child := os.fork():
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) + 1)
        os.environ["ENDING"] = "child.json"
        if {status}:
            sys.exit({status})
    """
    returncode, ending, stderr = run(tmp_path, source, ["app.py"])
    assert (returncode, ending) == (status + 1, [status + 1, str(status + 1), None]), stderr
    assert json.loads((tmp_path / "child.json").read_text()) == [status, str(status) if status else None, None]


def test_a_program_that_hides_its_main_module(tmp_path: Path) -> None:
    """As debuggers and coverage do."""
    source = "import types\nsys.modules['__main__'] = types.ModuleType('__main__')\nsys.exit(3)"
    returncode, ending, stderr = run(tmp_path, source, ["app.py"])
    assert (returncode, ending) == (3, [3, "3", None]), stderr


@pytest.mark.parametrize("how", ["script", "module", "code", "standard input"])
@pytest.mark.parametrize("imports", ["import this", ""])
@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("", (0, [0, None, None])),
        ("exit(3)", (3, [3, "3", None])),
        ("1 / 0", (1, [1, "ZeroDivisionError", "division by zero"])),
        ("raise SystemExit(4)", (4, [4, "4", None])),
    ],
)
def test_watched_since_before_the_program(
    how: str, imports: str, ends: str, expected: tuple[int, list[Any]], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import watched\n")
    source = f"{imports}\n{ends}\n"
    write(tmp_path, "")
    (tmp_path / "app.py").write_text(source)
    ways = {"script": ["app.py"], "module": ["-m", "app"], "code": ["-c", source], "standard input": ["-"]}
    env = watched()
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{env['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, *ways[how]],
        cwd=tmp_path,
        env=env,
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    if ends.startswith("raise") and not BY_HAND:
        expected = expected[0], [None, None, None]
    assert (done.returncode, told(tmp_path)) == expected, done.stderr


def test_watched_from_a_thread(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import threading, sys\nthread = threading.Thread(target=__import__, args=('watched',))\n"
        "thread.start()\nthread.join()\n"
    )
    done = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, env=watched(), check=False)
    assert (done.returncode, told(tmp_path)) == (0, [0, None, None])


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("returns", (0, [0, None, None])),
        ("exit", (3, [3, "3", None])),
        # It goes on in the main greenlet, as another.
        ("gevent", (3, [3, "3", None] if BY_HAND else [None, None, None])),
    ],
)
def test_watched_from_a_greenlet(argument: str, expected: object, tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    (tmp_path / "app.py").write_text(
        """if True:
        import sys
        def work():
            import watched
            if sys.argv[1] != "returns":
                sys.exit(3)
        if sys.argv[1] == "gevent":
            from gevent import monkey, spawn
            monkey.patch_all()
            spawn(work).join()
        else:
            import greenlet
            greenlet.greenlet(work).switch()
        """
    )
    done = subprocess.run([sys.executable, "-Wignore", "app.py", argument], cwd=tmp_path, env=watched(), check=False)
    assert (done.returncode, told(tmp_path)) == expected


SPANS = {
    "returns": ("pass", {"process.exit.code": 0}),
    "exits": ("sys.exit(3)", {"process.exit.code": 3, "error.type": "3"}),
    "fails": ("1 / 0", {"process.exit.code": 1, "error.type": "ZeroDivisionError"}),
    "is stopped": (
        "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
        {"process.exit.code": 143, "error.type": "SIGTERM"},
    ),
    "leaves": ("import os; os._exit(7)", {"process.exit.code": 7, "error.type": "7"}),
    "has a child that ends otherwise": (
        "import os\nif os.fork() == 0: sys.exit(4)\nos.wait()",
        {"process.exit.code": 0},
    ),
}


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_the_span_of_the_process_tells_it(mode: str, traced: Traced) -> None:
    for source, expected in SPANS.values():
        call = "from opentelemetry import trace\ntrace.get_tracer('t').start_span('call').end()\n"
        run = traced(f"import sys\n{call if mode == 'auto' else ''}{source}\n", env={"OTEL_RUN_PROCESS_SPAN": mode})
        span = run.span("app")
        ours = ("process.exit.code", "error.type")
        assert {name: span.attributes[name] for name in ours if name in span.attributes} == expected, run
        assert len([event for event in span.events if event[0] == "exception"]) == ("/" in source), run
        assert {"process.pid", "process.executable.name"} <= set(span.attributes)

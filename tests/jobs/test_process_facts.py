"""What a process is called and when it began, and that it sees nothing of being watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from jobs.told import watched

if TYPE_CHECKING:
    from pathlib import Path

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the start")
TICK = 0.02  # seconds: twice what the system counts in

FACTS = """
import watched, json, time
from otel_run.startup import process_facts
def show(**more):
    facts = {"name": process_facts.name(), "started": process_facts.started_at() / 1e9, "now": time.time()}
    print(json.dumps({**facts, "attributes": process_facts.attributes(watched.found), **more}), flush=True)
"""


def _run(
    folder: Path, source: str, command: list[str] | None = None, stdin: str = "", **env: str
) -> list[dict[str, object]]:
    (folder / "app.py").write_text(FACTS + source)
    done = subprocess.run(
        command or [sys.executable, "app.py"],
        cwd=folder,
        env={**watched(), **env},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@ON_LINUX
def test_it_began_before_the_interpreter_was_there(tmp_path: Path) -> None:
    before = time.time()
    shell = ["sh", "-c", f"sleep 0.3; echo began >&2; exec {sys.executable} app.py"]
    (found,) = _run(tmp_path, "show()", shell)
    started = float(str(found["started"]))
    assert before - TICK <= started <= float(str(found["now"])) - 0.3


@ON_LINUX
def test_a_name_that_looks_like_more_than_one_field(tmp_path: Path) -> None:
    named = "open('/proc/self/comm', 'w').write('a) S 1 (b 2')\n"
    plain, odd = _run(tmp_path, f"show()\n{named}show()")
    assert abs(float(str(odd["started"])) - float(str(plain["started"]))) < TICK


@ON_LINUX
def test_what_the_process_was_long_before_is_not_the_programs(tmp_path: Path) -> None:
    before = time.time()
    shell = ["sh", "-c", f"sleep 0.3; exec {sys.executable} app.py"]
    (found,) = _run(tmp_path, "process_facts._LONGEST_START = 200_000_000\nshow()", shell)
    assert before + 0.3 <= float(str(found["started"])) <= float(str(found["now"]))


def test_a_start_that_cannot_be_is_the_agents(tmp_path: Path) -> None:
    source = """
import os
# A clock that was set, or a namespace that counts from elsewhere.
process_facts.time = type("", (), {"CLOCK_BOOTTIME": 7, "clock_gettime_ns": lambda _: 0, "time_ns": time.time_ns})
show(agent=process_facts._noticed / 1e9)
"""
    (found,) = _run(tmp_path, source)
    assert found["started"] == found["agent"]


@ON_LINUX
def test_a_forked_child_began_with_the_fork(tmp_path: Path) -> None:
    source = """
import os
time.sleep(0.1)
before = time.time()
if os.fork() == 0:
    show(before=before)
    os._exit(0)
os.wait()
show(before=before)
"""
    child, parent = _run(tmp_path, source)
    before = float(str(child["before"]))
    assert before - TICK <= float(str(child["started"])) <= float(str(child["now"]))
    assert float(str(parent["started"])) < before
    assert child["attributes"] != parent["attributes"]  # by their process ids


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["app.py", "a"], "app"),
        (["-m", "app"], "app"),
        (["-m", "package"], "package"),
        (["-c", "from app import show; show()"], "python -c"),
        (["-"], "python"),
        (["./nightly job.py"], "nightly job"),
    ],
)
def test_it_is_called_as_a_person_calls_it(arguments: list[str], expected: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    for place in ("package/__main__.py", "nightly job.py"):
        (tmp_path / place).write_text("import app\n")
    source = "import sys\nshow()"
    (found,) = (
        _run(tmp_path, source, [sys.executable, *arguments], stdin="import app\n")
        if (expected != "python -c")
        else _run(tmp_path, "", [sys.executable, *arguments])
    )
    assert found["name"] == expected


def test_its_arguments_are_told_only_if_asked_for(tmp_path: Path) -> None:
    command = [sys.executable, "app.py", "--password", "secret"]
    (found,) = _run(tmp_path, "show(pid=__import__('os').getpid())", command)
    plain = {"process.executable.name": os.path.basename(sys.executable), "process.pid": found["pid"]}
    assert found["attributes"] == plain
    (found,) = _run(tmp_path, "show(pid=__import__('os').getpid())", command, OTEL_RUN_PROCESS_ARGUMENTS="true")
    assert found["attributes"] == {**plain, "process.pid": found["pid"], "process.command_args": command}


LOOK = """
import copy, inspect, pickle, site, sys, traceback
print(sys.exit.__name__, sys.exit.__qualname__, sys.exit.__module__, sys.exit.__doc__, inspect.signature(sys.exit))
print(pickle.loads(pickle.dumps(sys.exit)) is sys.exit, pickle.dumps(sys.exit), repr(exit), repr(quit))
for call in (lambda: sys.exit(3), lambda: sys.exit((1, 2)), lambda: sys.exit(1, 2), lambda: sys.exit(status=3)):
    try:
        call()
    except BaseException as error:
        print(repr(error), error.args, getattr(error, "code", None), error.__context__, error.__cause__)
        if sys.version_info >= (3, 11) and type(error) is SystemExit:
            traceback.print_exc()
        print(repr(copy.copy(error)), repr(pickle.loads(pickle.dumps(error))))
try:
    try:
        1 / 0
    finally:
        sys.exit("bye")
except SystemExit as error:
    print(repr(error.__context__))
wish = SystemExit(4)
try:
    sys.exit(wish)
except SystemExit as error:
    print(error is wish)
class Kept:
    def __del__(self):
        print("kept is gone", __name__)
kept = Kept()
import atexit
atexit.register(print, "last")
"""


@pytest.mark.parametrize("ends", ["", "sys.exit('text')", "1 / 0", "raise SystemExit('by hand')", "exit(3)"])
def test_the_program_sees_nothing_of_it(ends: str, tmp_path: Path) -> None:
    (tmp_path / "watching.py").write_text("import watched\n")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "watching.py").touch()
    (tmp_path / "app.py").write_text(f"import watching\n{LOOK}\n{ends}\n")
    found = [
        subprocess.run(
            [sys.executable, str(tmp_path / "app.py")],
            cwd=tmp_path,
            env={**watched(), "PYTHONPATH": f"{before}{os.pathsep}{watched()['PYTHONPATH']}", "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        for before in (tmp_path / "alone", tmp_path)
    ]
    assert (tmp_path / "ending.json").exists()
    bare, traced = [(done.returncode, done.stdout, done.stderr) for done in found]
    assert traced == bare

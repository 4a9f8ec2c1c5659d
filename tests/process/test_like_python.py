"""Under `otel-run` a program is what it is under `python`: nothing else in its world changes."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
import zipapp
from pathlib import Path

import pytest

from process.children import OTEL_RUN, STARTUP_FOLDER, both, environment, run
from servers.program import Traced

# Everything that a program can see of how it was started.
LOOK = """
import os, sys
print(sys.argv, sys.orig_argv[1:], __name__, __file__ if "__file__" in globals() else None)
print(__package__, getattr(__spec__, "name", None), type(__loader__).__name__)
print(sys.path, os.getcwd(), sys.flags, sys.executable, sys.warnoptions, sys.gettrace(), sys.excepthook)
print(sorted(vars()), os.getppid(), sys.stdin.read() if "read" in sys.argv else "")
import signal
print([signal.getsignal(number) for number in sorted(signal.valid_signals())])
import site, warnings, threading
print(warnings.filters, [t.name for t in threading.enumerate()], site.ENABLE_USER_SITE)
try:
    import sitecustomize
except ImportError as error:
    print(error.name, error)
print("to stderr", file=sys.stderr)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "look.py").write_text(LOOK)
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(LOOK)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "__main__.py").write_text(LOOK)
    zipapp.create_archive(folder, tmp_path / "app.pyz")
    (tmp_path / "raises.py").write_text("def f():\n    return 1 / 0\n\nprint('before')\nf()\n")
    (tmp_path / "broken.py").write_text("print('never'\n")
    (tmp_path / "wrong_import.py").write_text("import no_such_module\n")
    return tmp_path


WAYS = {
    "script": ["look.py", "a", "--b=c", ""],
    "script with options": ["-W", "error", "-X", "utf8", "-B", "look.py"],
    "module": ["-m", "look", "a"],
    "package": ["-m", "pkg", "a"],
    "code": ["-c", LOOK, "a"],
    "folder": ["folder", "a"],
    "zip": ["app.pyz", "a"],
    "standard input": ["-", "a"],
    "script that reads standard input": ["look.py", "read"],
    "safe path": ["-P", "look.py"],
    "isolated": ["-I", "look.py"],
    "environment ignored": ["-E", "look.py"],
    "optimized": ["-O", "look.py"],
    "verbose warnings": ["-Wdefault", "-b", "look.py"],
    "uncaught error": ["raises.py"],
    "syntax error": ["broken.py"],
    "import error": ["wrong_import.py"],
    "no such file": ["missing.py"],
    "no such module": ["-m", "missing"],
    "no such option": ["--nonsense"],
    "exit by number": ["-c", "import sys; sys.exit(3)"],
    "exit by text": ["-c", "import sys; sys.exit('a text')"],
    "exit by os._exit": ["-c", "import os; os._exit(7)"],
    "killed": ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"],
    "aborted": ["-c", "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"],
    "closed stdout": ["-c", "import sys; sys.stdout.close(); sys.stdout = None"],
    "version": ["--version"],
}


@pytest.mark.parametrize("way", WAYS)
def test_same_output_status_and_world(way: str, project: Path) -> None:
    if way == "safe path" and sys.version_info < (3, 11):
        pytest.skip("-P is new in Python 3.11")
    bare, traced = both(WAYS[way], project, stdin=LOOK if way == "standard input" else "some input")
    assert traced == bare
    assert "otel" not in traced[2]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "aborted"])
def test_same_output_status_and_world_with_a_span_for_the_process(way: str, project: Path) -> None:
    if way == "safe path" and sys.version_info < (3, 11):
        pytest.skip("-P is new in Python 3.11")
    stdin = LOOK if way == "standard input" else "some input"
    bare, traced = both(WAYS[way], project, stdin, OTEL_RUN_PROCESS_SPAN="on", OTEL_TRACES_EXPORTER="none")
    assert traced == bare


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONPATH": "here::there:"},
        {"PYTHONPATH": ""},
        {"PYTHONUTF8": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        {"LC_ALL": "C"},
        {"LANG": "C", "LC_ALL": ""},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONSAFEPATH": "1"},
        {"PYTHONNOUSERSITE": "1"},
        {"PYTHONDEVMODE": "1"},
    ],
    ids=str,
)
def test_same_world_whatever_the_environment(variables: dict[str, str], project: Path) -> None:
    bare, traced = both(["look.py"], project, **variables)
    assert traced == bare


def test_same_environment_but_for_ours(tmp_path: Path) -> None:
    code = "import os; print({k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', '_')})"
    for variables in ({}, {"LC_ALL": "C"}, {"OTEL_SERVICE_NAME": "x"}):
        bare, traced = both(["-c", code], tmp_path, **variables)
        assert traced == bare


def test_without_site_there_is_no_agent_and_only_sys_path_tells(project: Path) -> None:
    """-S skips sitecustomize: documented in the README; our folder then stays on `sys.path`, which -S keeps."""
    code = "import sys; print([m for m in sys.modules if 'otel' in m], [p for p in sys.path if p != sys.argv[1]])"
    bare, traced = both(["-S", "-c", code, STARTUP_FOLDER], project)
    assert traced == bare


def test_ctrl_c_ends_it_as_it_ends_python(tmp_path: Path) -> None:
    code = "import time; print('ready', flush=True); time.sleep(30)"
    endings = []
    for launcher in ([], OTEL_RUN):
        child = subprocess.Popen(
            [*launcher, sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.3)  # from the print into the sleep: the traceback tells which of them was interrupted
        child.send_signal(signal.SIGINT)
        endings.append((*child.communicate(timeout=20), child.returncode))
    assert endings[1] == endings[0]


def test_same_exception_from_a_library_that_cannot_be_imported(tmp_path: Path) -> None:
    # A library of that name is waited for, so our finder is in the import's way.
    (tmp_path / "redis.py").write_text(
        "import json\ndef load():\n    raise ImportError('built for another machine')\nload()\n"
    )
    (tmp_path / "httpx.py").write_text("1 / 0\n")
    (tmp_path / "requests.py").write_text("def f(:\n")
    for library in ("redis", "httpx", "requests"):
        (tmp_path / "app.py").write_text(f"import {library}\n")
        bare, traced = both(["app.py"], tmp_path)
        assert traced == bare
        assert bare[0] == 1


def test_same_versions_of_every_library(tmp_path: Path) -> None:
    code = "import requests, httpx, redis; print([m.__file__ for m in (requests, httpx, redis)])"
    bare, traced = both(["-c", code], tmp_path)
    assert traced == bare


def test_child_processes_are_like_pythons_too(project: Path) -> None:
    (project / "look.py").write_text(LOOK.replace("os.getppid()", "None"))
    code = """
import subprocess, sys
for arguments in (["look.py", "a"], ["-m", "look"], ["-I", "look.py"], ["-c", "import sys; sys.exit(4)"]):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, input="")
    print(done.returncode, done.stdout, done.stderr)
"""
    bare, traced = both(["-c", code], project)
    assert traced == bare


STEPS = Path(__file__).with_name("programs") / "steps.py"
PARTS = [
    "data", "generators", "coroutines", "recursion", "threads", "warns", "forks", "reloaded", "handled", "hook",
    "globals_at_the_end", "uncaught", "uncaught_in_handler", "uncaught_without_context", "uncaught_in_generator",
    "uncaught_in_task", "uncaught_stop", "uncaught_raised_again", "exits", "exits_by_text", "interrupted",
    *(["uncaught_group", "uncaught_with_notes"] if sys.version_info >= (3, 11) else []),
]  # fmt: skip
# All functions of the program, those too that a `*` does not mean.
TRACED = "steps.*,steps:Order.__*,steps:Kept.__*"
ADDRESS = re.compile(r"0x[0-9a-f]+")
# What Python 3.10 shows of ours: an entry at the line where the function begins.
ENTRY_OF_310 = re.compile(r'  File "[^"]*steps\.py", line \d+, in \w+\n    (?:@|(?:async )?def ).*\n')


@pytest.mark.parametrize("process_span", ["off", "on"])
@pytest.mark.parametrize("part", PARTS)
def test_same_output_status_and_tracebacks_with_all_functions_traced(
    part: str, process_span: str, tmp_path: Path
) -> None:
    shutil.copy(STEPS, tmp_path)
    (tmp_path / "app.py").write_text("import sys\nimport steps\nsteps.main(sys.argv[1])\n")
    # The script itself can be traced from 3.12 on.
    for program in ("app.py", *(["steps.py"] if sys.version_info >= (3, 12) else [])):
        outcomes = []
        for launcher in ([], OTEL_RUN):
            env = environment(
                OTEL_TRACES_EXPORTER="none",
                OTEL_RUN_PROCESS_SPAN=process_span,
                OTEL_RUN_TRACE=TRACED,
                # Others', which wrap coroutines and threads in functions of their own.
                OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="asyncio,threading,logging",
            )
            done = run([*launcher, sys.executable, program, part], tmp_path, env=env)
            written = sorted((path.name, path.read_text()) for path in tmp_path.glob("*.txt"))
            outcomes.append(
                (done.returncode, *(ADDRESS.sub("0x", text) for text in (done.stdout, done.stderr)), written)
            )
            for path in tmp_path.glob("*.txt"):
                path.unlink()
        bare, traced = outcomes
        if sys.version_info < (3, 11):
            traced = (traced[0], *(ENTRY_OF_310.sub("", text) for text in traced[1:3]), traced[3])
        assert traced == bare


def test_the_functions_of_that_program_are_traced_indeed(traced: Traced) -> None:
    shutil.copy(STEPS, traced.folder)
    env = {"OTEL_RUN_TRACE": TRACED, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "asyncio,threading,logging"}
    run = traced("import steps\nsteps.main('data')\nsteps.main('generators')\n", env=env)
    names = {span.name for span in run.spans}
    assert {"ratio", "Order.parse", "Order.__post_init__", "decorated", "squared", "block", "counts", "order"} <= names

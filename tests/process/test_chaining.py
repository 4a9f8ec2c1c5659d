"""Somebody's sitecustomize, hidden by ours, runs exactly once and as it would have run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import otel_run
from process.children import OTEL_RUN, STARTUP_FOLDER, both, environment, interpreters, run

ANNOUNCE = "import sys\nprint('hidden', __name__, __file__, __spec__.name, sorted(sys.modules) == 0)\nvalue = 42\n"


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ANNOUNCE)
    return folder


def test_theirs_runs_once_and_is_the_sitecustomize_of_the_program(hidden: Path, tmp_path: Path) -> None:
    code = "import sitecustomize; print(sitecustomize.value, sitecustomize.__file__)"
    bare, traced = both(["-c", code], tmp_path, PYTHONPATH=str(hidden))
    assert traced == bare
    assert bare[1].count("hidden") == 1


def test_the_agent_starts_behind_it(hidden: Path, tmp_path: Path) -> None:
    code = "import sys; print([name for name in sys.modules if name == 'otel_run.startup'])"
    done = run([*OTEL_RUN, sys.executable, "-c", code], tmp_path, env=environment(PYTHONPATH=str(hidden)))
    assert done.stdout.splitlines()[1:] == ["['otel_run.startup']"]


@pytest.mark.parametrize(
    "source",
    [
        "raise KeyError('theirs')",
        "import no_such_module",
        "raise ImportError('elsewhere', name='sitecustomize')",
        "def f(:",
        "import sys; sys.exit(5)",
        "import sys; sys.path.insert(0, '/first'); sys.path.append('/last')",
    ],
)
def test_what_theirs_does_has_the_same_effect(source: str, hidden: Path, tmp_path: Path) -> None:
    (hidden / "sitecustomize.py").write_text(source + "\n")
    # Without the launcher, which is a Python of its own and so runs theirs as well.
    results = []
    for path in (str(hidden), os.pathsep.join([STARTUP_FOLDER, str(hidden)])):
        done = run([sys.executable, "-c", "import sys; print(sys.path)"], tmp_path, env=environment(PYTHONPATH=path))
        # SystemExit is fatal here, with a traceback in which our frames stand too.
        message = done.stderr.splitlines()[-1:] if "Fatal" in done.stderr else done.stderr
        results.append((done.returncode, done.stdout, message))
    assert results[1] == results[0]


def test_a_package_runs_too_and_a_mere_folder_does_not(tmp_path: Path) -> None:
    for name, content in (("package", {"sitecustomize/__init__.py": ANNOUNCE}), ("folder", {"sitecustomize/x.py": ""})):
        for path, text in content.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True)
            file.write_text(text)
        bare, traced = both(["-c", "print('program')"], tmp_path, PYTHONPATH=str(tmp_path / name))
        assert traced == bare
        assert ("hidden" in bare[1]) == (name == "package")


def test_only_the_first_of_two_hidden_ones_runs(hidden: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("print('never')\n")
    bare, traced = both(["-c", "pass"], tmp_path, PYTHONPATH=f"{hidden}{os.pathsep}{other}")
    assert traced == bare


def test_two_of_our_folders_run_theirs_once(hidden: Path, tmp_path: Path) -> None:
    root = Path(otel_run.__file__).parents[1]
    shutil.copytree(STARTUP_FOLDER, tmp_path / "copy" / "sitecustomize")
    shutil.copytree(root / "otel_run", tmp_path / "copy" / "agent" / "otel_run")
    path = os.pathsep.join([str(tmp_path / "copy" / "sitecustomize"), str(hidden)])
    done = run([*OTEL_RUN, sys.executable, "-c", "pass"], tmp_path, env=environment(PYTHONPATH=path))
    assert done.stdout.count("hidden") == 1
    assert done.stderr == ""


def test_the_one_in_the_standard_library_runs(tmp_path: Path) -> None:
    """Debian ships a sitecustomize in the folder of the standard library; any python3 will do to look."""
    debian = Path("/usr/bin/python3")
    found = debian.exists() and subprocess.run(
        [debian, "-c", "import sitecustomize; print(sitecustomize.__file__)"],
        capture_output=True, text=True, check=False, env=environment(), cwd=tmp_path,
    ).stdout.strip()  # fmt: skip
    if not found:
        pytest.skip("no Debian Python with a sitecustomize of its own on this machine")
    code = "import sitecustomize; print(sitecustomize.__file__)"
    done = run([*OTEL_RUN, str(debian), "-c", code], tmp_path)
    assert (done.stdout.strip(), done.stderr) == (found, "")


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9"])
def test_an_old_python_runs_theirs_and_nothing_of_ours(version: str, hidden: Path, tmp_path: Path) -> None:
    python = interpreters().get(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    code = "import sys; print([name for name in sys.modules if 'otel' in name], sys.path)"
    bare, traced = both(["-c", code], tmp_path, python=python, PYTHONPATH=str(hidden))
    assert traced == bare
    assert bare[1].count("hidden") == 1


def test_a_stopped_agent_is_one_line_and_the_program_runs(tmp_path: Path) -> None:
    package = tmp_path / "otel_run"
    (package / "startup").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "startup" / "__init__.py").write_text("def start():\n    raise SystemExit(9)\n")
    env = environment(PYTHONPATH=os.pathsep.join([STARTUP_FOLDER, str(tmp_path)]))
    done = run([sys.executable, "-c", "print('program')"], tmp_path, env=env)
    assert (done.returncode, done.stdout) == (0, "program\n")
    assert done.stderr == "otel-run: not started: SystemExit: 9\n"

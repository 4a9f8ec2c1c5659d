"""Running one program twice: by bare Python, and under `otel-run`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from servers.program import clean_environment, launcher

OTEL_RUN = launcher()
STARTUP_FOLDER = subprocess.run(
    [*OTEL_RUN, "path"], capture_output=True, text=True, check=True, env=clean_environment()
).stdout.strip()


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what would tell the two runs apart, and `changes`.

    Without a span for the process, too, which would be one more for each test that counts them.
    """
    kept = {name: value for name, value in clean_environment().items() if not name.startswith("PYTHON")}
    return {**kept, "OTEL_RUN_PROCESS_SPAN": "off", **changes}


def run(
    argv: list[str], cwd: Path, stdin: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        argv,
        cwd=cwd,
        input=stdin,
        env=environment() if env is None else env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def both(
    arguments: list[str], cwd: Path, stdin: str = "", python: str = sys.executable, **env: str
) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """Return (status, stdout, stderr) of `python ARGUMENTS`, bare and under `otel-run` as it comes."""
    results = []
    env = {"OTEL_RUN_PROCESS_SPAN": "auto", **env}
    for before in ([], OTEL_RUN):
        done = run([*before, python, *arguments], cwd, stdin, environment(**env))
        results.append((done.returncode, done.stdout, done.stderr))
    return results[0], results[1]


def interpreters() -> dict[str, str]:
    """Return the Pythons on this machine, version -> real interpreter (a shim costs a fifth of a second)."""
    found = {}
    for minor in range(6, 16):
        version = f"3.{minor}"
        pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        python = str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")
        if python is not None and "shims" not in python:
            found[version] = python
    return found

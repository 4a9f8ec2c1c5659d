"""Running a program that has its ending written down, as its own exit handler is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from process.children import environment

HERE = Path(__file__).parent
BY_HAND = sys.version_info >= (3, 12)  # seen where sys.monitoring is


def run(folder: Path, source: str, arguments: list[str], stdin: str = "") -> tuple[int, list[Any] | None, str]:
    """Run it, being asked for its ending in its exit handler; return its status, the ending, and stderr."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=write(folder, source),
        env=watched(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, told(folder), done.stderr


def write(folder: Path, source: str) -> Path:
    (folder / "early.py").write_text("from sys import exit\n")
    (folder / "library.py").write_text("def stop(status):\n    raise SystemExit(status)\n")
    (folder / "stops.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "app.py").write_text("import early, watched, sys\n" + textwrap.dedent(source) + "\n")
    return folder


def watched() -> dict[str, str]:
    """Return the environment in which a program can import watched.py, and strictly."""
    path = os.pathsep.join(filter(None, [str(HERE / "programs"), environment().get("PYTHONPATH")]))
    return environment(PYTHONPATH=path, OTEL_RUN_STRICT="true")


def told(folder: Path) -> list[Any] | None:
    try:
        return json.loads((folder / "ending.json").read_text())
    except FileNotFoundError:
        return None

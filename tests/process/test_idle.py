"""Free until needed: before a supported library is imported, next to nothing is imported, and nothing starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from process.children import OTEL_RUN, STARTUP_FOLDER, both, environment, run

# Printed by the child itself, before `json` brings in modules of its own.
MODULES = """
import sys
loaded = sorted(sys.modules)
import json, os
os.write(1, json.dumps(loaded).encode())
"""
NEVER = {
    "logging", "threading", "ssl", "socket", "asyncio", "typing", "re", "importlib.metadata", "importlib_metadata",
    "opentelemetry", "collections", "functools", "contextlib", "inspect", "dataclasses", "subprocess",
}  # fmt: skip


def _added(tmp_path: Path, **variables: str) -> set[str]:
    bare, traced = both(["-c", MODULES], tmp_path, **variables)
    assert traced[2] == bare[2] == ""
    return set(json.loads(traced[1])) - set(json.loads(bare[1]))


def test_an_idle_program_loads_a_handful_of_light_modules(tmp_path: Path) -> None:
    added = _added(tmp_path)
    assert len(added) <= 14
    assert not {name for name in added if name.partition(".")[0] not in ("otel_run", "__future__", "atexit")}


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_RUN_ENABLED": "False"}])
def test_switched_off_nothing_is_imported(off: dict[str, str], tmp_path: Path) -> None:
    assert _added(tmp_path, **off) == set()


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "TRUE"}, {"OTEL_RUN_ENABLED": "false"}])
def test_switched_off_nothing_is_patched_or_started(off: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import sys, threading, requests, redis\n"
        "print(requests.Session.send.__module__, redis.Redis.execute_command.__module__, threading.active_count())\n"
        "print([name for name in sys.modules if name.startswith('otel_run')], sys.meta_path)\n"
    )
    bare, traced = both(["-c", code], tmp_path, **off)
    assert traced[1].partition(" at 0x")[0] == bare[1].partition(" at 0x")[0]


@pytest.mark.parametrize(
    "statement",
    ["import json, logging, threading, asyncio, ssl, socket", "import mymodule", "import yaml_or_whatever_else"],
)
def test_imports_that_nobody_traces_wake_nobody(statement: str, tmp_path: Path) -> None:
    (tmp_path / "mymodule.py").write_text("import email, urllib.parse\n")
    code = (
        f"try:\n    {statement}\nexcept ImportError: pass\n"
        "import sys; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = run([*OTEL_RUN, sys.executable, "-c", code], tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_no_thread_and_no_connection_before_the_first_span(tmp_path: Path) -> None:
    code = (
        "import os, threading, requests, httpx, psycopg, sqlalchemy, redis\n"
        "print(threading.active_count(), [l for l in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/'+l)"
        " and 'socket' in os.readlink('/proc/self/fd/'+l)"
        # The pair that signals are told by is no connection to anybody.
        " and __import__('socket').socket(fileno=os.dup(int(l))).family != 1])"
    )
    done = run([*OTEL_RUN, sys.executable, "-c", code], tmp_path)
    assert (done.stdout, done.stderr) == ("1 []\n", "")


@pytest.mark.parametrize("tool", [["-m", "ensurepip", "--version"], ["-m", "compileall", "-h"], ["-m", "venv", "-h"]])
def test_tools_are_left_alone(tool: list[str], tmp_path: Path) -> None:
    done = run([*OTEL_RUN, "--debug", sys.executable, *tool], tmp_path)
    assert done.returncode == 0
    assert "patched" not in done.stderr


def test_an_image_with_the_folder_on_pythonpath_needs_no_launcher(tmp_path: Path) -> None:
    code = "import requests, sys; print('otel_run.instrumentors.requests' in sys.modules)"
    done = run([sys.executable, "-c", code], tmp_path, env=environment(PYTHONPATH=STARTUP_FOLDER))
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_what_is_started_twice_is_started_once(tmp_path: Path) -> None:
    # An image's own folder, and `otel-run` of the application's environment in front of it.
    code = "import sys; print([type(f).__name__ for f in sys.meta_path].count('Finder'), sys.path.count(sys.argv[1]))"
    twice = environment(PYTHONPATH=f"{STARTUP_FOLDER}:{STARTUP_FOLDER}")
    done = run([*OTEL_RUN, sys.executable, "-c", code, STARTUP_FOLDER], tmp_path, env=twice)
    assert (done.stdout, done.stderr) == ("1 0\n", "")

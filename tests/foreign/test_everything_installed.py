"""Dozens of instrumentors installed: a program loads those whose libraries it imports, and one that fails is alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from patching.library import write

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced
    from servers.web import Web

LIBRARIES = (
    *("aiohttp_client", "asyncpg", "botocore", "celery", "click", "flask", "grpc", "httpx", "jinja2", "psycopg"),
    *("psycopg2", "pymongo", "redis", "requests", "sqlalchemy", "sqlite3", "urllib", "urllib3"),
)
# Prints those whose instrumentor, ours or contrib's, has been loaded.
LOADED = f"""
packages = ("opentelemetry.instrumentation.", "otel_run.instrumentors.")
print(*[name for name in {LIBRARIES} if any(package + name in sys.modules for package in packages)])
"""


@pytest.mark.parametrize(
    "imports", ["sys", "json, argparse, logging, threading, asyncio, subprocess, http.client", "bson"]
)
def test_a_program_that_imports_no_library_has_nothing_loaded(imports: str, traced: Traced) -> None:
    run = traced(f"import sys, {imports}; print([n for n in sys.modules if n.startswith('opentelemetry')])")
    assert (run.returncode, run.stdout, run.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("imports", "loaded"),
    [
        ("requests", "requests urllib urllib3"),  # which imports the other two
        ("jinja2", "jinja2"),
        ("sqlite3", "sqlite3"),
        ("psycopg2", "psycopg2"),
        ("grpc", "grpc"),
    ],
)
def test_a_program_loads_the_instrumentors_of_what_it_imports(imports: str, loaded: str, traced: Traced) -> None:
    run = traced(f"import sys, {imports}\n{LOADED}")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{loaded}\n", "")


def test_those_that_are_disabled_are_not_loaded(web: Web, traced: Traced) -> None:
    run = traced(
        f"import sys, requests, urllib3; urllib3.PoolManager().request('GET', sys.argv[1])\n{LOADED}",
        web.url,
        env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "urllib3, URLLIB, logging"},
    )
    assert (run.returncode, run.stdout, run.stderr, run.spans) == (0, "requests\n", "", [])


RENDER_AND_GET = """
import sys, jinja2, requests
print(jinja2.Template("hello").render(), requests.get(sys.argv[1]).status_code)
"""


def test_one_that_refuses_the_version_is_said_and_costs_nothing_else(web: Web, traced: Traced, tmp_path: Path) -> None:
    write(tmp_path / "old", {"jinja2-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: Jinja2\nVersion: 1.0\n"})
    run = traced(RENDER_AND_GET, web.url + "/echo", env={"PYTHONPATH": str(tmp_path / "old")})
    assert (run.returncode, run.stdout) == (0, "hello 200\n")
    (line,) = run.stderr.splitlines()
    assert line.startswith("otel-run: instrumentor jinja2: refused: ")
    assert "1.0" in line
    assert [span.scope for span in run.spans] == ["otel_run.instrumentors.requests"]


@pytest.mark.parametrize("breaks", ["raise ImportError('broken')", "import sys; sys.exit('broken')"])
def test_one_whose_installation_is_broken_is_said_and_costs_nothing_else(
    breaks: str, web: Web, traced: Traced, tmp_path: Path
) -> None:
    write(tmp_path / "new", {"opentelemetry/instrumentation/jinja2/__init__.py": breaks})
    env = {"PYTHONPATH": str(tmp_path / "new"), "OTEL_RUN_STRICT": "false"}
    run = traced(RENDER_AND_GET, web.url + "/echo", env=env)
    assert (run.returncode, run.stdout) == (0, "hello 200\n")
    (line,) = run.stderr.splitlines()
    assert line.startswith("otel-run: instrumentor jinja2: failed: ")
    assert "broken" in line
    assert [span.scope for span in run.spans] == ["otel_run.instrumentors.requests"]

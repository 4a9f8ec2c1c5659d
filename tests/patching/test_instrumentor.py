"""Ours are instrumentors for anybody's loader, though nobody pays for the class that says so before somebody asks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, run

if TYPE_CHECKING:
    from pathlib import Path

ASKS = """
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from otel_run.instrumentors.requests import RequestsInstrumentor
found = RequestsInstrumentor()
assert issubclass(RequestsInstrumentor, BaseInstrumentor) and isinstance(found, BaseInstrumentor)
assert found is RequestsInstrumentor()
"""
IMPORTS_OURS_FIRST = """
import sys
from otel_run.instrumentors.requests import RequestsInstrumentor
from otel_run.instrumentors.flask import FlaskInstrumentor
assert RequestsInstrumentor() is not FlaskInstrumentor()
"""
LOADS = """
import logging, sys
from importlib.metadata import entry_points
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
import requests
bare = requests.Session.send
(point,) = [point for point in entry_points(group="opentelemetry_instrumentor")
            if point.name == "requests" and point.value.startswith("otel_run.")]
found = point.load()()
found.instrument()
print(found.is_instrumented_by_opentelemetry, requests.Session.send is bare)
found.instrument()
found.uninstrument()
print(found.is_instrumented_by_opentelemetry, requests.Session.send is bare)
found.uninstrument()
"""
LACKS = """
import logging, sys
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from otel_run.patching.instrumentor import Instrumentor
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)

class Lacking(Instrumentor):
    library = "no-such-library"

    def patches(self, tracer):
        print("applied")
        return []

try:
    Lacking().instrument(raise_exception_on_conflict=True)
except DependencyConflictError as error:
    print(error.conflict.required, error.conflict.found)
Lacking().instrument()
print(Lacking().is_instrumented_by_opentelemetry)
Lacking().instrument(skip_dep_check=True)
print(Lacking().is_instrumented_by_opentelemetry)
"""

MISFIT = """
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import DoesNotFit

class Misfit(Instrumentor):
    library = "pytest"

    def patches(self, tracer):
        raise DoesNotFit("pytest has no engine")

class Other(Instrumentor):
    library = "pytest"

    def patches(self, tracer):
        print("applied")
        return []
"""
LOADS_ALL = """
import logging
from opentelemetry.instrumentation.auto_instrumentation import _load
from opentelemetry.instrumentation.distro import DefaultDistro
logging.basicConfig(format="%(levelname)s %(message)s")
found = _load.entry_points
_load.entry_points = lambda group: [point for point in found(group=group) if point.module == "misfit"]
_load._load_instrumentors(DefaultDistro())
"""


@pytest.mark.parametrize("command", [[], OTEL_RUN], ids=["bare", "otel-run"])
@pytest.mark.parametrize("before", ["", "import requests", IMPORTS_OURS_FIRST])
def test_whoever_asks_is_told_that_it_is_an_instrumentor(command: list[str], before: str, tmp_path: Path) -> None:
    done = run([*command, sys.executable, "-c", before + ASKS], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_loader_applies_it_and_takes_it_away(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", LOADS], tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "True False",
        "WARNING RequestsInstrumentor is applied already",
        "False True",
        "WARNING RequestsInstrumentor is not applied",
    ]


def test_one_whose_library_is_not_installed_is_refused_as_the_loader_wishes(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", LACKS], tmp_path)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [lines[0], *lines[2:]] == ["no-such-library None", "False", "applied", "True"]
    assert lines[1].startswith("ERROR ")
    assert '"no-such-library"' in lines[1]


def test_one_that_does_not_fit_stops_no_other_under_another_loader(tmp_path: Path) -> None:
    (tmp_path / "misfit.py").write_text(MISFIT)
    points = "[opentelemetry_instrumentor]\nfirst = misfit:Misfit\nsecond = misfit:Other\n"
    metadata = tmp_path / "misfit-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: misfit\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(points)
    done = run([sys.executable, "-c", LOADS_ALL], tmp_path)
    assert (done.returncode, done.stdout) == (0, "applied\n"), done
    assert done.stderr.startswith("ERROR Importing of first failed, skipping it\n")

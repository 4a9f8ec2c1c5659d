"""Anybody's instrumentors under `otel-run`: none can stop the program or the others, each failure has its line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from patching.library import metadata, write
from process.children import OTEL_RUN, environment, run

if TYPE_CHECKING:
    from pathlib import Path

LIBRARIES = ("first", "second", "third")

INSTRUMENTOR = """
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

class Instrumentor(BaseInstrumentor):
    def instrumentation_dependencies(self):
        return {requires!r}
    def _uninstrument(self, **kwargs):
        pass
    def _instrument(self, **kwargs):
        {does}
"""
PATCHES = "import {name}; {name}.patched = getattr({name}, 'patched', 0) + 1"

# What the second instrumentor does, and what is said of it.
MISCHIEF = {
    "raises": ("raise RuntimeError('mischief')", "RuntimeError: mischief"),
    "exits": ("import sys; sys.exit(7)", "it wanted to exit with status 7"),
    "raises while it is loaded": ("pass\n\nraise ImportError('mischief')", "ImportError: mischief"),
    "is no Python": ("pass\n\n)(", "SyntaxError"),
}


def install(site: Path, does: str = "", requires: tuple[str, ...] = ("second",)) -> Path:
    """Install three libraries, and an instrumentor for each; that of `second` does as told."""
    for name in LIBRARIES:
        lines = does if does and name == "second" else PATCHES.format(name=name)
        wanted = requires if name == "second" else (name,)
        write(site, metadata(name, record=[f"{name}.py"]))
        point = f"[opentelemetry_instrumentor]\n{name} = {name}_instrumentor:Instrumentor\n"
        write(site, metadata(f"opentelemetry-instrumentation-{name}", points=point, instruments=[name]))
        (site / f"{name}.py").write_text("value = 1\n")
        (site / f"{name}_instrumentor.py").write_text(INSTRUMENTOR.format(does=lines, requires=wanted))
    return site


def run_under_us(site: Path, source: str, *python: str, **env: str) -> tuple[int, str, str]:
    given = environment(PYTHONPATH=str(site), OTEL_TRACES_EXPORTER="none", **env)
    done = run([*OTEL_RUN, sys.executable, *python, "-c", source], site, env=given)
    return done.returncode, done.stdout, done.stderr


SHOW = "import first, second, third; print(*[getattr(m, 'patched', 0) for m in (first, second, third)])"


def test_each_is_applied_once_before_the_program_sees_its_library(tmp_path: Path) -> None:
    assert run_under_us(install(tmp_path), f"{SHOW}; {SHOW}", OTEL_RUN_STRICT="true") == (0, "1 1 1\n1 1 1\n", "")


@pytest.mark.parametrize("mischief", MISCHIEF)
def test_one_that_fails_stops_neither_the_others_nor_the_program(mischief: str, tmp_path: Path) -> None:
    does, why = MISCHIEF[mischief]
    status, stdout, stderr = run_under_us(install(tmp_path, does), SHOW)
    assert (status, stdout) == (0, "1 0 1\n")
    lines = stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("otel-run: ")
    assert why in lines[0]
    assert "go on without it" in lines[0]


def test_one_whose_version_range_refuses_is_said_and_skipped(tmp_path: Path) -> None:
    status, stdout, stderr = run_under_us(install(tmp_path, requires=("second >= 5",)), SHOW)
    assert (status, stdout) == (0, "1 0 1\n")
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("otel-run: instrumentor second: refused: ")
    assert "second >= 5" in stderr


def test_one_that_is_disabled_is_not_even_loaded(tmp_path: Path) -> None:
    site = install(tmp_path, MISCHIEF["is no Python"][0])
    source = f"{SHOW}; import sys; print('second_instrumentor' in sys.modules)"
    disabled = run_under_us(site, source, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="Third, SECOND")
    assert disabled == (0, "1 0 0\nFalse\n", "")


def test_a_library_that_is_reloaded_or_imported_anew_is_instrumented_anew(tmp_path: Path) -> None:
    source = (
        "import first, importlib, sys; del first.patched; importlib.reload(first); print(first.patched)\n"
        "del sys.modules['first']; import first; print(first.patched)"
    )
    assert run_under_us(install(tmp_path), source, OTEL_RUN_STRICT="true") == (0, "1\n1\n", "")


def test_a_path_object_on_the_path_costs_nothing(tmp_path: Path) -> None:
    source = f"import pathlib, sys; sys.path.insert(0, pathlib.Path('x')); {SHOW}"
    assert run_under_us(install(tmp_path), source, OTEL_RUN_STRICT="true") == (0, "1 1 1\n", "")


TWO_IN_ONE = """
[opentelemetry_instrumentor]
first = first_instrumentor:Instrumentor
second = second_instrumentor:Instrumentor
"""


def test_of_two_in_one_distribution_each_waits_for_the_library_that_it_is_named_after(tmp_path: Path) -> None:
    install(tmp_path)
    for name in ("first", "second"):
        (tmp_path / f"opentelemetry_instrumentation_{name}-1.0.dist-info" / "entry_points.txt").unlink()
    write(tmp_path, metadata("opentelemetry-instrumentation-both", points=TWO_IN_ONE, instruments=["first", "second"]))
    source = "import second, sys; print(second.patched, 'first' in sys.modules); import first; print(first.patched)"
    assert run_under_us(tmp_path, source, OTEL_RUN_STRICT="true") == (0, "1 False\n1\n", "")


def test_of_two_in_one_distribution_that_of_an_absent_library_is_not_applied_to_the_other(tmp_path: Path) -> None:
    install(tmp_path, does="raise RuntimeError('applied')")
    for name in ("first", "second"):
        (tmp_path / f"opentelemetry_instrumentation_{name}-1.0.dist-info" / "entry_points.txt").unlink()
    write(tmp_path, metadata("opentelemetry-instrumentation-both", points=TWO_IN_ONE, instruments=["first", "second"]))
    (tmp_path / "second-1.0.dist-info" / "METADATA").unlink()
    (tmp_path / "second-1.0.dist-info" / "RECORD").unlink()
    (tmp_path / "second-1.0.dist-info").rmdir()
    source = "import first, second; print(first.patched)"
    assert run_under_us(tmp_path, source, OTEL_RUN_STRICT="true") == (0, "1\n", "")


def test_another_module_that_a_library_installs_does_not_import_the_library(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / "side.py").write_text("")
    write(tmp_path, metadata("first", record=["first.py", "side.py"]))
    source = "import side, sys; print('first' in sys.modules); import first; print(first.patched)"
    assert run_under_us(tmp_path, source, OTEL_RUN_STRICT="true") == (0, "False\n1\n", "")


def test_one_that_the_program_has_applied_is_not_applied_again_when_its_library_is_reloaded(tmp_path: Path) -> None:
    source = (
        "import first, importlib; from first_instrumentor import Instrumentor\n"
        "print(first.patched); Instrumentor().instrument(); print(first.patched)\n"
        "importlib.reload(first); print(first.patched)"
    )
    assert run_under_us(install(tmp_path), source, OTEL_RUN_STRICT="true") == (0, "1\n2\n2\n", "")


def test_one_that_makes_only_metrics_is_declined(tmp_path: Path) -> None:
    install(tmp_path)
    point = "[opentelemetry_instrumentor]\nsystem_metrics = second_instrumentor:Instrumentor\n"
    (tmp_path / "opentelemetry_instrumentation_second-1.0.dist-info" / "entry_points.txt").unlink()
    write(tmp_path, metadata("opentelemetry-instrumentation-system-metrics", points=point, instruments=["second"]))
    status, stdout, stderr = run_under_us(tmp_path, SHOW, OTEL_RUN_STRICT="true", OTEL_RUN_DEBUG="true")
    assert (status, stdout) == (0, "1 0 1\n")
    assert "otel-run: system_metrics: declined (it makes metrics, and only spans leave)" in stderr.splitlines()

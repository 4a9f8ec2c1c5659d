"""The program's Python is another one than ours: other version, other environment. The agent comes along, last."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import otel_run
from process.children import OTEL_RUN, STARTUP_FOLDER, environment, interpreters, run
from servers.fickle import fickle

SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an installation that no interpreter knows of: what `pip install --target` makes."""
    target = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(Path(otel_run.__file__).parent, target / "otel_run")
    shutil.rmtree(target / "otel_run" / "sitecustomize", ignore_errors=True)
    shutil.copytree(STARTUP_FOLDER, target / "otel_run" / "sitecustomize")
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if entry.name not in ("otel_run", "sitecustomize") and entry.suffix != ".pth":
                (target / entry.name).exists() or (target / entry.name).symlink_to(entry)
    return target


APP = """
import sys
import requests
requests.get(sys.argv[1])
print(sys.path[-1] == sys.argv[2], "otel_run.startup" in sys.modules)
"""


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_interpreter_is_traced_by_one_installation(
    version: str, elsewhere: Path, tmp_path: Path
) -> None:
    python = interpreters().get(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    (tmp_path / "app.py").write_text(APP)
    with fickle() as receiver:
        env = environment(
            PYTHONPATH=str(elsewhere / "otel_run" / "sitecustomize"),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_RUN_STRICT="true",
        )
        done = run([python, "app.py", receiver.endpoint, str(elsewhere)], tmp_path, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True\n", "")
    assert [span.name for span in receiver.spans] == ["GET"]
    assert receiver.spans[0].resource["process.executable.path"] == python


def test_a_library_of_the_program_wins_over_ours(elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "urllib3.py").write_text("mine = True\n")
    env = environment(PYTHONPATH=os.pathsep.join([str(elsewhere / "otel_run" / "sitecustomize"), str(tmp_path)]))
    code = "import urllib3, otel_run; print(urllib3.mine)"
    done = run([sys.executable, "-c", code], tmp_path, env=env)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(("option", "is_on"), [("-I", False), ("-E", False), ("-S", False), ("-s", True), ("-B", True)])
def test_options_of_the_interpreter_that_keep_us_out(option: str, is_on: bool, tmp_path: Path) -> None:
    """Documented in the README: -I and -E ignore PYTHONPATH, -S runs no sitecustomize."""
    code = "import sys; print('otel_run' in sys.modules)"
    done = subprocess.run(
        [*OTEL_RUN, sys.executable, option, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"{is_on}\n", "")

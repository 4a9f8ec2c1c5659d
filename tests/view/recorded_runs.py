"""The programs in recorded/: what they left when they once ran under the agent, and running them again.

`cd tests && python -m view.recorded_runs [NAME...]` records them anew, with their trees, to be read by eye.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from otel_run.view.draw import lines
from otel_run.view.reading import read_line
from otel_run.view.story import Story, tell
from otel_run.view.tree import traces
from servers.program import clean_environment, launcher

if TYPE_CHECKING:
    from collections.abc import Iterable

RECORDED = Path(__file__).with_name("recorded")
NAMES = ("failed", "gathered", "pooled", "repeated", "retried", "streamed")


def command(name: str) -> list[str]:
    """Return what runs a program under the agent."""
    return [*launcher(), sys.executable, "start.py", name]


def environment(name: str, **variables: str) -> dict[str, str]:
    """Return an environment in which each function of a program is traced."""
    return {
        **clean_environment(),
        "OTEL_RUN_TRACE": f"{name}:*",
        "OTEL_RUN_PROCESS_SPAN": "off",
        "OTEL_RUN_STRICT": "true",
        # Whether it takes long enough to be a span, the machine decides.
        "OTEL_RUN_CONNECTION_THRESHOLD": "60000",
        "OTEL_SERVICE_NAME": name,
        **variables,
    }


def run(name: str, file: Path) -> list[str]:
    """Run a program; return the lines that it left in `file`."""
    env = environment(name, OTEL_TRACES_EXPORTER="file", OTEL_RUN_FILE=str(file))
    subprocess.run(command(name), cwd=RECORDED, env=env, timeout=60, check=True)
    return file.read_text("utf-8").splitlines()


def story(recorded: Iterable[str]) -> Story:
    """Tell the trace of `main`."""
    spans = [span for line in recorded for span in read_line(line)]
    [found] = [trace for trace in traces(spans) if trace.roots[0].span.name.endswith("main")]
    return tell(found)


def drawn(recorded: Iterable[str]) -> str:
    """Draw the trace of `main`."""
    return "".join(f"{line}\n" for line in lines(story(recorded)))


def _slim(line: str) -> str:
    """Leave out what tells of the machine on which it was recorded."""
    told = json.loads(line)
    for resource in told["resourceSpans"]:
        kept = resource["resource"]["attributes"]
        resource["resource"]["attributes"] = [one for one in kept if one["key"] == "service.name"]
    return json.dumps(told, separators=(",", ":"))


if __name__ == "__main__":
    for one in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            kept = [_slim(line) for line in run(one, Path(folder, "traces.jsonl"))]
        (RECORDED / f"{one}.jsonl").write_text("".join(f"{line}\n" for line in kept), "utf-8")
        (RECORDED / f"{one}.txt").write_text(drawn(kept), "utf-8")

"""Running a program under `otel-run` as a user does, and the spans that it left at the receiver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from servers.receiver import RUN, Receiver, Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AGENT = Path(__file__).parents[2] / "agent"

# What a developer's or CI's shell may hold and a test must not depend on.
_FOREIGN = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONWARNINGS", "PYTHONHASHSEED")


@dataclass(frozen=True)
class Run:
    """How a program ended, what it wrote, and its spans, earliest first."""

    returncode: int
    stdout: str
    stderr: str
    spans: list[Span]

    def span(self, name: str) -> Span:
        """Return the only span of that name."""
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans are named {name!r}; there are:\n{self}"
        return found[0]

    def __str__(self) -> str:
        """Tell what a failed assertion needs."""
        lines = [f"  {span.kind} {span.name} {span.status} {span.attributes}" for span in self.spans]
        return "\n".join([f"status {self.returncode}", *lines, self.stdout, self.stderr])


class Traced:
    """Runs programs in one folder; see `__call__`."""

    def __init__(self, receiver: Receiver, folder: Path, **defaults: str) -> None:
        """`defaults` are variables that each program gets, unless it is given others."""
        self.receiver = receiver
        self.folder = folder
        self._defaults = defaults

    def __call__(
        self,
        source: str,
        *argv: str,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
        flags: Sequence[str] = (),
        expect: int | None = None,
        protocol: str = "http/protobuf",
        timeout: float = 60,
        warnings: str | None = None,
        stdin: str | None = None,
    ) -> Run:
        """Write `source` (dedented) to app.py, run it under `otel-run` with `flags`, and collect its spans.

        `expect` waits for that many spans, for a program that leaves some to be sent after its end; else what
        it sent before it ended is collected. `env` comes last, so it wins. `warnings` is PYTHONWARNINGS.
        """
        (self.folder / "app.py").write_text(textwrap.dedent(source))
        run = uuid.uuid4().hex
        endpoint = self.receiver.grpc_endpoint if protocol == "grpc" else self.receiver.http_endpoint
        environment = {
            **clean_environment(),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_RESOURCE_ATTRIBUTES": f"{RUN}={run}",
            "OTEL_RUN_STRICT": "true",
            # Whoever tests calls of a library wants those alone; tests/jobs has it as it comes.
            "OTEL_RUN_PROCESS_SPAN": "off",
            **({"PYTHONWARNINGS": warnings} if warnings else {}),
            **self._defaults,
            **(env or {}),
        }
        if env and "OTEL_RESOURCE_ATTRIBUTES" in env:
            environment["OTEL_RESOURCE_ATTRIBUTES"] += f",{RUN}={run}"
        command = [*launcher(), *flags, python, "app.py", *argv]
        returncode, stdout, stderr = _finish(command, self.folder, environment, timeout, stdin)
        return Run(returncode, stdout, stderr, self.receiver.spans(run, expect))


def launcher() -> list[str]:
    """Return the command `otel-run` of this Python, installed or not."""
    script = Path(sys.executable).with_name("otel-run")
    return [str(script)] if script.exists() else [sys.executable, "-m", "otel_run.command"]


def clean_environment() -> dict[str, str]:
    """Return our environment without settings for OpenTelemetry, Python or proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OTEL_") and name not in _FOREIGN and not name.lower().endswith("_proxy")
    }
    if launcher()[0] == sys.executable:
        kept["PYTHONPATH"] = str(AGENT)
    return kept


def _finish(
    command: list[str], folder: Path, environment: dict[str, str], timeout: float, stdin: str | None
) -> tuple[int, str, str]:
    # A session of its own, so that children of a program that hangs end with it.
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, stdout, stderr

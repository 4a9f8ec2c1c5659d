"""A program that forks, and what it and its children have sent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from process.children import OTEL_RUN, environment, run
from servers.fickle import fickle

if TYPE_CHECKING:
    from pathlib import Path

    from servers.receiver import Span

BEGIN = """
import os, signal, sys, time
from opentelemetry import trace
tracer = trace.get_tracer("t")
def span(name):
    tracer.start_span(name).end()
def wait(child):
    status = os.waitpid(child, 0)[1]
    if status:
        print("a child ended with", status)
"""


def spans_of(tmp_path: Path, source: str, delay: float = 0.0, **env: str) -> list[Span]:
    """Run a program that ends well and says nothing, and return what it and its children have sent."""
    (tmp_path / "app.py").write_text(BEGIN + source)
    with fickle() as receiver:
        receiver.delay = delay
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_RUN_STRICT="true", **env)
        command = [*OTEL_RUN, sys.executable, "-W", "ignore::DeprecationWarning", "app.py"]
        done = run(command, tmp_path, env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    return receiver.spans


def names_of(spans: list[Span]) -> list[str]:
    return sorted(span.name for span in spans)


def by_name(spans: list[Span]) -> dict[str, Span]:
    assert len(spans) == len({span.name for span in spans}), names_of(spans)
    return {span.name: span for span in spans}

"""Programs that start a child which prints what its environment tells it of the trace."""

from __future__ import annotations

import ast
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servers.program import Run

# `LINE` starts a child; the parent's own lines begin with "=".
HEAD = r'''
import os, subprocess, sys
from opentelemetry import baggage, context, trace

CODE = """
import os
names = (b"TRACEPARENT", b"TRACESTATE", b"BAGGAGE")
print({name.decode(): os.environb[name].decode() for name in names if name in os.environb}, flush=True)
"""
LINE = [sys.executable, "-S", "-c", CODE]
tracer = trace.get_tracer("app")
'''


def program(body: str) -> str:
    """Return a program."""
    return HEAD + textwrap.dedent(body)


def told(run: Run, stderr: str = "") -> list[dict[str, str]]:
    """Return what each of the children printed."""
    assert (run.returncode, run.stderr) == (0, stderr), run
    found: list[Any] = [ast.literal_eval(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return found


def traceparent(run: Run, name: str, flags: str = "03") -> str:
    """Return what a child in the span of that name is told."""
    span = run.span(name)
    return f"00-{span.trace_id}-{span.span_id}-{flags}"

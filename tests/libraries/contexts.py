"""Programs that hand work on, and whose span each piece of that work is below."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.program import Run

BEGIN = """
import sys, threading, time
from opentelemetry import baggage, context, trace
tracer = trace.get_tracer("app")

def work(name):
    with tracer.start_as_current_span(name):
        return name

def raises(error):
    raise error

class Value:
    pass
"""


def parents(run: Run) -> dict[str, str]:
    """Return the name of each span's parent, "" for a root; every name is there once, and nothing was said."""
    assert (run.returncode, run.stderr) == (0, ""), run
    names = {span.span_id: span.name for span in run.spans}
    assert len({span.name for span in run.spans}) == len(run.spans), run
    by_name = {span.name: span for span in run.spans}
    found = {span.name: names[span.parent_id] if span.parent_id else "" for span in run.spans}
    assert all(by_name[up].trace_id == by_name[name].trace_id for name, up in found.items() if up), run
    return found

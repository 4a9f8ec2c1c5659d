"""Programs that start processes, and which span is whose child in what they leave."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.program import Run

METHODS = ["fork", "forkserver", "spawn"]

# `work` makes the span of a child; argv[1] is the start method.
_HEAD = """\
import concurrent.futures, multiprocessing, os, sys, time
from opentelemetry import baggage, context, trace

tracer = trace.get_tracer("app")

def work(name):
    with tracer.start_as_current_span(name):
        return baggage.get_baggage("order")

"""


def program(body: str, definitions: str = "") -> str:
    """Return a program whose main module is `body`; `definitions` are there in its children too."""
    main = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    start = '    processes = multiprocessing.get_context(sys.argv[1] if len(sys.argv) > 1 else "fork")\n'
    return f'{_HEAD}{textwrap.dedent(definitions)}\nif __name__ == "__main__":\n{start}{main}\n'


def tree(run: Run) -> dict[str, str]:
    """Return for each span the name of its parent; "" for a root, "?" for a parent that has not come."""
    names = {span.span_id: span.name for span in run.spans}
    assert len(names) == len({span.name for span in run.spans}), run
    traces = {span.name: span.trace_id for span in run.spans}
    found = {span.name: names.get(span.parent_id, "?") if span.parent_id else "" for span in run.spans}
    for child, parent in found.items():
        assert parent in ("", "?") or traces[child] == traces[parent], run
    return found


def assert_tree(run: Run, expected: dict[str, str], stderr: str = "") -> None:
    """Compare the parents of all spans; nothing has gone wrong on the way."""
    assert (run.returncode, run.stderr) == (0, stderr), run
    assert tree(run) == expected, run

"""`otel-run demo`: one order, and the tree of where its time went."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from otel_run.command import stdout
from otel_run.command.demo import ending, servers
from otel_run.command.demo.scene import scene
from otel_run.command.demo.services import shown_command
from otel_run.command.receiving import receive
from otel_run.view import draw, story, tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.view.span import Span
    from otel_run.view.tree import Trace

ROOT = "ProcessOrder"
CLOSING = """\
Your own program: `otel-run python app.py` prints its traces.
As a page: `otel-run demo --serve`."""


def run() -> int:
    """Run it; return the status."""
    with ending.on_closed_pipes():
        print("One order for a service without tracing code, on a PostgreSQL, a Valkey and a second service:\n")
        print(textwrap.indent(shown_command(), "    "), flush=True)
    with ending.on_signals() as check:
        spans = _collect(check)
    with ending.on_closed_pipes():
        _show(spans)
    return 0


def _collect(check: Callable[[], None]) -> list[Span]:
    """Run the whole scene; return all spans that were received. `check` raises when it is to end early."""
    spans: list[Span] = []
    with receive(0, spans.extend) as receiver:
        with scene(receiver.endpoint, check) as running:
            running.send_slow_order()
        check()
        # The services have ended, and so have sent everything: nothing to wait for.
        return spans


def _show(spans: list[Span]) -> None:
    """Print the order's trace."""
    told = story.tell(_of_order(spans))
    stdout.write_lines(["", *draw.lines(told, stdout.style()), "", CLOSING])


def _of_order(spans: list[Span]) -> Trace:
    # What the service does while it starts is no part of the order.
    for trace in tree.traces(spans):
        if any(node.span.name == ROOT for node in trace.roots):
            return trace
    raise servers.Failed(f"the order was taken, but no span of it has come; {len(spans)} others have")

"""Time in which a span had no child: this file is about lengths of unions of times.

Children may run beside each other, so their durations must not be summed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_run.view.tree import Node


def self_time(node: Node) -> int:
    """Return in ns how long `node` ran while none of its children did."""
    duration = node.span.duration
    return duration - covered(node.children, node.span.start, node.span.end) if node.children else duration


def covered(nodes: Iterable[Node], start: int = 0, end: int = sys.maxsize) -> int:
    """Return in ns how long, between `start` and `end`, at least one of `nodes` ran; they are in the order of start."""
    length, reached = 0, start
    for node in nodes:
        begin, stop = max(node.span.start, reached), min(node.span.end, end)
        if stop > begin:
            length += stop - begin
            reached = stop
    return length

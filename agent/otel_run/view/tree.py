"""Spans as traces, and each trace as a tree, with no knowledge of terminals or of OpenTelemetry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_run.view.span import Span


@dataclass(slots=True, eq=False)
class Node:
    """A span in its place; `children` are in the order of their start."""

    span: Span
    parent: Node | None = None
    children: list[Node] = field(default_factory=list, repr=False)
    # The span names a parent, and that has not come.
    is_orphan: bool = False


@dataclass(slots=True, eq=False)
class Trace:
    """The spans of one trace that are here; `roots` are in the order of their start, and at least one."""

    id: str
    roots: list[Node]

    @property
    def start(self) -> int:
        """When the first span began, in ns since the epoch."""
        return min(node.span.start for node in self.nodes())

    @property
    def end(self) -> int:
        """When the last one ended."""
        return max(node.span.end for node in self.nodes())

    def nodes(self) -> Iterator[Node]:
        """Yield all nodes, each before its children, in the order of a drawn tree."""
        # A stack, and not recursion: a trace may be deeper than Python's recursion limit.
        waiting = self.roots[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


def traces(spans: Iterable[Span]) -> list[Trace]:
    """Sort spans into traces, in the order of their start.

    A span whose parent never arrived becomes a root, so a half-received trace still shows. So does one of a circle,
    which only a faulty program sends. A span that came twice (a batch that was sent again) counts once.
    """
    by_trace: dict[str, dict[str, Node]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, {})[span.id] = Node(span)
    found = [Trace(trace_id, _roots(nodes)) for trace_id, nodes in by_trace.items()]
    return sorted(found, key=lambda trace: (trace.start, trace.id))


def _roots(known: dict[str, Node]) -> list[Node]:
    circular = _breaks_of_circles(known)
    roots = []
    for node in sorted(known.values(), key=_order):
        parent = None if node.span.id in circular else known.get(node.span.parent_id)
        if parent is None:
            node.is_orphan = bool(node.span.parent_id)
            roots.append(node)
        else:
            node.parent = parent
            parent.children.append(node)
    return roots


def _order(node: Node) -> tuple[int, int, str]:
    return node.span.start, node.span.end, node.span.id


def _breaks_of_circles(known: dict[str, Node]) -> set[str]:
    """Return one span of each circle, the one that must stand above the others for all to be seen."""
    breaks: set[str] = set()
    walk_of: dict[str, int] = {}
    for number, start in enumerate(known.values()):
        node: Node | None = start
        while node is not None and node.span.id not in walk_of:
            walk_of[node.span.id] = number
            node = known.get(node.span.parent_id)
        # Back on the way of this very walk; a span of an earlier walk has been looked at.
        if node is not None and walk_of[node.span.id] == number:
            breaks.add(node.span.id)
    return breaks

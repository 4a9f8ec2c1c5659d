"""What is known of a trace before any note is made: this file is about what lies on its path, and on its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.view.shapes import shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_run.view.path import Segment
    from otel_run.view.shapes import Shape
    from otel_run.view.tree import Node, Trace

    Groups = list[list[Node]]


class Facts:
    """A trace with its path and its lines; times in ns."""

    def __init__(
        self,
        trace: Trace,
        path: list[Segment],
        own_on_path: Mapping[Node, int],
        groups: Mapping[Node | None, Groups],
        thresholds: Mapping[str, int],
    ) -> None:
        self.nodes = list(trace.nodes())
        self.own_on_path = own_on_path
        self.thresholds = thresholds
        # How long the path is, of which notes tell their share.
        self.whole = path[-1].end - path[0].start if path else 0
        # By node: its own part of the path, and that of all below it.
        self.on_path = self._on_path()
        # Spans that stand on lines of their own or share one, by the line's parent: below spans that share one, the
        # first one's alone are shown.
        self.families: list[tuple[Node | None, Groups]] = [(None, groups.get(None) or [[root] for root in trace.roots])]
        for _, family in self.families:
            # The list grows while it is gone through.
            for first, *_ in family:
                if first.children:
                    self.families.append((first, groups.get(first) or [[child] for child in first.children]))
        self._shapes: dict[Node, Shape] = {}

    def lines(self) -> Iterator[list[Node]]:
        """Yield the spans of each line."""
        for _, family in self.families:
            yield from family

    def shape(self, node: Node) -> Shape:
        """Return the shape of a node, which is found out once."""
        known = self._shapes.get(node)
        if known is None:
            known = self._shapes[node] = shape(node.span)
        return known

    def explained(self, nodes: list[Node]) -> int:
        """Return how much of the path these and all below them are."""
        return sum(map(self.on_path.__getitem__, nodes))

    def is_share(self, time: int, percent: int) -> bool:
        """Tell whether `time` is at least so much of the path."""
        return time > 0 and time * 100 >= self.whole * percent

    def share(self, time: int) -> str:
        """Return how much of the path that is, in words."""
        return f"{(200 * time + self.whole) // (2 * self.whole)}% of the trace" if self.whole > 0 else ""

    def _on_path(self) -> dict[Node, int]:
        found = {node: self.own_on_path.get(node, 0) for node in self.nodes}
        # Each node is before those below it.
        for node in reversed(self.nodes):
            if node.parent is not None:
                found[node.parent] += found[node]
        return found

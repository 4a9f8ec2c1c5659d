"""A finished trace as a tree, with no knowledge of terminals or of OpenTelemetry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


@dataclass
class Node:
    """One piece of work: when it was, and whose part. `start` and `end` are in nanoseconds of one clock."""

    # A span's id alone is not unique across traces: give the pair.
    id: Hashable
    parent_id: Hashable | None
    label: str
    start: int
    end: int
    # The service that did it.
    where: str = ""
    children: list[Node] = field(default_factory=list, repr=False, compare=False)

    @property
    def duration(self) -> int:
        """How long it took, in nanoseconds; never negative, although the wall clock may be set back."""
        return max(0, self.end - self.start)


def forest(nodes: Iterable[Node]) -> list[Node]:
    """Link `nodes` to their parents and return the roots, earliest first.

    A node whose parent never arrived becomes a root, so a half-received trace still shows. So does one of
    a circle, which only a faulty program sends. A node that came twice (a batch that was sent again) counts once.
    """
    known = {node.id: node for node in nodes}
    for node in known.values():
        node.children = []
    circular = _breaks_of_circles(known)
    roots: list[Node] = []
    for node in sorted(known.values(), key=lambda node: (node.start, node.end, str(node.id))):
        parent = None if node.id in circular else _parent(node, known)
        (roots if parent is None else parent.children).append(node)
    return roots


def _parent(node: Node, known: dict[Hashable, Node]) -> Node | None:
    return None if node.parent_id is None else known.get(node.parent_id)


def _breaks_of_circles(known: dict[Hashable, Node]) -> set[Hashable]:
    """Return one node of each circle, the one that must stand above the others for all to be seen."""
    breaks: set[Hashable] = set()
    walk_of: dict[Hashable, int] = {}
    for number, start in enumerate(known.values()):
        node: Node | None = start
        while node is not None and node.id not in walk_of:
            walk_of[node.id] = number
            node = _parent(node, known)
        # Back on the way of this very walk; a node of an earlier walk has been looked at.
        if node is not None and walk_of[node.id] == number:
            breaks.add(node.id)
    return breaks

"""A trace told line by line: what stands on each line, and what is worth a word. All ways of showing it begin here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_run.view.conventions import is_failed
from otel_run.view.labels import failure, label, short
from otel_run.view.note import Note as Note  # noqa: TC001 - whoever makes a story takes it from here
from otel_run.view.notes import THRESHOLDS, take_notes
from otel_run.view.path import critical_path, interleaved, noise
from otel_run.view.repeats import fold
from otel_run.view.self_time import covered, self_time
from otel_run.view.shapes import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_run.view.path import Segment
    from otel_run.view.tree import Node, Trace

# Of the summary: more than these do not go on one line, less than this is not worth a name.
_MOST_PARTS, _LEAST_SHARE = 4, 0.05


@dataclass(slots=True, eq=False)
class Row:
    """One line: one span, or several of one shape that follow each other."""

    nodes: list[Node]
    label: str
    # In ns; of several spans the length of the union of their times.
    duration: int
    children: list[Row] = field(default_factory=list, repr=False)
    # How it failed, in a few words (`502`, `TimeoutError`), "error" if nobody says how; empty if it did not.
    failure: str = ""
    note: Note | None = None
    # How much of the critical path is this span's own, and how much its own and all below it, in ns.
    own_on_path: int = 0
    on_path: int = 0
    # Time in which no child ran, in ns.
    self_time: int = 0
    # The service, where it begins: elsewhere empty.
    service: str = ""
    # It ran beside at least one of its siblings.
    is_parallel: bool = False

    @property
    def node(self) -> Node:
        """The first of its spans."""
        return self.nodes[0]


@dataclass(slots=True, eq=False)
class Story:
    """A trace that is told."""

    trace: Trace
    rows: list[Row]
    # The critical path of the root that took longest, in the order of time.
    path: list[Segment]
    # What that consists of, the longest first, for one line: (a short label, ns); "other" last.
    summary: list[tuple[str, int]]
    services: list[str]
    # How many spans there are, and how many of them have failed.
    spans: int
    failed: int

    @property
    def duration(self) -> int:
        """From the start of the first span to the end of the last one, in ns."""
        return self.trace.end - self.trace.start

    @property
    def label(self) -> str:
        """What the trace as a whole is called."""
        return self.rows[0].label


def tell(trace: Trace, thresholds: Mapping[str, int] = THRESHOLDS) -> Story:
    """Tell a trace; `thresholds` say from how many ns on a call is slow, by category."""
    nodes = list(trace.nodes())
    # Of those that take as long, the first.
    path = critical_path(max(trace.roots, key=lambda node: node.span.duration))
    own_on_path: dict[Node, int] = {}
    for node, start, end in path:
        own_on_path[node] = own_on_path.get(node, 0) + end - start
    services = sorted({node.span.service for node in nodes})
    groups, rows = _rows(trace.roots)
    notes = take_notes(trace, path, own_on_path, groups, thresholds)
    on_path = _on_path(nodes, own_on_path)
    for row in rows:
        row.own_on_path = sum(own_on_path.get(node, 0) for node in row.nodes)
        row.on_path = sum(on_path[node] for node in row.nodes)
        row.self_time = sum(map(self_time, row.nodes))
        row.note = notes.get(row.node)
    if len(services) > 1:
        _tell_services(rows)
    return Story(
        trace,
        rows[: len(groups[None])],
        path,
        _summary(own_on_path),
        services,
        len(nodes),
        sum(is_failed(node.span) for node in nodes),
    )


def _rows(roots: list[Node]) -> tuple[dict[Node | None, list[list[Node]]], list[Row]]:
    """Return all groups by the node that they are below, and their rows: each before those below it, roots first."""
    groups: dict[Node | None, list[list[Node]]] = {None: fold(roots)}
    rows = [_row(group, False) for group in groups[None]]
    # The list grows while it is gone through.
    for row in rows:
        # Of spans that share a line, what is below them is alike: that of the first one is shown.
        node = row.node
        if node.children:
            beside = _parallel(node.children, node)
            groups[node] = found = fold(node.children)
            row.children = [_row(group, not beside.isdisjoint(group)) for group in found]
            rows += row.children
    return groups, rows


def _row(group: list[Node], is_parallel: bool) -> Row:
    node = group[0]
    if len(group) == 1:
        return Row(group, label(node.span), node.span.duration, failure=failure(node), is_parallel=is_parallel)
    failed = next(filter(None, map(failure, group)), "")
    return Row(group, label_of(group), covered(group), failure=failed, is_parallel=is_parallel)


def _parallel(children: list[Node], parent: Node) -> set[Node]:
    """Return those of `children` that ran beside another one; where they only seem to, neither waits for the other."""
    found: set[Node] = set()
    noisy = noise(parent.span)
    inner = interleaved(children)
    # The one that ends last of those before: who runs beside any of them runs beside this one.
    last = children[0]
    for node in children[1:]:
        if node in inner:
            continue
        if min(node.span.end, last.span.end) - node.span.start > noisy:
            found |= {node, last}
        if node.span.end > last.span.end:
            last = node
    return found


def _tell_services(rows: list[Row]) -> None:
    for row in rows:
        span, parent = row.node.span, row.node.parent
        if parent is None or parent.span.service != span.service:
            row.service = span.service


def _on_path(nodes: list[Node], own_on_path: dict[Node, int]) -> dict[Node, int]:
    """Return how much of the path is a node's own and that of all below it; `nodes` stand before their children."""
    found = dict.fromkeys(nodes, 0) | own_on_path
    for node in reversed(nodes):
        if node.parent is not None:
            found[node.parent] += found[node]
    return found


def _summary(own_on_path: Mapping[Node, int]) -> list[tuple[str, int]]:
    """Return what the path consists of: the largest parts by their short labels, and the rest as "other"."""
    times: dict[str, int] = {}
    for node, time in own_on_path.items():
        name = short(node.span)
        times[name] = times.get(name, 0) + time
    whole = sum(times.values())
    largest = sorted(times.items(), key=lambda part: (-part[1], part[0]))[:_MOST_PARTS]
    told = [(name, time) for name, time in largest if time >= whole * _LEAST_SHARE]
    rest = whole - sum(time for _, time in told)
    # "other" alone would tell nothing.
    return [*told, ("other", rest)] if told and rest else told

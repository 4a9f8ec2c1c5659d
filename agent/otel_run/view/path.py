"""What a trace waited for, moment by moment: this file is about its critical path.

It is found from the end: what ended last was waited for, before it what had ended when that began, and what remains
is the span's own. Where lanes are known (the thread, job or task that a span began in), the one that ended last is
followed back in its own lane first: what else had ended by then was waited for by nobody who is on the path.

One lane does one thing at a time. What runs there within the time of a function beside it does so while that one is
suspended, as a generator is while its values are used: on the path it is a part of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_run.view.span import CONSUMER, INTERNAL, PRODUCER

if TYPE_CHECKING:
    from otel_run.view.span import Span
    from otel_run.view.tree import Node

_MOST_NOISE = 1_000_000  # ns


class Segment(NamedTuple):
    """A stretch of time, in ns since the epoch, in which nothing but the own work of `node` was waited for."""

    node: Node
    start: int
    end: int


class _Clipped(NamedTuple):
    """A child as far as it was waited for, of which the time that its parent has on the path is known."""

    node: Node
    start: int
    end: int


def noise(span: Span) -> int:
    """Return by how many ns children that follow each other may seem to overlap: clocks and timers are not exact."""
    return min(_MOST_NOISE, span.duration // 100)


def critical_path(root: Node) -> list[Segment]:
    """Return what `root` waited for, in the order of time: segments that partition its time exactly."""
    found: list[Segment] = []
    waiting = [_Clipped(root, root.span.start, root.span.end)]
    # By node: those beside it that ran while it was suspended.
    suspended: dict[Node, list[Node]] = {}
    while waiting:
        here = waiting.pop()
        children = here.node.children
        if len(children) > 1:
            latest = here.node.span.end + noise(here.node.span)
            # A generator that nobody has closed is not waited for, but those that used it are.
            inner = {child: outer for child, outer in interleaved(children).items() if outer.span.end <= latest}
            for child, outer in inner.items():
                suspended.setdefault(outer, []).append(child)
            children = [child for child in children if child not in inner] if inner else children
        children = children + suspended.pop(here.node, [])
        if children:
            _follow(here, children, waiting, found)
        elif here.end > here.start:
            found.append(Segment(*here))
    found.sort(key=_start)
    return found


def interleaved(children: list[Node]) -> dict[Node, Node]:
    """Return which of `children`, in the order of their start, ran in the lane and time of which other one of them."""
    found: dict[Node, Node] = {}
    around: dict[tuple[str, str], list[Node]] = {}
    for node in children:
        span = node.span
        if not span.lane:
            continue
        here = around.setdefault(_lane(node), [])
        while here and here[-1].span.end < span.end:
            here.pop()
        if here:
            found[node] = here[-1]
        # Of a call to elsewhere, such as a future of gRPC's, the lane is but the one that it was sent from.
        if span.kind == INTERNAL:
            here.append(node)
    return found


def _start(part: Segment) -> int:
    return part.start


def _follow(here: _Clipped, children: list[Node], waiting: list[_Clipped], found: list[Segment]) -> None:
    """Go through the time of `here` from its end: own time becomes segments, children are left to be followed."""
    node, start, time = here
    noisy = noise(node.span)
    own = lane = _lane(node)
    everywhere = _awaited(here, children, noisy)
    in_lane = _by_lane(everywhere, own)
    while True:
        child = _latest(in_lane.get(lane), time, noisy) if lane != own else None
        # Back in the parent, which may have joined any of its tasks.
        child = child or _latest(everywhere, time, noisy)
        if child is None:
            break
        end = min(child.end, time)
        if end < time:
            found.append(Segment(node, end, time))
        waiting.append(_Clipped(child.node, child.start, end))
        time = child.start
        lane = _lane(child.node)
    if time > start:
        found.append(Segment(node, start, time))


def _awaited(here: _Clipped, beneath: list[Node], noisy: int) -> list[_Clipped]:
    """Return those `beneath` that may have been waited for, in the order of their end."""
    node, start, end = here
    span = node.span
    latest = span.end + noisy
    children = []
    for child in beneath:
        its = child.span
        if its.end > latest and its.process == span.process and its.service == span.service:
            continue  # Nobody waited. (In another process, it is the clock that differs.)
        if its.kind == CONSUMER and span.kind == PRODUCER:
            continue
        begin, stop = max(its.start, start), min(its.end, end)
        if stop > begin:
            children.append(_Clipped(child, begin, stop))
    # Of those that end together the one that began first was the longest to wait for.
    children.sort(key=_by_end)
    return children


def _by_end(child: _Clipped) -> tuple[int, int]:
    return child.end, -child.start


def _lane(node: Node) -> tuple[str, str]:
    # Threads of two processes may have the same number.
    return node.span.process, node.span.lane


def _by_lane(children: list[_Clipped], own: tuple[str, str]) -> dict[tuple[str, str], list[_Clipped]]:
    lanes: dict[tuple[str, str], list[_Clipped]] = {}
    for child in children:
        lane = _lane(child.node)
        if lane != own:
            lanes.setdefault(lane, []).append(child)
    return lanes


def _latest(children: list[_Clipped] | None, time: int, noisy: int) -> _Clipped | None:
    """Take out of `children`, and return, the last one that had ended by `time`.

    Those behind it ran beside what is on the path already, and since time only goes back, they are of no more use.
    """
    while children:
        child = children.pop()
        if child.end <= time + noisy and child.start < time:
            return child
    return None

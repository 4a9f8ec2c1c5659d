"""Siblings that are alike, on one line: this file is about which spans share a line, and which never do.

- Three or more in a row that are alike share one. So do those of a pattern of up to eight that comes three times or
  more: each of its members is a line, where it comes first (`SELECT a; SELECT b` a hundred times are two lines).
- Two spans are alike if their shape is, their service, how they failed, and all that is below them; what is below them
  is shown for the first one only. Of three or more in a row below them it does not matter how many they are.
- What failed never shares a line with what did not, and only where the same failure comes six times or more do
  failures share one. A span that is still open is alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from otel_run.view.labels import failure
from otel_run.view.shapes import shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from otel_run.view.shapes import Shape
    from otel_run.view.tree import Node

_LONGEST_PATTERN = 8
_TIMES, _TIMES_OF_FAILED = 3, 6
# Of one span's descendants: more of them are a part of the program, and not a repeated call.
_MOST_BELOW = 64


class _Kind(NamedTuple):
    """What a span must have in common with another one to share a line with it, but for what is below them."""

    shape: Shape
    failure: str
    service: str


def fold(children: list[Node]) -> list[list[Node]]:
    """Return siblings, which are in the order of their start, in groups: each is one line, and most are of one."""
    if len(children) < _TIMES:
        return [[child] for child in children]
    numbers, failed = _numbered(children)
    return [[children[at] for at in group] for group in _groups(numbers, failed)]


def _numbered(children: list[Node]) -> tuple[list[int], set[int]]:
    """Return a number for each child, the same for those that are alike; and the numbers of those that failed."""
    kinds = [_kind(child) for child in children]
    counts = Counter(kinds)
    known: dict[Hashable, int] = {}
    failed: set[int] = set()
    numbers = []
    for child, kind in zip(children, kinds, strict=True):
        # What is below is looked at only where it matters.
        below = _below(child) if counts[kind] >= _TIMES else None
        number = known.setdefault(child if below is None else (kind, below), len(known))
        numbers.append(number)
        if below is not None and (kind.failure or any(part.failure for _, part in below)):
            failed.add(number)
    return numbers, failed


def _kind(node: Node) -> _Kind:
    return _Kind(shape(node.span), failure(node), node.span.service)


def _below(node: Node) -> tuple[tuple[int, _Kind], ...] | None:
    """Return what is below `node`, with its depth; None if that is too much, or something is still open."""
    if node.span.is_open:
        return None
    found: list[tuple[int, _Kind]] = []
    waiting = [(1, child) for child in reversed(node.children[: _MOST_BELOW + 1])]
    seen = 0
    while waiting:
        depth, below = waiting.pop()
        seen += 1
        if seen > _MOST_BELOW or below.span.is_open:
            return None
        part = depth, _kind(below)
        if found[-_TIMES:] != [part] * _TIMES:
            found.append(part)
        waiting += [(depth + 1, child) for child in reversed(below.children[: _MOST_BELOW + 1])]
    return tuple(found)


def _groups(numbers: list[int], failed: set[int]) -> Iterator[list[int]]:
    """Yield the places that share a line, by the first of them."""
    going_on = _going_on(numbers)
    at = 0
    while at < len(numbers):
        length = _stretch(numbers, failed, going_on, at)
        members: dict[int, list[int]] = {}
        for place in range(at, at + length):
            # In a pattern of SELECT, SELECT, GET the first two are one line.
            members.setdefault(numbers[place], []).append(place)
        yield from members.values()
        at += length


def _stretch(numbers: list[int], failed: set[int], going_on: list[list[int]], at: int) -> int:
    """Return how many places from `at` on are the longest repetition of one pattern; 1 if there is none."""
    longest = 1
    for period in range(1, _LONGEST_PATTERN + 1):
        again = going_on[period][at]
        if again < (_TIMES - 1) * period or again + period <= longest:
            continue
        if again < (_TIMES_OF_FAILED - 1) * period and not failed.isdisjoint(numbers[at : at + period]):
            continue
        longest = again + period
    return longest


def _going_on(numbers: list[int]) -> list[list[int]]:
    """Return by period and place for how many places the numbers come again one period later."""
    count = len(numbers)
    found = [[0] * (count + 1)]
    for period in range(1, _LONGEST_PATTERN + 1):
        again = [0] * (count + 1)
        for at in range(count - period - 1, -1, -1):
            if numbers[at] == numbers[at + period]:
                again[at] = again[at + 1] + 1
        found.append(again)
    return found

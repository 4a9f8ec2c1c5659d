"""Where each line of a tree stands: this file is about what is before its text, and which levels are left out.

A level is indented by four cells, as far as there is room for all levels of the trace; then by two, from the eighth
level on in any case. Where even that is too deep, one line stands for the levels that are left out, and below it are
the lines that a reader looks for: those with a note, and the one that has most of the critical path (of several the
deepest, which is where the time is).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.view.story import Row

# Levels that are indented by four cells, and levels that are shown; two more may be below a line of `… 5 levels`.
_WIDE, _DEEPEST, _MORE = 8, 12, 2
_ROOM = 4 * _WIDE + 2 * (_DEEPEST + _MORE - _WIDE)
# What a line needs for its text, and what the tree has in any case.
_FOR_TEXT, _LEAST = 36, 16


class Left(NamedTuple):
    """What is left out below a line: so many levels, and so many spans."""

    levels: int
    spans: int


class Placed(NamedTuple):
    """A line: what is before it, and what it is about: a row, what is left out, or words."""

    prefix: str
    subject: Row | Left | str


class Signs(NamedTuple):
    """The characters that a tree consists of, each as four cells and as two."""

    # Before a line that others follow, and before the last one; then below each of them.
    one: tuple[str, str]
    last: tuple[str, str]
    below_one: tuple[str, str]
    below_last: tuple[str, str]
    # Before what ran beside others.
    one_parallel: tuple[str, str]
    last_parallel: tuple[str, str]


UNICODE = Signs(("├── ", "├ "), ("└── ", "└ "), ("│   ", "│ "), ("    ", "  "), ("├─∥ ", "├ ∥ "), ("└─∥ ", "└ ∥ "))
ASCII = Signs(("|-- ", "| "), ("`-- ", "` "), ("|   ", "| "), ("    ", "  "), ("|-= ", "| = "), ("`-= ", "` = "))

# What will be a line, what is below it, and its level; what is before the line, and before those below it.
_Waiting: TypeAlias = "tuple[Row | Left | str, list[Row], int, str, str]"


def place(roots: list[Row], orphans: list[Row], signs: Signs, width: int | None) -> Iterator[Placed]:
    """Yield the lines of a trace in their order, `orphans` last, below a line that says so; `width` is in cells."""
    heights = _heights([*roots, *orphans])
    wide, shown = _plan(max([heights[row] for row in roots] + [heights[row] + 1 for row in orphans]), width)
    waiting: list[_Waiting] = [("(parent not seen)", orphans, 0, "", "")] if orphans else []
    waiting += [(row, row.children, 0, "", "") for row in reversed(roots)]
    while waiting:
        subject, children, level, prefix, below = waiting.pop()
        yield Placed(prefix, subject)
        if not children:
            continue
        size = int(level >= wide)
        if level == shown and 1 + max(heights[row] for row in children) > _MORE:
            left, kept = _left_out(children)
            waiting.append((left, kept, level + 1, below + signs.last[size], below + signs.below_last[size]))
            continue
        is_last = True
        for row in reversed(children):
            ends = (signs.last_parallel, signs.last) if is_last else (signs.one_parallel, signs.one)
            before = below + ends[0 if row.is_parallel else 1][size]
            under = below + (signs.below_last if is_last else signs.below_one)[size]
            waiting.append((row, [] if isinstance(subject, Left) else row.children, level + 1, before, under))
            is_last = False


def _plan(deepest: int, width: int | None) -> tuple[int, int]:
    """Return how many levels are indented by four cells, and the last level below which some may be left out."""
    room = _ROOM if width is None else max(_LEAST, min(_ROOM, width - _FOR_TEXT))
    shown = min(_DEEPEST, room // 2 - _MORE)
    return max(0, min(_WIDE, room // 2 - min(deepest, shown + _MORE))), shown


def _heights(rows: list[Row]) -> dict[Row, int]:
    """Return how many levels are below each row."""
    # The list grows while it is gone through; backwards, each comes after those below it.
    found = list(rows)
    for row in found:
        found += row.children
    heights: dict[Row, int] = {}
    for row in reversed(found):
        heights[row] = 1 + max(heights[child] for child in row.children) if row.children else 0
    return heights


def _left_out(rows: list[Row]) -> tuple[Left, list[Row]]:
    """Return what is left out of these rows and all below them, and the lines that are shown in their place."""
    ordered: list[tuple[Row, int]] = []
    waiting = [(row, 0) for row in reversed(rows)]
    while waiting:
        row, level = waiting.pop()
        ordered.append((row, level))
        waiting += [(child, level + 1) for child in reversed(row.children)]
    longest, _ = max(ordered, key=lambda found: (found[0].own_on_path, found[1]))
    left = [(row, level) for row, level in ordered if row.note is None and row is not longest]
    kept = [row for row, _ in ordered if row.note is not None or row is longest]
    return Left(len({level for _, level in left}), sum(len(row.nodes) for row, _ in left)), kept

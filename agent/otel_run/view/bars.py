"""A column before each line with the place of its spans in the trace: `▕██▌   ▏`.

Where each begins and ends is true to half a cell, and what takes no time to speak of is still seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_run.view.story import Row

_CELLS = 14
# The column and the blank behind it.
WIDTH = _CELLS + 3
BLANK = " " * WIDTH
# By what of a cell is covered: nothing, its left half, its right half, all.
_UNICODE, _ASCII = " ▌▐█", " ###"


def bar(row: Row, start: int, end: int, is_ascii: bool) -> str:
    """Return the column of a row in a trace that takes from `start` to `end`."""
    signs = _ASCII if is_ascii else _UNICODE
    halves = bytearray(2 * _CELLS)
    whole = max(1, end - start)
    for node in row.nodes:
        first = _half(node.span.start - start, whole)
        # The end is not part of it: what ends where the other begins does not cover the same half.
        last = max(first, _half(max(node.span.end, node.span.start) - start - 1, whole))
        halves[first : last + 1] = b"\1" * (last + 1 - first)
    cells = "".join(signs[halves[at] + 2 * halves[at + 1]] for at in range(0, 2 * _CELLS, 2))
    return f"|{cells}| " if is_ascii else f"▕{cells}▏ "


def _half(offset: int, whole: int) -> int:
    return max(0, min(2 * _CELLS - 1, offset * 2 * _CELLS // whole))

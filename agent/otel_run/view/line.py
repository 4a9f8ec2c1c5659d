"""One line of a tree: this file is about what stands on it, and what is shortened when there is no room for all.

In this order: what share of the trace it is; the note to its first part; the median of several; the label down to 24
cells; the note to what there is room for, or nothing; how it failed to the mark alone; the label further. Never the
duration, never the mark.
"""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from otel_run.view.cells import ascii_only, printable, shortened, shortened_label, width
from otel_run.view.durations import duration

if TYPE_CHECKING:
    from otel_run.view.story import Row

# What no line exceeds, even where nothing is cut: it came from strangers.
LONGEST = 10_000
_LABEL, _NOTE, _FAILURE = 24, 12, 40
_SHARE = re.compile(r"\d+(\.\d+)? ?% of the trace")

_RED, _BOLD_RED, _YELLOW, _FAINT, _PLAIN = "\x1b[31m", "\x1b[1;31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


class Words(NamedTuple):
    """What lines contain that is not from the trace."""

    note: str
    failed: str
    times: str
    more: str


UNICODE = Words("  ← ", " ✗", "× ", "…")  # noqa: RUF001 - what a person reads as "times"
ASCII = Words("  <- ", " x", "x ", "...")


class Line:
    """The parts of a line, each printable as it is."""

    def __init__(self, row: Row, words: Words, names_service: bool) -> None:
        """Take the parts of a row; a service is named where it begins if there are several."""
        self._words = words
        self._clean = _clean_ascii if words is ASCII else _clean
        is_open = any(node.span.is_open for node in row.nodes)
        several = len(row.nodes)
        self._count = f"{several}{words.times}" if several > 1 else ""
        service = f"{shortened(self._clean(row.service), 30, words.more)}: " if names_service and row.service else ""
        self._label = service + self._clean(row.label)
        self._median = f" (median {duration(_median(row))})" if several > 1 else ""
        self._took = f" [{duration(row.duration)}{f' {words.more} still running' if is_open else ''}]"
        # Where there is no room, the dots alone say that there is more to come.
        self._short_took = f" [{duration(row.duration)} {words.more}]" if is_open else self._took
        self._mark = words.failed if row.failure else ""
        failure = shortened(self._clean(row.failure), _FAILURE, words.more)
        self._failure = f" {failure}" if failure else ""
        self._notes = _notes([self._clean(part) for part in row.note.parts]) if row.note is not None else [""]

    def text(self, prefix: str, room: int | None, share: float | None) -> str:
        """Return the line, in `room` cells if that is limited; in colour if its `share` of the trace is given."""
        label, middle, took, failure, note = self._fitted(None if room is None else room - width(prefix))
        note = self._words.note + note if note else ""
        if share is None:
            return f"{prefix}{self._count}{label}{middle}{took}{self._mark}{failure}{note}"
        colour = _RED if share >= 0.6 else _YELLOW if share >= 0.2 else "" if share >= 0.05 else _FAINT
        text = f"{prefix}{colour}{self._count}{label}{middle}{took}{_PLAIN if colour else ''}"
        return f"{text}{_BOLD_RED}{self._mark}{failure}{_PLAIN}{note}" if self._mark else f"{text}{note}"

    def _fitted(self, room: int | None) -> tuple[str, str, str, str, str]:
        """Return label, median, duration, failure and note, as they go into `room` cells."""
        whole = self._label, self._median, self._took, self._failure, self._notes[0]
        if room is None:
            return whole
        fixed = len(self._count) + len(self._mark)
        arrow = len(self._words.note)
        cells = width(self._label)
        failure = width(self._failure)

        def left(middle: str, took: str, has_failure: bool, note: str) -> int:
            """Return how many cells are left for the label."""
            behind = len(middle) + len(took) + (failure if has_failure else 0)
            return room - fixed - behind - (arrow + width(note) if note else 0)

        # The label has not been touched yet.
        for note in self._notes:
            if left(self._median, self._took, True, note) >= cells:
                return self._label, self._median, self._took, self._failure, note
        note = self._notes[-1]
        least = min(cells, _LABEL)
        for took in dict.fromkeys((self._took, self._short_took)):
            if left("", took, True, note) >= least:
                label = shortened_label(self._label, left("", took, True, note), self._words.more)
                return label, "", took, self._failure, note
        took = self._short_took
        for_note = left("", took, True, "") - least - arrow
        note = shortened(note, for_note, self._words.more) if note and for_note >= _NOTE else ""
        has_failure = left("", took, True, note) >= least
        label = shortened_label(self._label, max(1, left("", took, has_failure, note)), self._words.more)
        return label, "", took, self._failure if has_failure else "", note


def _notes(parts: list[str]) -> list[str]:
    """Return a note in the forms that it may have, from the longest to the shortest."""
    without_share = [part for part in parts if not _SHARE.fullmatch(part)] or parts
    return list(dict.fromkeys(", ".join(some) for some in (parts, without_share, without_share[:1])))


def _median(row: Row) -> int:
    return int(median(node.span.duration for node in row.nodes))


def _clean(text: str) -> str:
    return printable(text[:LONGEST])


def _clean_ascii(text: str) -> str:
    return ascii_only(printable(text[:LONGEST]))

"""What goes on for long, and has not ended: now and then one line, `… ProcessOrder 3.2s in POST http://... (2.9s)`.

A whole line, and never one that is drawn anew in its place: nobody knows where on a terminal the program's own output
has come to, and to go back there would destroy it. The longest alone is told, and of the process itself only what it
waits for: a program that asks a question shall not be interrupted.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from otel_run.export.tree_spans import still, to_view
from otel_run.view.cells import printable
from otel_run.view.durations import duration
from otel_run.view.labels import label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.export.tree_segments import Known

FIRST_ON_TERMINAL = 2_000_000_000  # ns
FIRST = 10_000_000_000  # ns
EVERY = 1.0  # seconds between two looks
_PROCESS = "otel_run.process"


class Status:
    """Tells of the longest open root."""

    def __init__(self, known: Known, mask: Callable[[ReadableSpan], ReadableSpan]) -> None:
        self._known = known
        self._mask = mask
        self._looked_at = 0.0
        # id of a root -> at which age to tell of it again, in ns.
        self._next: dict[int, int] = {}

    def line(self, now: float, is_terminal: Callable[[], bool]) -> str:
        """Return a line if it is time for one, else an empty text."""
        if now - self._looked_at < EVERY:
            return ""
        self._looked_at = now
        at = time_ns()
        opened = dict(self._known.open)
        self._next = {root: age for root, age in self._next.items() if root in opened}
        if not any(at - (span._start_time or at) >= FIRST_ON_TERMINAL for span in opened.values()):
            return ""
        first = FIRST_ON_TERMINAL if is_terminal() else FIRST
        found = self._longest(opened, at, first)
        if found is None:
            return ""
        root, inner = found
        age = at - (root._start_time or at)
        self._next[_id(root)] = 2 * max(age, FIRST) if age >= FIRST else FIRST
        text = f"… {self._label(root)} {duration(age)}"
        return text if inner is root else f"{text} in {self._label(inner)} ({duration(at - (inner._start_time or at))})"

    def _longest(
        self, opened: Mapping[int, ReadableSpan], at: int, first: int
    ) -> tuple[ReadableSpan, ReadableSpan] | None:
        """Return the root that is open for longest, of those that are to be told, and what it is in."""
        latest: dict[int, ReadableSpan] = {}
        roots = []
        for span in opened.values():
            parent = span._parent
            if parent is None or parent.span_id not in opened:
                roots.append(span)
            else:
                latest[parent.span_id] = span  # in the order of their beginning
        for root in sorted(roots, key=lambda span: span._start_time or 0):
            inner = root
            while _id(inner) in latest:
                inner = latest.pop(_id(inner))
            is_told = at - (root._start_time or at) >= self._next.get(_id(root), first)
            if is_told and (inner is not root or not _is_process(root)):
                return root, inner
        return None

    def _label(self, span: ReadableSpan) -> str:
        return printable(label(to_view(self._mask(still(span)))))


def _id(span: ReadableSpan) -> int:
    return span._context.span_id if span._context is not None else 0


def _is_process(span: ReadableSpan) -> bool:
    scope = span._instrumentation_scope
    return scope is not None and scope.name == _PROCESS

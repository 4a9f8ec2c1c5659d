"""Traces that are still arriving: which of them to tell now, and which to forget when there are too many.

A trace is told when its root is there, or nothing more of it has come for a moment; and again when more comes. One
that changes all the time is told the more seldom the longer it takes to tell.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_run.view.span import Span

MOST_TRACES = 2_000
MOST_SPANS = 200_000
MOST_BYTES = 256 << 20  # about what the spans take
_SPAN = 1_000  # bytes, without what it holds
_QUIET = 0.3  # seconds
_LATEST = 1.0  # seconds after which one is told that is never quiet
_SHARE = 4  # times as long as the telling took there is a pause after it


@dataclass(slots=True, eq=False)
class Held:
    """The spans of one trace, and when it has changed and was told; times by the monotonic clock."""

    spans: dict[str, Span] = field(default_factory=dict)
    size: int = 0
    has_root: bool = False
    # Of the changes that were not told yet, the first and the last.
    first_change: float = 0.0
    last_change: float = 0.0
    is_told: bool = True
    not_before: float = 0.0

    def due(self) -> float:
        """Return from when on it is to be told."""
        quiet = self.first_change if self.has_root else min(self.last_change + _QUIET, self.first_change + _LATEST)
        return max(quiet, self.not_before)


class Arriving:
    """The traces that are held; used by all threads."""

    def __init__(
        self, most_traces: int = MOST_TRACES, most_spans: int = MOST_SPANS, most_bytes: int = MOST_BYTES
    ) -> None:
        """Hold no more than these."""
        self._most = most_traces, most_spans, most_bytes
        # The one that changed last is the last one.
        self._traces: OrderedDict[str, Held] = OrderedDict()
        self._spans = self._bytes = 0
        self._changed = threading.Condition()
        self._untold: set[str] = set()
        self.forgotten = 0

    def take(self, spans: Iterable[Span]) -> None:
        """Take spans in; the traces that nothing was added to for longest make room."""
        now = time.monotonic()
        with self._changed:
            for span in spans:
                self._add(span, now)
            while self._is_too_much() and len(self._traces) > 1:
                self._forget()
            self._changed.notify_all()

    def _add(self, span: Span, now: float) -> None:
        held = self._traces.get(span.trace_id)
        if held is None:
            held = self._traces[span.trace_id] = Held()
        size = _size(span)
        before = held.spans.get(span.id)
        if before is None:
            # The last trace of all can't make room for itself.
            if len(held.spans) >= self._most[1] or held.size + size > self._most[2]:
                return
            self._spans += 1
        else:
            size -= _size(before)
        held.spans[span.id] = span
        held.size += size
        self._bytes += size
        held.has_root |= not span.parent_id
        held.last_change = now
        if held.is_told:
            held.is_told, held.first_change = False, now
            self._untold.add(span.trace_id)
        self._traces.move_to_end(span.trace_id)

    def _is_too_much(self) -> bool:
        traces, spans, size = self._most
        return len(self._traces) > traces or self._spans > spans or self._bytes > size

    def _forget(self) -> None:
        trace_id, held = self._traces.popitem(last=False)
        self._untold.discard(trace_id)
        self._spans -= len(held.spans)
        self._bytes -= held.size
        self.forgotten += 1

    def next(self, patience: float) -> list[Span]:
        """Wait for a trace that is to be told, and return its spans; nothing if there is none for so many seconds."""
        end = time.monotonic() + patience
        with self._changed:
            while True:
                now = time.monotonic()
                due, trace_id = min(((self._traces[one].due(), one) for one in self._untold), default=(end, ""))
                if trace_id and due <= now:
                    self._untold.remove(trace_id)
                    held = self._traces[trace_id]
                    held.is_told = True
                    held.not_before = now + _QUIET
                    return list(held.spans.values())
                if now >= end:
                    return []
                self._changed.wait(min(due, end) - now)

    def took(self, trace_id: str, seconds: float) -> None:
        """Note how long the telling of a trace has taken."""
        with self._changed:
            if held := self._traces.get(trace_id):
                held.not_before = time.monotonic() + max(_QUIET, _SHARE * seconds)

    def holds(self, trace_id: str) -> bool:
        """Tell whether a trace was not forgotten yet."""
        with self._changed:
            return trace_id in self._traces


def _size(span: Span) -> int:
    """Return about how many bytes a span takes."""
    size = _SPAN + len(span.name) + len(span.message)
    waiting: list[object] = [span.attributes, *(event.attributes for event in span.events)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (str, bytes)):
            size += len(value)
        elif isinstance(value, dict):
            size += sum(map(len, value)) + 100 * len(value)
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            size += 100 * len(value)
            waiting += value
    return size

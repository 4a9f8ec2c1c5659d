"""Spans that have ended and are not delivered: in order, bounded by their number and by the weight of their texts.

When it is full, new ones are dropped and the oldest kept: they tell how it began. One side is the program's, and adds;
the other is whoever sends, and takes. No step of either can be interrupted half-way, so there is no lock that a signal
handler or a destructor could find taken.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from otel_run.export.weight import weigh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan


# Weighing takes longer than queueing, so of so many spans one is, for all. A prime, as requests come in a rhythm.
ONE_IN = 13


class Queue:
    """The spans of one exporter."""

    __slots__ = ("_held_weight", "_most_weight", "_weights", "held", "spans")

    def __init__(self, most_weight: int) -> None:
        """`most_weight` bounds the characters of long texts."""
        self.spans: deque[ReadableSpan] = deque()
        self._most_weight = most_weight
        # id of a span in it -> what it and those around it weigh, for the few that have long texts.
        self._weights: dict[int, int] = {}
        # Spans that were taken and are not delivered; packed, their bytes are all that is left.
        self.held = 0
        self._held_weight = 0

    def waiting(self) -> int:
        """Return how many spans are not delivered."""
        return len(self.spans) + self.held

    def is_too_heavy(self, span: ReadableSpan) -> bool:
        """Tell whether there is no room for a span that stands for ONE_IN; if there is, take account of it."""
        weight = weigh(span)
        if weight:
            if weight + sum(list(self._weights.values())) + self._held_weight > self._most_weight:
                return True
            self._weights[id(span)] = weight * ONE_IN
        return False

    def take(self, most: int) -> Iterator[ReadableSpan]:
        """Take the spans of one batch, one by one, so that none is kept longer than it is needed."""
        for _ in range(min(most, len(self.spans))):
            # Counted before it is gone: a flush must not find it in neither place.
            self.held += 1
            span = self.spans.popleft()
            if self._weights:
                self._held_weight += self._weights.pop(id(span), 0)
            yield span

    def let_go(self) -> int:
        """Forget what was taken; return how many spans that were."""
        held, self.held, self._held_weight = self.held, 0, 0
        return held

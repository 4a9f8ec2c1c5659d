"""Whether a receiver takes our spans, what was lost, when to try again; and the one line for each change."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from otel_run import report

if TYPE_CHECKING:
    from otel_run.export.sender import Outcome

_FIRST_RETRY, _LAST_RETRY, _LONGEST_PAUSE = 1.0, 30.0, 300.0  # seconds


class State:
    """The state of one exporter."""

    def __init__(self, unit: str, queue_size: int) -> None:
        self._unit = unit
        self._queue_size = queue_size
        self._reason = ""
        self._retry = _FIRST_RETRY
        self._not_before = 0.0
        # Spans that found the queue full, and spans that were refused or had no exporter.
        self._dropped = 0
        self._lost = 0
        self._is_full = False
        self._told = 0

    def pause(self) -> float:
        """Return how many seconds to wait before the next try, 0 if none."""
        return max(0.0, self._not_before - time.monotonic()) if self._reason else 0.0

    def drop(self, count: int) -> None:
        """Count spans that found the queue full; say so when it begins, unless the receiver is known to be away."""
        self._dropped += count
        if not self._is_full and not self._reason:
            hint = "hint: OTEL_BSP_MAX_QUEUE_SIZE, or a ratio below 1"
            report.warn(self._unit, "queue full", f"spans are made faster than they are sent; new ones drop. {hint}")
        self._is_full = True

    def lose(self, count: int) -> None:
        """Count spans that can't be delivered."""
        self._lost += count

    def delivered(self, destination: str) -> None:
        """Note that the receiver takes spans."""
        self._is_full = False
        self._retry = _FIRST_RETRY
        if not self._reason:
            return
        gone = self._gone()
        told = f"{_spans(gone)} dropped in the meantime" if gone else "no span was lost"
        report.warn(self._unit, "back", f"{destination} takes spans again, {told}")
        self._reason = ""
        self._told = gone

    def failed(self, outcome: Outcome, destination: str, waiting: int, size: int, is_last: bool) -> None:
        """Note that it doesn't, with `waiting` spans in all and `size` in this batch; decide when to try again."""
        # What the receiver asks for, but never sooner than we would have come by ourselves.
        jitter = 0.8 + os.urandom(1)[0] / 640  # 0.8 to 1.2; the program's `random` may be seeded
        self._not_before = time.monotonic() + min(max(outcome.after or 0.0, self._retry * jitter), _LONGEST_PAUSE)
        self._retry = min(self._retry * 2, _LAST_RETRY)
        is_told = self._reason or (is_last and self._gone() + waiting <= self._told)
        self._reason = self._reason or outcome.reason
        if is_told:
            return
        what = self._consequence(outcome, waiting, size, is_last)
        report.warn(self._unit, "down", f"{destination}: {outcome.reason}; {what}")

    def _consequence(self, outcome: Outcome, waiting: int, size: int, is_last: bool) -> str:
        if not outcome.retry:
            self._told = self._gone() + size
            refused = f"{_spans(size)} refused and dropped"
            return f"{refused}, and so on until it takes them. hint: its log, and {outcome.hint}"
        if is_last:
            self._told = self._gone() + waiting
            return f"{_spans(self._told)} lost. hint: is a collector there? OTEL_EXPORTER_OTLP_ENDPOINT says where"
        return f"up to {_spans(self._queue_size)} are kept and sent when it is back"

    def end(self, waiting: int, destination: str, budget: float) -> None:
        """Say at the end how many spans are lost, unless just that has been said."""
        lost = self._gone() + waiting
        if lost <= self._told:
            return
        self._told = lost
        if waiting:
            why = f"{destination}: {self._reason or f'no answer within {budget:g} s of exit'}"
        elif self._dropped:
            why = "the queue was full"
        else:
            why = f"{destination}: {self._reason or 'it could not be set up'}"
        report.warn(self._unit, f"{_spans(lost)} lost", why)

    def _gone(self) -> int:
        return self._dropped + self._lost


def _spans(number: int) -> str:
    return f"{number} span{'' if number == 1 else 's'}"

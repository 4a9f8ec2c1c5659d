"""Whether a receiver takes our spans, what was lost and why, when to try again; and the one line for each change.

It is a circuit breaker: after a failure nothing is tried until some time has passed, then one batch; and longer each
time that fails, too. What is said is said by whoever sends, never in the middle of the program's own work.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from otel_run import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.export.sender import Outcome

_FIRST_RETRY, _LAST_RETRY, _LONGEST_PAUSE = 1.0, 30.0, 300.0  # seconds
_AGAIN = 3600.0  # seconds after which what lasts is said again
_CALM = 60.0  # seconds without a drop, after which a queue is no longer full

# Why spans are lost, in the words of the report.
FULL = "the queue was full"
HEAVY = "the queue was full of long texts"
REFUSED = "the receiver refused them"
BROKEN = "they could not be encoded"
NOWHERE = "the exporter could not be set up"
AGED = "in the spool they were the oldest when it was full, refused, or unreadable"

_CAUSES = {
    FULL: "spans are made faster than they are sent",
    HEAVY: "spans with long texts are made faster than they are sent",
}
_HINTS = {
    FULL: "OTEL_BSP_MAX_QUEUE_SIZE, or a ratio below 1",
    HEAVY: "OTEL_RUN_QUEUE_MAX_BYTES, or OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
}
# Where to look if nothing ever came there.
_RECEIVER = "is a collector there? OTEL_EXPORTER_OTLP_ENDPOINT says where"
_WHERE = {"exporter file": "OTEL_RUN_FILE says where to write"}


class State:
    """The state of one exporter."""

    def __init__(
        self, unit: str, queue_size: int, spool: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`spool` is the folder for what can't be delivered, if there is one; `clock` gives seconds."""
        self._unit = unit
        self._queue_size = queue_size
        self._spool = spool
        self._clock = clock
        # How many spans are lost, by reason; how many of them have been said, and how many there were at the failure.
        # All reasons are there from the beginning, so that to add to one is a single step: many threads do at once.
        self._lost = dict.fromkeys((FULL, HEAVY, REFUSED, BROKEN, NOWHERE, AGED), 0)
        self._told = 0
        self._lost_before = dict(self._lost)
        # Spans that wait in the spool.
        self._kept = 0
        # Why the receiver takes none; empty as long as it does.
        self._reason = ""
        self._has_delivered = False
        self._is_told = False
        self._told_at = 0.0
        self._retry = _FIRST_RETRY
        self._not_before = 0.0
        # Why the queue takes none, and how many were lost before.
        self._full = ""
        self._lost_before_full = dict(self._lost)
        self._is_full_told = False
        self._dropped_at = 0.0
        self._is_too_late = False

    @property
    def is_up(self) -> bool:
        """Whether the last export was delivered."""
        return self._has_delivered and not self._reason

    @property
    def is_down(self) -> bool:
        """Whether the last export failed."""
        return bool(self._reason)

    def pause(self) -> float:
        """Return how many seconds to wait before the next try, 0 if none."""
        return max(0.0, self._not_before - self._clock()) if self._reason else 0.0

    def drop(self, reason: str) -> None:
        """Count one span that the queue did not take. For the program's threads: nothing is said here."""
        self.lose(reason, 1)
        self._full = reason
        self._dropped_at = self._clock()

    def lose(self, reason: str, count: int) -> None:
        """Count spans that can't be delivered."""
        self._lost[reason] += count

    def keep(self, count: int) -> None:
        """Count spans that wait in the spool."""
        self._kept += count

    def delivered(self, destination: str) -> None:
        """Note that the receiver takes spans."""
        self._retry = _FIRST_RETRY
        self._has_delivered = True
        if not self._reason:
            return
        lost = self._lost_since(self._lost_before)
        told = f"{_spans(sum(lost.values()))} dropped in the meantime: {_why(lost)}" if lost else "no span was lost"
        kept = f"; {_spans(self._kept)} in {self._spool} follow" if self._kept else ""
        report.warn(self._unit, "back", f"{destination} takes spans again, {told}{kept}")
        self._reason, self._is_told = "", False
        self._kept = 0
        self._told = self._gone()
        self._forget_full()

    def failed(self, outcome: Outcome, destination: str, size: int, is_last: bool) -> None:
        """Note that it doesn't, with `size` spans in this batch; decide when to try again.

        Of a last try `end` tells what comes of it, unless the batch is refused for good.
        """
        now = self._clock()
        if not self._reason:
            self._lost_before = dict(self._lost)
            if self._full:
                # While it was found out, the queue has filled: that is part of it.
                self._lost_before.update({why: self._lost_before_full[why] for why in _CAUSES})
        self._reason = outcome.reason
        # What the receiver asks for, but never sooner than we would have come by ourselves.
        jitter = 0.8 + os.urandom(1)[0] / 640  # 0.8 to 1.2; the program's `random` may be seeded
        self._not_before = now + min(max(outcome.after or 0.0, self._retry * jitter), _LONGEST_PAUSE)
        self._retry = min(self._retry * 2, _LAST_RETRY)
        if is_last and outcome.retry:
            return
        if not self._is_told:
            self._is_told, self._told_at = True, now
            report.warn(self._unit, "down", f"{destination}: {outcome.reason}; {self._consequence(outcome, size)}")
        elif now - self._told_at >= _AGAIN:
            self._told_at = now
            lost = self._lost_since(self._lost_before)
            so_far = f"{_spans(sum(lost.values()))} lost so far: {_why(lost)}" if lost else "no span is lost yet"
            report.warn(self._unit, "still down", f"{destination}: {outcome.reason}; {so_far}")

    def _consequence(self, outcome: Outcome, size: int) -> str:
        if not outcome.retry:
            self._told = self._gone() + size
            refused = f"{_spans(size)} refused and dropped"
            return f"{refused}, and so on until it takes them. hint: its log, and {outcome.hint}"
        if self._spool:
            return f"full batches are kept in {self._spool} and sent when it is back"
        return f"up to {_spans(self._queue_size)} are kept and sent when it is back"

    def tell_full(self) -> None:
        """Say that the queue takes none, that it still does not, or that it does again.

        Not while the receiver is known to be away: that is the reason then, and has been said.
        """
        if not self._full or self._reason:
            return
        now = self._clock()
        if not self._is_full_told:
            self._is_full_told, self._told_at = True, now
            report.warn(self._unit, "queue full", f"{_CAUSES[self._full]}; new ones drop. hint: {_HINTS[self._full]}")
        elif now - self._dropped_at >= _CALM:
            dropped = self._dropped()
            report.warn(self._unit, "queue has room again", f"{_spans(dropped)} dropped in the meantime")
            self._told += dropped
            self._forget_full()
        elif now - self._told_at >= _AGAIN:
            self._told_at = now
            report.warn(self._unit, "queue still full", f"{_spans(self._dropped())} dropped so far")

    def tell_too_late(self) -> None:
        """Say, once, that what ends now can't be sent."""
        if not self._is_too_late:
            self._is_too_late = True
            report.warn(self._unit, "too late", "what ends in destructors now is lost: nothing was sent before")

    def _dropped(self) -> int:
        """Return how many spans the queue has not taken since it was full."""
        lost = self._lost_since(self._lost_before_full)
        return sum(lost.get(why, 0) for why in _CAUSES)

    def _forget_full(self) -> None:
        self._lost_before_full = dict(self._lost)
        self._full, self._is_full_told = "", False

    def end(self, waiting: int, destination: str, budget: float) -> None:
        """Say at the end what is lost, with `waiting` spans that are left, or waits in the spool, unless it is said."""
        lost = self._gone() + waiting
        kept, self._kept = self._kept, 0
        told = [f"{_spans(kept)} kept in {self._spool}"] if kept else []
        if lost > self._told:
            told.append(f"{_spans(lost)} lost")
        if not told:
            return
        self._told = max(lost, self._told)
        what = " and ".join(told)
        if not waiting and not kept:
            report.warn(self._unit, what, _why(self._lost_since({})))
        elif self._is_told or not self._reason:
            report.warn(self._unit, what, f"{destination}: {self._reason or f'no answer within {budget:g} s of exit'}")
        else:
            self._is_told = True
            hint = "" if kept else f". hint: {_WHERE.get(self._unit, _RECEIVER)}"
            report.warn(self._unit, "down", f"{destination}: {self._reason}; {what}{hint}")

    def _gone(self) -> int:
        return sum(self._lost.values())

    def _lost_since(self, before: dict[str, int]) -> dict[str, int]:
        now = dict(self._lost)
        return {reason: now[reason] - before.get(reason, 0) for reason in now if now[reason] > before.get(reason, 0)}


def _why(lost: dict[str, int]) -> str:
    """Name the reasons, with their numbers if there are several."""
    found = list(lost.items())
    return found[0][0] if len(found) == 1 else ", ".join(f"{reason} ({count})" for reason, count in found)


def _spans(number: int) -> str:
    return f"{number} span{'' if number == 1 else 's'}"

"""Ended spans wait here and leave in batches, sent by a thread that does not exist until the first one.

The program's side is one append to a queue. Everything else (encoding, sending, waiting for a receiver
that is away) happens in the thread. A batch that can't be delivered now is kept and tried again; when the
queue is full, new spans are dropped and counted, the oldest being the ones that tell how it began.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, detach, get_current, set_value
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_run import report
from otel_run.boundary import contained
from otel_run.export.sender import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.export.sender import Sender

_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0  # seconds


class _Flush:
    """A wish to have everything out by `deadline` (of time.monotonic); `last` means there is no later."""

    __slots__ = ("deadline", "done", "last")

    def __init__(self, deadline: float, last: bool) -> None:
        self.deadline = deadline
        self.last = last
        self.done = threading.Event()


class BatchProcessor(SpanProcessor):
    """A queue and the thread that empties it into one sender."""

    def __init__(
        self, name: str, build: Callable[[], Sender], delay: float, timeout: float, queue_size: int, batch_size: int
    ) -> None:
        """`delay` and `timeout` in seconds; `build` makes the sender, in the thread, when there is a batch."""
        self._unit = f"exporter {name}"
        self._build = build
        self._delay = delay
        self._timeout = timeout
        self._queue_size = queue_size
        self._batch_size = batch_size
        self.dropped = 0
        self._start_over()

    def _start_over(self) -> None:
        """Begin empty: in a forked child, what was queued belongs to the parent, and the thread is not there."""
        self._pid = os.getpid()
        self._queue: deque[ReadableSpan] = deque()
        self._pending: list[ReadableSpan] = []
        # A SimpleQueue, since its put() may interrupt itself: a span can end in a signal handler or in
        # a destructor, where any lock of Python's could be held already.
        self._wishes: SimpleQueue[_Flush | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._sender: Sender | None = None
        self._unbuildable = False
        self._down = ""
        self._loss_is_told = False
        self._retry = _FIRST_RETRY
        self._not_before = 0.0

    # The program's side.

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only ended spans are sent."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span. Never blocks, never raises."""
        context = span.context
        if context is not None and context.trace_flags.sampled:
            contained(self._unit, self._put, span)

    def _put(self, span: ReadableSpan) -> None:
        if self._pid != os.getpid():
            # By pid, as forks made in C (uwsgi) run none of Python's fork hooks.
            self._start_over()
        waiting = len(self._queue) + len(self._pending)
        if waiting >= self._queue_size:
            self.dropped += 1
            return
        self._queue.append(span)
        if self._thread is None:
            self._start_thread()
        elif len(self._queue) % self._batch_size == 0:
            self._wishes.put(None)

    def _start_thread(self) -> None:
        self._thread = thread = threading.Thread(target=self._run, name="otel-run export", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is shutting down: what is queued goes out with the flush at exit.
            self._thread = None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have everything delivered; return whether it was, within the time."""
        return self._flush(timeout_millis / 1000, last=False)

    def shutdown(self) -> None:
        """Deliver what is here. The processor stays usable, for spans that end later still."""
        self._flush(self._timeout, last=False)

    def close(self, budget: float) -> int:
        """Deliver what is here within `budget` seconds, with one try only; return how many spans are lost."""
        if self._pid != os.getpid():
            self._start_over()
        self._flush(budget, last=True)
        lost = len(self._queue) + len(self._pending) + self.dropped
        if lost and not self._loss_is_told:
            where = self._sender.destination if self._sender is not None else "the receiver"
            reason = self._down or f"no answer within {budget:g} s of exit"
            report.warn(self._unit, f"{_spans(lost)} lost", f"{where}: {reason}")
        return lost

    def _flush(self, timeout: float, last: bool) -> bool:
        if not self._queue and not self._pending:
            return True
        wish = _Flush(time.monotonic() + timeout, last)
        if self._thread is not None and self._thread.is_alive():
            self._wishes.put(wish)
            wish.done.wait(timeout)
        else:
            contained(self._unit, self._send_all, wish)
        return not self._queue and not self._pending

    # The thread's side.

    def _run(self) -> None:
        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        while True:
            wish = self._next_wish()
            contained(self._unit, self._send_all, wish)
            if wish is not None:
                wish.done.set()

    def _next_wish(self) -> _Flush | None:
        pause = self._delay
        if self._down:
            pause = max(0.0, self._not_before - time.monotonic())
        try:
            return self._wishes.get(timeout=pause)
        except Empty:
            return None

    def _send_all(self, wish: _Flush | None) -> None:
        """Send batch after batch until none is left, one fails, or the time of a flush is over."""
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, get_current()))
        try:
            if self._down and wish is None and time.monotonic() < self._not_before:
                return
            while self._pending or self._queue:
                timeout = self._timeout
                if wish is not None:
                    timeout = wish.deadline - time.monotonic()
                    if timeout <= 0:
                        return
                if not self._send_one(min(timeout, self._timeout), wish):
                    return
        finally:
            detach(token)

    def _send_one(self, timeout: float, wish: _Flush | None) -> bool:
        if not self._pending:
            self._pending = [self._queue.popleft() for _ in range(min(self._batch_size, len(self._queue)))]
        sender = self._get_sender()
        if sender is None:
            self._discard()
            return True
        outcome = contained(self._unit, sender.send, self._pending, timeout) or Outcome(False, "it failed")
        if outcome.delivered:
            self._note_delivered(sender)
            self._pending = []
            return True
        self._note_failure(sender, outcome, wish)
        if outcome.retry:
            return False
        self._discard()
        return True

    def _get_sender(self) -> Sender | None:
        if self._sender is None and not self._unbuildable:
            self._sender = contained(self._unit, self._build)
            # Said by `contained`, once; the program's spans have nowhere to go, and must not pile up.
            self._unbuildable = self._sender is None
        return self._sender

    def _discard(self) -> None:
        self.dropped += len(self._pending)
        self._pending = []

    def _note_delivered(self, sender: Sender) -> None:
        self._retry = _FIRST_RETRY
        if self._down:
            lost = f", {_spans(self.dropped)} dropped in the meantime" if self.dropped else ", no span was lost"
            report.warn(self._unit, "back", f"{sender.destination} takes spans again{lost}")
            self._down = ""
            self.dropped = 0

    def _note_failure(self, sender: Sender, outcome: Outcome, wish: _Flush | None) -> None:
        pause = outcome.after if outcome.after is not None else self._retry * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        self._not_before = time.monotonic() + min(pause, 300.0)
        self._retry = min(self._retry * 2, _LAST_RETRY)
        if self._down:
            return
        self._down = outcome.reason
        report.warn(self._unit, "down", f"{sender.destination}: {outcome.reason}; {self._consequence(outcome, wish)}")

    def _consequence(self, outcome: Outcome, wish: _Flush | None) -> str:
        if not outcome.retry:
            self._loss_is_told = True
            return (
                f"{_spans(len(self._pending))} refused and dropped, and so on until it is back. "
                "hint: the receiver's log, OTEL_EXPORTER_OTLP_HEADERS"
            )
        if wish is not None and wish.last:
            self._loss_is_told = True
            lost = len(self._pending) + len(self._queue) + self.dropped
            return f"{_spans(lost)} lost. hint: is a collector there? OTEL_EXPORTER_OTLP_ENDPOINT says where"
        return f"up to {_spans(self._queue_size)} are kept and sent when it is back"


def _spans(number: int) -> str:
    return f"{number} span{'' if number == 1 else 's'}"

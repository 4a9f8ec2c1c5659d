"""Ended spans wait here and leave in batches, sent by a thread that does not exist until the first one.

The program's side is one append to a queue. Everything else (encoding, sending, waiting for a receiver
that is away) happens in the thread; delivery.py says how, and queue.py what is dropped if that takes too long.
Where no thread can run (the exit handlers are over, uWSGI without threads), whoever ends a span sends.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_run import forks, native, prefork
from otel_run.boundary import contained
from otel_run.export import state, thread
from otel_run.export.delivery import SPOOLING, Delivery
from otel_run.export.queue import ONE_IN, Queue
from otel_run.export.wish import Rest, Wish

# The C one, also where gevent has put its own in the place of `queue.SimpleQueue`.
try:
    from _queue import Empty, SimpleQueue
except ImportError:  # an interpreter without it
    from queue import Empty, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.export.sender import Sender
    from otel_run.export.spool import Spool

_SHORTEST_DELAY = 0.05  # seconds; a delay of 0 would keep a core busy
_MOMENT = 0.05  # seconds that a fork waits for a thread with nothing to do
_GLANCE = 0.005  # seconds between two looks at what the thread does
_MARGIN = 0.1  # seconds of the exit budget for what is not waiting
_getpid = os.getpid


class BatchProcessor(SpanProcessor):
    """A queue and the thread that empties it; without `on_start`, so that a tracer need not call one."""

    def __init__(
        self,
        name: str,
        build: Callable[[], Sender],
        delay: float,
        timeout: float,
        queue_size: int,
        batch_size: int,
        exit_budget: float,
        redact: Callable[[ReadableSpan], ReadableSpan],
        endpoint: str = "",
        queue_weight: int = 64 * 1024 * 1024,
        spool: tuple[str, Callable[[], Spool]] | None = None,
    ) -> None:
        """Times in seconds; `build` makes the sender, in the thread, when there is a batch.

        `redact(span)` gives what may leave of a span, in the thread too. `queue_weight` bounds the characters in long
        texts. `spool` is a folder, and what makes the spool in it.
        """
        # Where an OTLP exporter sends to, for whoever wants to know whether another sends there too.
        self.endpoint = endpoint
        self._unit = f"exporter {name}"
        self._build = build
        self._redact = redact
        self._delay = max(delay, _SHORTEST_DELAY)
        self._timeout = timeout
        self._queue_size = queue_size
        self._queue_weight = queue_weight
        self._batch_size = batch_size
        self._exit_budget = exit_budget
        self._folder = spool[0] if spool is not None else ""
        self._make_spool = spool[1] if spool is not None else None
        self._start_over()
        thread.before_forks(self._rest, self._go_on)
        forks.in_child(self._begin_child)

    def _start_over(self) -> None:
        """Begin empty: in a forked child, what was queued belongs to the parent, and the thread is not there."""
        self._queue = Queue(self._queue_weight)
        # Its put() may interrupt itself: a span can end in a signal handler or in a destructor, where any
        # lock of Python's could be held already.
        self._wishes: SimpleQueue[Wish | None] = SimpleQueue()
        # Filled for as long as there is a thread, so that two spans can't start two.
        self._place: dict[str, Any] = {}
        # That the thread need not be called: it is at work, has been called, or waits for its receiver.
        self._is_called = False
        self._is_busy = False
        # How many spans the thread is called for. One is enough while it waits for longer than the delay.
        self._call_at = self._batch_size
        # When the thread is to send what there is, of time.monotonic; 0 if it waits for nothing.
        self._due = 0.0
        self._thread_id = 0
        self._state = state.State(self._unit, self._queue_size, self._folder)
        self._delivery = self._make_delivery()
        # What closing has cost so far; a program may shut its provider down and then exit.
        self._spent = 0.0
        # No thread starts any more: the exit handlers have run.
        self._is_over = False
        # Of whoever sends in the program's own time, which is one at a time.
        self._turn = native.allocate_lock()
        self._sent_at = time.monotonic()

    def _make_delivery(self) -> Delivery:
        return Delivery(
            self._unit, self._build, self._redact, self._state, self._queue, self._wishes.empty,
            self._timeout, self._queue_size, self._batch_size, self._make_spool,
        )  # fmt: skip

    # The program's side.

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span. Never blocks, never raises."""
        # Flat, and of steps that nothing can interrupt half-way: it runs for each span, in signal handlers and in
        # destructors too.
        context = span._context
        if context is None or not context.trace_flags & 1:
            return
        if forks.pid != _getpid():
            forks.notice()
        queue = self._queue
        size = len(queue.spans)
        if size + queue.held >= self._queue_size:
            self._state.drop(state.FULL)
            return
        if not size % ONE_IN and contained(self._unit, queue.is_too_heavy, span):
            self._state.drop(state.HEAVY)
            return
        queue.spans.append(span)
        # After the append: a thread that ends looks at the queue once more after it has said so.
        if not self._place:
            contained(self._unit, self._see_to_it, span)
        if size + 1 >= self._call_at and not self._is_called:
            self._is_called = True
            self._wishes.put(None)

    def _begin_child(self) -> None:
        inherited, left = self._delivery, self._queue.spans
        self._start_over()
        inherited.close()
        if prefork.is_heir():
            self._queue.spans.extend(left)

    def _see_to_it(self, span: ReadableSpan) -> None:
        """Start the thread; where none can run, send now, or when the time for it has come."""
        if self._is_over:
            self._send_late()
        elif prefork.is_to_fork() and len(self._queue.spans) < self._batch_size:
            pass  # the first of its children sends it
        elif not thread.can_run():
            is_whole = span.parent is None or span.parent.is_remote
            is_due = time.monotonic() - self._sent_at >= self._delay or len(self._queue.spans) >= self._batch_size
            if is_whole and is_due and not self._state.pause():
                self._send_here(Wish(time.monotonic() + self._exit_budget))
        else:
            self._ensure_thread()

    def _send_late(self) -> None:
        if not (self._delivery.is_open or thread.can_import()):
            self._state.tell_too_late()
        elif not self._state.is_down:
            self._send_here(Wish(time.monotonic() + self._budget(), last=True))

    def _send_here(self, wish: Wish, patience: float = 0.0) -> None:
        if self._turn.acquire(timeout=patience):
            began = time.monotonic()
            try:
                self._send_all(wish)
            finally:
                self._sent_at = time.monotonic()
                self._turn.release()
            self._spent += self._sent_at - began if wish.last and not patience else 0.0

    def _ensure_thread(self) -> bool:
        # None while the interpreter shuts down: what is queued goes out with the flush at exit.
        if not self._place and not self._is_over and thread.can_run():
            thread.start(self._run, self._place, self._place.clear)
        return bool(self._place)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have everything delivered; return whether it was, within the time."""
        wish = self.begin_flush(Wish(time.monotonic() + timeout_millis / 1000))
        wish.wait_beside_greenlets()
        return wish.is_met

    def shutdown(self) -> None:
        """Deliver what is here, within the exit budget. Spans that end later still are taken too."""
        self.finish_close(self.begin_close())

    def _budget(self) -> float:
        return max(0.05, self._exit_budget - self._spent - _MARGIN)

    def begin_close(self) -> Wish:
        """Ask for a last delivery, with what is left of the exit budget; after it the thread ends."""
        return self.begin_flush(Wish(time.monotonic() + self._budget(), last=True))

    def finish_close(self, wish: Wish, for_good: bool = False) -> None:
        """Wait for it, and say what is lost. `for_good`: nothing of ours runs later, so who ends a span sends it."""
        began = time.monotonic()
        if self._make_spool is not None:
            contained(self._unit, self._rescue, wish)
        wish.wait()
        if for_good:
            self._is_over = True
            thread.wait_until_gone(self._thread_id, wish.deadline)
            # Daemon threads go on: what has ended since the thread looked for the last time.
            left = wish.deadline - time.monotonic()
            if self._queue.waiting() and left > 0 and wish.is_fulfilled and not self._state.is_down:
                self._send_here(wish, left)
        self._spent += time.monotonic() - began
        # What has ended since, a thread that goes on sends by itself.
        waiting = 0 if wish.is_met else self._queue.waiting()
        self._state.end(waiting, self._delivery.destination, self._exit_budget)

    def _rescue(self, wish: Wish) -> None:
        """Write to the spool what a thread that waits for its receiver can't deliver any more."""
        wish.wait(SPOOLING)
        fresh = self._make_delivery()
        # As long as the thread imports what sends, nobody else can.
        while not (self._delivery.is_open and fresh.take_over(self._delivery)):
            if wish.is_fulfilled or time.monotonic() >= wish.deadline:
                return
            wish.wait(wish.deadline - time.monotonic() - _GLANCE)
        self._delivery, self._place, self._thread_id = fresh, {}, 0
        fresh.spool(1)
        wish.fulfil()

    def begin_flush(self, wish: Wish) -> Wish:
        """Hand the wish to the thread; where none can be started any more, fulfil it here and now."""
        forks.notice()
        if not self._queue.waiting() and not (wish.last and (self._delivery.is_open or self._place)):
            wish.is_met = True
            wish.fulfil()
        elif self._ensure_thread():
            self._wishes.put(wish)
        else:
            self._send_here(wish)
            wish.fulfil()
        return wish

    def _rest(self) -> None:
        """End the thread before a fork, unless it is at work: Python 3.12 warns of forks beside threads."""
        if forks.pid == _getpid() and self._place and not self._is_busy:
            rest = Rest(time.monotonic() + _MOMENT)
            self._wishes.put(rest)
            rest.wait()
            thread.wait_until_gone(self._thread_id, rest.deadline)

    def _go_on(self) -> None:
        """Start it again after the fork, if spans wait, or the sender has something to do without any."""
        if self._queue.waiting() or self._delivery.leisure is not None:
            self._ensure_thread()

    # The thread's side.

    def _run(self) -> None:
        place, delivery = self._place, self._delivery
        self._thread_id = native.get_native_id()
        wish: Wish | None = None
        try:
            while True:
                wish = self._next_wish()
                if isinstance(wish, Rest):
                    if wish.ends_thread:
                        self._due = self._due if self._queue.waiting() else 0.0
                        return
                    continue  # whoever forked has not waited
                if wish is not None and wish.is_fulfilled:
                    continue  # by somebody who has taken over from the thread before
                self._is_busy = self._is_called = True
                self._send_all(wish)
                if delivery.is_abandoned:
                    return  # somebody else has taken over
                self._is_busy = False
                self._call_at = 1 if delivery.leisure else self._batch_size
                # Calls for a receiver that is away would cost a switch of threads for each span; to a spool they go.
                self._is_called = self._state.pause() > 0 and not delivery.keeps
                if wish is not None:
                    wish.fulfil()
                    if wish.last:
                        return
        finally:
            place.clear()
            if wish is not None:
                wish.fulfil()
            is_over = wish is not None and wish.ends_thread
            is_ours = self._place is place and not delivery.is_abandoned
            if is_ours and (not self._wishes.empty() or (self._queue.waiting() and not is_over)):
                self._ensure_thread()  # a wish came between the wish for rest and the end, or nobody waited for that

    def _send_all(self, wish: Wish | None) -> None:
        if contained(self._unit, self._delivery.send_all, wish):
            self._spent = 0.0
        contained(self._unit, self._state.tell_full)

    def _next_wish(self) -> Wish | None:
        now = time.monotonic()
        # Rests don't put it off: a program may fork more often than spans are sent.
        # A span that has come before the thread was to be called for it is not left to wait.
        leisure = 0.0 if self._queue.waiting() else self._delivery.leisure or 0.0
        self._due = self._due or now + (self._state.pause() or max(self._delay, leisure))
        try:
            wish = self._wishes.get(timeout=max(0.0, self._due - now))
        except Empty:
            wish = None
        if not isinstance(wish, Rest):
            self._due = 0.0
        return wish

"""Ended spans wait here and leave in batches, sent by a thread that does not exist until the first one.

The program's side is one append to a queue. Everything else (encoding, sending, waiting for a receiver
that is away) happens in the thread; delivery.py says how. When the queue is full, new spans are dropped and
counted, the oldest being the ones that tell how it began.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_run.boundary import contained
from otel_run.export import thread
from otel_run.export.delivery import Delivery
from otel_run.export.state import State
from otel_run.export.wish import Rest, Wish

# The C one, also where gevent has put its own in the place of `queue.SimpleQueue`.
try:
    from _queue import Empty, SimpleQueue
except ImportError:  # an interpreter without it
    from queue import Empty, SimpleQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.export.sender import Sender

_SHORTEST_DELAY = 0.05  # seconds; a delay of 0 would keep a core busy
_MOMENT = 0.05  # seconds that a fork waits for a thread with nothing to do

_getpid = os.getpid


class BatchProcessor(SpanProcessor):
    """A queue and the thread that empties it into one sender.

    It has no `on_start` of its own, so that a tracer which looks for one need not call it.
    """

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
    ) -> None:
        """Times in seconds; `build` makes the sender, in the thread, when there is a batch.

        `redact(span)` gives what may leave of a span; it is called in the thread too.
        """
        # Where an OTLP exporter sends to, for whoever wants to know whether another sends there too.
        self.endpoint = endpoint
        self._unit = f"exporter {name}"
        self._build = build
        self._redact = redact
        self._delay = max(delay, _SHORTEST_DELAY)
        self._timeout = timeout
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._exit_budget = exit_budget
        self._start_over()
        thread.before_forks(self._rest)
        thread.after_forks(self._notice_fork)

    def _start_over(self) -> None:
        """Begin empty: in a forked child, what was queued belongs to the parent, and the thread is not there."""
        self._pid = _getpid()
        self._queue: deque[ReadableSpan] = deque()
        # Its put() may interrupt itself: a span can end in a signal handler or in a destructor, where any
        # lock of Python's could be held already.
        self._wishes: SimpleQueue[Wish | None] = SimpleQueue()
        # Filled for as long as there is a thread, so that two spans can't start two.
        self._place: dict[str, Any] = {}
        # That the thread need not be called: it is at work, has been called, or waits for its receiver.
        self._is_called = False
        self._is_busy = False
        self._thread_id = 0
        self._state = State(self._unit, self._queue_size)
        self._delivery = Delivery(
            self._unit, self._build, self._redact, self._state, self._queue, self._wishes.empty,
            self._timeout, self._queue_size, self._batch_size,
        )  # fmt: skip
        # What closing has cost so far; a program may shut its provider down and then exit.
        self._spent = 0.0

    # The program's side.

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span. Never blocks, never raises."""
        # Flat, and of steps that nothing can interrupt half-way: it runs for each span, in signal handlers and in
        # destructors too.
        context = span._context
        if context is None or not context.trace_flags & 1:
            return
        # By pid, as forks made in C (uwsgi) run none of Python's fork hooks.
        if self._pid != _getpid():
            contained(self._unit, self._notice_fork)
        queue = self._queue
        size = len(queue)
        if size + self._delivery.held >= self._queue_size:
            contained(self._unit, self._state.drop, 1)
            return
        queue.append(span)
        # After the append: a thread that ends looks at the queue once more after it has said so.
        if not self._place:
            contained(self._unit, self._ensure_thread)
        if size + 1 >= self._batch_size and not self._is_called:
            self._is_called = True
            self._wishes.put(None)

    def _notice_fork(self) -> None:
        if self._pid != _getpid():
            inherited = self._delivery
            self._start_over()
            inherited.close()

    def _waiting(self) -> int:
        return len(self._queue) + self._delivery.held

    def _ensure_thread(self) -> bool:
        # There is none while the interpreter shuts down: what is queued goes out with the flush at exit.
        if not self._place:
            thread.start(self._run, self._place, self._place.clear)
        return bool(self._place)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have everything delivered; return whether it was, within the time."""
        wish = self.begin_flush(Wish(time.monotonic() + timeout_millis / 1000))
        wish.wait()
        return not self._waiting()

    def shutdown(self) -> None:
        """Deliver what is here, within the exit budget. Spans that end later still are taken too."""
        self.finish_close(self.begin_close())

    def begin_close(self) -> Wish:
        """Ask for a last delivery, with what is left of the exit budget."""
        return self.begin_flush(Wish(time.monotonic() + max(0.05, self._exit_budget - self._spent), last=True))

    def finish_close(self, wish: Wish) -> None:
        """Wait for it, and say what is lost."""
        began = time.monotonic()
        wish.wait()
        self._spent += time.monotonic() - began
        self._state.end(self._waiting(), self._delivery.destination, self._exit_budget)

    def begin_flush(self, wish: Wish) -> Wish:
        """Hand the wish to the thread; where none can be started any more, fulfil it here and now."""
        self._notice_fork()
        if not self._waiting() and not (wish.last and self._delivery.is_open):
            wish.fulfil()
        elif self._ensure_thread():
            self._wishes.put(wish)
        else:
            self._send_all(wish)
            wish.fulfil()
        return wish

    def _rest(self) -> None:
        """End the thread before a fork, if it has nothing to do: Python 3.12 warns of forks beside threads."""
        if self._pid == _getpid() and self._place and not self._is_busy and not self._waiting():
            rest = Rest(time.monotonic() + _MOMENT)
            self._wishes.put(rest)
            rest.wait()
            thread.wait_until_gone(self._thread_id, rest.deadline)

    # The thread's side.

    def _run(self) -> None:
        place = self._place
        self._thread_id = thread.native("get_native_id")()
        wish: Wish | None = None
        try:
            while True:
                wish = self._next_wish()
                if isinstance(wish, Rest):
                    if time.monotonic() < wish.deadline:
                        return
                    continue  # whoever forked has not waited
                self._is_busy = self._is_called = True
                self._send_all(wish)
                self._is_busy = False
                # Calls for a receiver that is away would cost a switch of threads for each span.
                self._is_called = self._state.pause() > 0
                if wish is not None:
                    wish.fulfil()
        finally:
            place.clear()
            if wish is not None:
                wish.fulfil()
            if self._waiting() or not self._wishes.empty():
                self._ensure_thread()  # a span or a wish came between the wish for rest and the end

    def _send_all(self, wish: Wish | None) -> None:
        if contained(self._unit, self._delivery.send_all, wish):
            self._spent = 0.0

    def _next_wish(self) -> Wish | None:
        try:
            return self._wishes.get(timeout=self._state.pause() or self._delay)
        except Empty:
            return None

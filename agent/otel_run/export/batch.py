"""Ended spans wait here and leave in batches, sent by a thread that does not exist until the first one.

The program's side is one append to a queue. Everything else (encoding, sending, waiting for a receiver
that is away) happens in the thread. A batch that can't be delivered now is kept and tried again; when the
queue is full, new spans are dropped and counted, the oldest being the ones that tell how it began.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, detach, set_value
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_run.boundary import contained, without_exit
from otel_run.export import thread
from otel_run.export.sender import Outcome
from otel_run.export.state import State

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


class Wish:
    """That everything be out by `deadline` (of time.monotonic). `last`: one try only, there is no later."""

    __slots__ = ("_done", "deadline", "last")

    def __init__(self, deadline: float, last: bool = False) -> None:
        self.deadline = deadline
        self.last = last
        self._done = thread.native("allocate_lock")()
        self._done.acquire()

    def fulfil(self) -> None:
        """Tell whoever waits that it has been tried."""
        if self._done.locked():
            self._done.release()

    def wait(self) -> None:
        """Wait for it, until the deadline."""
        self._done.acquire(timeout=max(0.0, self.deadline - time.monotonic()))


class _Rest(Wish):
    """That the thread end; it starts again when there is something to do."""


class BatchProcessor(SpanProcessor):
    """A queue and the thread that empties it into one sender."""

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

    def _start_over(self) -> None:
        """Begin empty: in a forked child, what was queued belongs to the parent, and the thread is not there."""
        self._pid = os.getpid()
        self._queue: deque[ReadableSpan] = deque()
        self._pending: list[ReadableSpan] = []
        # Its put() may interrupt itself: a span can end in a signal handler or in a destructor, where any
        # lock of Python's could be held already.
        self._wishes: SimpleQueue[Wish | None] = SimpleQueue()
        # Held for as long as there is a thread, so that two spans can't start two.
        self._token = thread.native("allocate_lock")()
        self._is_busy = False
        self._thread_id = 0
        self._sender: Sender | None = None
        self._unbuildable = False
        self._state = State(self._unit, self._queue_size)
        # What closing has cost so far; a program may shut its provider down and then exit.
        self._spent = 0.0

    # The program's side.

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only ended spans are sent."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span. Never blocks, never raises."""
        context = span.context
        if context is not None and context.trace_flags.sampled:
            contained(self._unit, self._put, span)

    def _put(self, span: ReadableSpan) -> None:
        self._notice_fork()
        if self._waiting() >= self._queue_size:
            self._state.drop(1)
            return
        self._queue.append(span)
        self._ensure_thread()
        if len(self._queue) % self._batch_size == 0:
            self._wishes.put(None)

    def _notice_fork(self) -> None:
        # By pid, as forks made in C (uwsgi) run none of Python's fork hooks.
        if self._pid != os.getpid():
            self._start_over()

    def _waiting(self) -> int:
        return len(self._queue) + len(self._pending)

    def _ensure_thread(self) -> bool:
        if self._token.acquire(False) and not thread.start(self._run):
            # The interpreter is shutting down: what is queued goes out with the flush at exit.
            self._token.release()
        return bool(self._token.locked())

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
        where = self._sender.destination if self._sender is not None else "its receiver"
        self._state.end(self._waiting(), where, self._exit_budget)

    def begin_flush(self, wish: Wish) -> Wish:
        """Hand the wish to the thread; where none can be started any more, fulfil it here and now."""
        self._notice_fork()
        if not self._waiting():
            wish.fulfil()
        elif self._ensure_thread():
            self._wishes.put(wish)
        else:
            contained(self._unit, self._send_all, wish)
            wish.fulfil()
        return wish

    def _rest(self) -> None:
        """End the thread before a fork, if it has nothing to do: Python 3.12 warns of forks beside threads."""
        if self._pid == os.getpid() and self._token.locked() and not self._is_busy and not self._waiting():
            rest = _Rest(time.monotonic() + _MOMENT)
            self._wishes.put(rest)
            rest.wait()
            thread.wait_until_gone(self._thread_id, rest.deadline)

    # The thread's side.

    def _run(self) -> None:
        token = self._token
        self._thread_id = thread.native("get_native_id")()
        wish: Wish | None = None
        try:
            while True:
                wish = self._next_wish()
                if isinstance(wish, _Rest):
                    if time.monotonic() < wish.deadline:
                        return
                    continue  # whoever forked has not waited
                self._is_busy = True
                contained(self._unit, self._send_all, wish)
                self._is_busy = False
                if wish is not None:
                    wish.fulfil()
        finally:
            token.release()
            if wish is not None:
                wish.fulfil()
            if self._waiting():
                self._ensure_thread()  # a span came between the wish for rest and the end

    def _next_wish(self) -> Wish | None:
        try:
            return self._wishes.get(timeout=self._state.pause() or self._delay)
        except Empty:
            return None

    def _send_all(self, wish: Wish | None) -> None:
        """Send batch after batch until none is left, one fails, or the time of a wish is over."""
        if wish is None and self._state.pause():
            return
        # Whatever the sender is made of, nobody traces it.
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            while self._waiting() and self._send_one(wish):
                pass
        finally:
            detach(token)
            if self._sender is not None:
                self._sender.rest()

    def _send_one(self, wish: Wish | None) -> bool:
        timeout = self._timeout if wish is None else min(self._timeout, wish.deadline - time.monotonic())
        if timeout <= 0:
            return False
        if not self._pending:
            taken = [self._queue.popleft() for _ in range(min(self._batch_size, len(self._queue)))]
            self._pending = [self._redact(span) for span in taken]
        sender = self._get_sender()
        if sender is None:
            self._discard()
            return True
        outcome = contained(self._unit, without_exit, sender.send, self._pending, timeout) or Outcome(
            False, "it failed, see above"
        )
        if outcome.delivered:
            self._state.delivered(sender.destination)
            self._spent = 0.0
            self._pending = []
            return True
        self._state.failed(outcome, sender.destination, self._waiting(), len(self._pending), bool(wish and wish.last))
        if outcome.retry:
            return False
        self._discard()
        return True

    def _get_sender(self) -> Sender | None:
        if self._sender is None and not self._unbuildable:
            self._sender = contained(self._unit, thread.importing, self._build)
            # Said by `contained`, once; the program's spans have nowhere to go, and must not pile up.
            self._unbuildable = self._sender is None
        return self._sender

    def _discard(self) -> None:
        self._state.lose(len(self._pending))
        self._pending = []

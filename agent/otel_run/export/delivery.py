"""The thread's work: batches are taken from the queue, masked, packed, and sent; what can't leave now is kept.

Python runs one thread at a time, and one that computes is asked to make room only every 5 ms. So packing goes in
slices with long pauses: a request whose answer has come meanwhile waits for one slice, not for a whole batch, and the
next one comes when it is over.
Where threads compute without pause, though, whoever makes room gets the next turn after tens of milliseconds, in
which the queue would overflow. There it is packed in one go, as far as Python lets it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

from otel_run.boundary import contained, without_exit
from otel_run.export import thread
from otel_run.export.sender import Outcome

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.export.sender import Sender
    from otel_run.export.state import State
    from otel_run.export.wish import Wish

_SLICE = 0.0003  # seconds of work
_PAUSE = 0.004  # seconds, in which whoever waits for the interpreter gets it
_LONG_PAUSE = _PAUSE + 0.005  # seconds; it took others that long to give it back
_FILLING = 0.25  # of the queue


class Delivery:
    """Empties one queue into one sender. Used by one thread at a time; `held` is read by all."""

    def __init__(
        self,
        unit: str,
        build: Callable[[], Sender],
        redact: Callable[[ReadableSpan], ReadableSpan],
        state: State,
        queue: deque[ReadableSpan],
        is_at_leisure: Callable[[], bool],
        timeout: float,
        queue_size: int,
        batch_size: int,
    ) -> None:
        """`is_at_leisure()` tells whether nobody waits for the thread."""
        self._unit = unit
        self._build = build
        self._redact = redact
        self._state = state
        self._queue = queue
        self._is_at_leisure = is_at_leisure
        self._timeout = timeout
        self._batch_size = batch_size
        self._many = int(queue_size * _FILLING)
        # Spans that were taken from the queue and have not been delivered; packed, their bytes are all that is left.
        self.held = 0
        self._parcel: Any = None
        self._sender: Sender | None = None
        self._unbuildable = False
        self._has_delivered = False
        # Never released, so that waiting for it is a sleep: time.sleep may be gevent's.
        self._never = thread.native("allocate_lock")()
        self._never.acquire()

    @property
    def destination(self) -> str:
        """Where spans go, for the user."""
        return self._sender.destination if self._sender is not None else "its receiver"

    @property
    def is_open(self) -> bool:
        """Whether there may be something to close."""
        return self._sender is not None

    def close(self) -> None:
        """Close what is open. In a forked child, that is its copy, and the parent goes on with its own."""
        if self._sender is not None:
            contained(self._unit, self._sender.close)

    def send_all(self, wish: Wish | None) -> bool:
        """Send batch after batch until none is left, one fails, or the time of a wish is over.

        Return whether anything was delivered.
        """
        if wish is None and self._state.pause():
            return False
        self._has_delivered = False
        # Whatever the sender is made of, nobody traces it.
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            while (self._queue or self.held) and self._send_one(wish):
                pass
            return self._has_delivered
        finally:
            detach(token)
            if self._sender is not None:
                if wish is not None and wish.last:
                    self._sender.close()
                else:
                    self._sender.rest()

    def _send_one(self, wish: Wish | None) -> bool:
        timeout = self._timeout if wish is None else min(self._timeout, wish.deadline - time.monotonic())
        if timeout <= 0:
            return False
        sender = self._get_sender()
        if sender is None:
            for _span in self._take():
                pass
            self._lose()
            return True
        if self._parcel is None:
            self._parcel = contained(self._unit, without_exit, sender.pack, self._masked(self._take(), wish is None))
        if self._parcel is None:
            self._lose()
            return True
        outcome = contained(self._unit, without_exit, sender.send, self._parcel, timeout) or Outcome(
            False, "it failed, see above"
        )
        if outcome.delivered:
            self._has_delivered = True
            self._state.delivered(sender.destination)
            self._parcel, self.held = None, 0
            return True
        waiting = len(self._queue) + self.held
        self._state.failed(outcome, sender.destination, waiting, self.held, bool(wish and wish.last))
        if outcome.retry:
            return False
        self._lose()
        return True

    def _get_sender(self) -> Sender | None:
        if self._sender is None and not self._unbuildable:
            self._sender = contained(self._unit, thread.importing, self._build)
            # Said by `contained`, once; the program's spans have nowhere to go, and must not pile up.
            self._unbuildable = self._sender is None
        return self._sender

    def _take(self) -> Iterator[ReadableSpan]:
        """Take the spans of one batch out of the queue, one by one, so that none is kept longer than it is needed."""
        for _ in range(min(self._batch_size, len(self._queue))):
            # Counted before it is gone from the queue: a flush must not find it in neither.
            self.held += 1
            yield self._queue.popleft()

    def _masked(self, spans: Iterable[ReadableSpan], in_slices: bool) -> Iterator[ReadableSpan]:
        began = time.monotonic()
        for span in spans:
            yield self._redact(span)
            if not in_slices or (now := time.monotonic()) - began < _SLICE:
                continue
            # Whoever waits for us, the exit above all, shall not wait longer; nor shall the queue overflow.
            if self._is_at_leisure() and len(self._queue) < self._many:
                self._never.acquire(timeout=_PAUSE)
            began = time.monotonic()
            in_slices = began - now < _LONG_PAUSE

    def _lose(self) -> None:
        self._state.lose(self.held)
        self._parcel, self.held = None, 0

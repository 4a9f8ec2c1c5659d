"""The thread's work: batches are taken from the queue, masked, packed, and sent; what can't leave now is kept.

Kept in memory, and, if there is a spool, on disk: full batches while the receiver is away, and at the end of the
process all that is left.

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

from otel_run import native, report
from otel_run.boundary import contained, without_exit
from otel_run.export import state as states
from otel_run.export import thread
from otel_run.export.sender import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.export.queue import Queue
    from otel_run.export.sender import Sender
    from otel_run.export.spool import Spool
    from otel_run.export.state import State
    from otel_run.export.wish import Wish

_SLICE = 0.0003  # seconds of work
_PAUSE = 0.004  # seconds, in which whoever waits for the interpreter gets it
_LONG_PAUSE = _PAUSE + 0.005  # seconds; it took others that long to give it back
_FILLING = 0.25  # of the queue
# Seconds of the exit budget that are left to write what could not be sent.
SPOOLING = 0.3
_FIRST_PAUSE = 0.1  # seconds before a second try at the end, where the receiver names no time


class Delivery:
    """Empties one queue into one sender. Used by one thread at a time."""

    def __init__(
        self,
        unit: str,
        build: Callable[[], Sender],
        redact: Callable[[ReadableSpan], ReadableSpan],
        state: State,
        queue: Queue,
        is_at_leisure: Callable[[], bool],
        timeout: float,
        queue_size: int,
        batch_size: int,
        spool: Callable[[], Spool] | None,
    ) -> None:
        """`is_at_leisure()` tells whether nobody waits for the thread; `spool()` makes the spool, if there is one."""
        self._unit = unit
        self._build = build
        self._redact = redact
        self._state = state
        self._queue = queue
        self._is_at_leisure = is_at_leisure
        self._timeout = timeout
        self._batch_size = batch_size
        self._many = int(queue_size * _FILLING)
        self._make_spool = spool
        self._spool: Spool | None = None
        self._spool_trouble = ""
        self._parcel: Any = None
        self._sender: Sender | None = None
        self._unbuildable = False
        # Filled while an answer is waited for. Whoever empties it has the batch.
        self._at_receiver: list[None] = []
        self.is_abandoned = False
        # For how many seconds the sender has nothing to do unless a span comes; None if it never has (Sender.rest).
        self.leisure: float | None = None
        self._has_delivered = False
        # Spans that have left the queue for good.
        self._gone = 0

    @property
    def destination(self) -> str:
        """Where spans go, for the user."""
        return self._sender.destination if self._sender is not None else "its receiver"

    @property
    def keeps(self) -> bool:
        """Whether there is a spool, and it takes what it is given."""
        return self._make_spool is not None and not self._spool_trouble

    @property
    def is_open(self) -> bool:
        """Whether there may be something to close."""
        return self._sender is not None

    def close(self) -> None:
        """Close what is open. In a forked child, that is its copy, and the parent goes on with its own."""
        for held in (self._sender, self._spool):
            if held is not None:
                contained(self._unit, held.close)

    def take_over(self, stuck: Delivery) -> bool:
        """Take the batch of one whose thread waits for its receiver; return False if it does something else."""
        try:
            stuck._at_receiver.pop()
        except IndexError:
            return False
        stuck.is_abandoned = True
        self._parcel = stuck._parcel
        return True

    def send_all(self, wish: Wish | None) -> bool:
        """Send until none is left, one batch fails, or the time of a wish is over; return whether any was delivered."""
        if wish is None and self._state.pause():
            self.spool(self._batch_size)
            return False
        self._has_delivered = False
        is_last = wish is not None and wish.last
        # A receiver that is away gets one try at the end; one that is busy as many as there is time for.
        self._pause = None if self._state.is_down or not is_last else _FIRST_PAUSE
        # Whatever the sender is made of, nobody traces it.
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        # Threads may go on making spans, so that nothing is ever left: a wish is for what was there before it.
        goal = self._gone + self._queue.waiting()
        try:
            while self._queue.waiting() and not self.is_abandoned and self._send_one(wish):
                if wish is not None and self._gone >= goal:
                    break
            if wish is not None:
                wish.is_met = self._gone >= goal
            if is_last:
                self.spool(1)
            elif self._state.is_down:
                self.spool(self._batch_size)
            if self._state.is_up and (wish is None or is_last):
                contained(self._unit, self._send_spooled, wish)
            return self._has_delivered
        finally:
            detach(token)
            if self._sender is not None:
                if is_last:
                    self._sender.close()
                else:
                    self.leisure = self._sender.rest()

    def _send_one(self, wish: Wish | None) -> bool:
        timeout = self._time_for(wish)
        if timeout <= 0:
            return False
        sender = self._get_sender()
        if sender is None:
            for _span in self._queue.take(self._batch_size):
                pass
            self._lose(states.NOWHERE)
            return True
        if not self._pack(sender, wish is None):
            return True
        outcome = self._ask(sender.send, self._parcel, timeout)
        if self.is_abandoned:
            return False
        if outcome.delivered:
            self._has_delivered = True
            self._state.delivered(sender.destination)
            self._let_go()
            return True
        if self._waits_for_another_try(outcome, wish):
            return True
        self._state.failed(outcome, sender.destination, self._queue.held, bool(wish and wish.last))
        if outcome.retry:
            return False
        self._lose(states.REFUSED)
        return True

    def _ask(self, send: Callable[[Any, float], Outcome], parcel: Any, timeout: float) -> Outcome:
        """Try once to deliver, unless somebody takes over meanwhile: then `is_abandoned`."""
        self._at_receiver.append(None)
        outcome = contained(self._unit, without_exit, send, parcel, timeout)
        try:
            self._at_receiver.pop()
        except IndexError:
            self.is_abandoned = True
        return outcome or Outcome(False, "it failed, see above")

    def _time_for(self, wish: Wish | None) -> float:
        """Return how many seconds the next try may take."""
        if wish is None:
            return self._timeout
        spare = SPOOLING if wish.last and self._make_spool is not None else 0.0
        return min(self._timeout, wish.deadline - spare - time.monotonic())

    def _waits_for_another_try(self, outcome: Outcome, wish: Wish | None) -> bool:
        """Wait, at the end, for a receiver that has answered and only wants us to come again; False if there's no time.

        One that does not answer is not waited for: every process would end late for as long as it is away.
        """
        if self._pause is None or not (outcome.retry and outcome.answered):
            return False
        # What the receiver asks for, but "at once" may be said by a hundred thousand of them.
        pause = max(self._pause, outcome.after or 0.0)
        if pause >= self._time_for(wish):
            return False
        self._pause *= 2
        native.wait(pause)
        return True

    def _get_sender(self) -> Sender | None:
        if self._sender is None and not self._unbuildable:
            self._sender = contained(self._unit, thread.importing, self._build)
            # Said by `contained`, once; the program's spans have nowhere to go, and must not pile up.
            self._unbuildable = self._sender is None
        return self._sender

    def _pack(self, sender: Sender, in_slices: bool) -> bool:
        """Have a batch in the form that is sent; False if there is none of these spans."""
        if self._parcel is None:
            spans = self._masked(self._queue.take(self._batch_size), in_slices)
            self._parcel = contained(self._unit, without_exit, sender.pack, spans)
        if self._parcel is None:
            self._lose(states.BROKEN)
        return self._parcel is not None

    def _masked(self, spans: Iterable[ReadableSpan], in_slices: bool) -> Iterator[ReadableSpan]:
        began = time.monotonic()
        for span in spans:
            yield self._redact(span)
            if not in_slices or (now := time.monotonic()) - began < _SLICE:
                continue
            # Whoever waits for us, the exit above all, shall not wait longer; nor shall the queue overflow.
            if self._is_at_leisure() and len(self._queue.spans) < self._many:
                native.wait(_PAUSE)
            began = time.monotonic()
            in_slices = began - now < _LONG_PAUSE

    def _let_go(self) -> int:
        self._parcel = None
        held = self._queue.let_go()
        self._gone += held
        return held

    def _lose(self, reason: str) -> None:
        self._state.lose(reason, self._let_go())

    def spool(self, least: int) -> None:
        """Write batches to the spool, if there is one, as long as `least` spans wait."""
        while self._make_spool is not None and self._queue.waiting() >= least and not self.is_abandoned:
            if not contained(self._unit, self._spool_one):
                return

    def _spool_one(self) -> bool:
        sender = self._get_sender()
        if sender is None or not self._pack(sender, in_slices=False):
            return sender is not None
        record = sender.record(self._parcel)
        why = self._get_spool().write(record, self._queue.held) if record is not None else "not of this exporter"
        if why:
            # They stay in memory, as without one.
            if why != self._spool_trouble:
                report.warn(self._unit, "spool", f"it takes nothing: {why}. hint: OTEL_RUN_SPOOL_DIR")
            self._spool_trouble = why
            return False
        self._spool_trouble = ""
        self._state.keep(self._let_go())
        self._count_aged()
        return True

    def _get_spool(self) -> Spool:
        if self._spool is None:
            assert self._make_spool is not None
            self._spool = thread.importing(self._make_spool)
        return self._spool

    def _send_spooled(self, wish: Wish | None) -> None:
        """Deliver what could not be before, as long as nobody waits for us, and at the end half of the time."""
        if self._make_spool is None or self.is_abandoned:
            return
        end = time.monotonic() + (self._time_for(wish) / 2 if wish is not None else self._timeout)

        def goes_on() -> bool:
            waits = wish is None and (not self._is_at_leisure() or len(self._queue.spans) >= self._batch_size)
            return not (waits or self.is_abandoned) and time.monotonic() < end

        self._get_spool().deliver(lambda record: self._send_record(record, wish), goes_on)
        self._count_aged()

    def _send_record(self, record: bytes, wish: Wish | None) -> Outcome:
        assert self._sender is not None
        # All the time there is, for one that is begun: if its answer is not waited for, it comes twice.
        outcome = self._ask(self._sender.send_record, record, max(0.0, self._time_for(wish)))
        if not (outcome.delivered or self.is_abandoned) and outcome.retry:
            self._state.failed(outcome, self._sender.destination, 0, bool(wish and wish.last))
        return outcome

    def _count_aged(self) -> None:
        spool = self._get_spool()
        if spool.dropped:
            self._state.lose(states.AGED, spool.dropped)
            spool.dropped = 0

"""What is asked of the sending thread: that everything be out by some time, or that it end."""

from __future__ import annotations

import time

from otel_run import native

_MOMENT = 0.001  # seconds


class Wish:
    """That everything be out by `deadline` (of time.monotonic). `last`: the process ends, there may be no later.

    `is_met` says whether it was, once it has been tried; spans that end meanwhile are none of its concern.
    """

    __slots__ = ("_done", "_owed", "deadline", "is_met", "last")

    def __init__(self, deadline: float, last: bool = False) -> None:
        self.deadline = deadline
        self.last = last
        self.is_met = False
        self._done = native.allocate_lock()
        self._done.acquire()
        # Filled until it is released. That it is taken says nothing: whoever waits takes it too, for a moment.
        self._owed = [self._done]

    @property
    def ends_thread(self) -> bool:
        """Whether the thread is not to go on."""
        return self.last

    @property
    def is_fulfilled(self) -> bool:
        """Whether it has been tried."""
        return not self._owed

    def fulfil(self) -> None:
        """Tell whoever waits that it has been tried."""
        try:
            self._owed.pop().release()
        except IndexError:
            pass

    def wait(self, spare: float = 0.0) -> None:
        """Wait for it, until `spare` seconds before the deadline."""
        left = self.deadline - spare - time.monotonic()
        if self._done.acquire(timeout=max(0.0, left)):
            self._done.release()

    def wait_beside_greenlets(self) -> None:
        """Wait for it, and let the program's other greenlets run meanwhile, if it has any."""
        sleep = native.greenlets_sleep()
        while sleep is not None and not self.is_fulfilled and time.monotonic() < self.deadline:
            sleep(_MOMENT)
        self.wait()


class Rest(Wish):
    """That the thread end; it starts again when there is something to do."""

    __slots__ = ()

    @property
    def ends_thread(self) -> bool:
        """Whether whoever forks still waits for it."""
        return time.monotonic() < self.deadline

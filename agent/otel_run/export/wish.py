"""What is asked of the sending thread: that everything be out by some time, or that it end."""

from __future__ import annotations

import time

from otel_run.export import thread


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


class Rest(Wish):
    """That the thread end; it starts again when there is something to do."""

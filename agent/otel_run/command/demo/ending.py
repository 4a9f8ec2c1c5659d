"""How the demo ends when a signal says so: between two steps, so that nothing runs on and nothing stays."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """A signal has come."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = 128 + number  # as a shell has it


@contextlib.contextmanager
def on_signals() -> Iterator[Callable[[], None]]:
    """Within the block, take note of signals; give the function that raises Ended if one has come.

    The handler itself must not raise: it may be called between the start of a process and the `try` after
    it, and that process would then be nobody's. What a signal interrupts goes on (PEP 475) to the next check.
    """
    came: list[int] = []

    def check() -> None:
        if came:
            raise Ended(came[0])

    def take_note(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        ignored = before[number] is signal.SIG_IGN
        # A shell starts `otel-run demo &` with SIGINT ignored. It stays so for us, but by a function, which
        # our children don't inherit: an interrupt is how they are stopped.
        signal.signal(number, do_nothing if ignored else take_note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def on_closed_pipes() -> Iterator[None]:
    """Within the block, end as other commands do when nobody reads on: `otel-run demo | head -1`."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)


def do_nothing(number: int, _: FrameType | None) -> None:
    """Take the signal."""

"""The process ends: what has ended leaves, within the one exit budget."""

from __future__ import annotations

import atexit
import sys

from otel_run.boundary import contained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_endings: list[Callable[[], None]] = []


def watch() -> None:
    """Register with the interpreter, first of all: its exit handlers run last in, first out.

    So ours comes after the program's, whose spans belong to it, and finds nothing to do in a program that
    was never traced.
    """
    atexit.register(_end)


def at_end(close: Callable[[], None]) -> None:
    """Call `close()` when the process ends. It keeps to the exit budget by itself."""
    _endings.append(close)


def end_with_multiprocessing() -> None:
    """Have a child of multiprocessing end as a process does: it leaves by os._exit, past all exit handlers.

    To be called when `multiprocessing.util` has been imported.
    """
    util = sys.modules["multiprocessing.util"]
    # Finalizers are forgotten in a forked child, so each child registers its own, to run after the program's.
    util.register_after_fork(_end, lambda _: util.Finalize(None, _end, exitpriority=-100))


def _end() -> None:
    for close in _endings:
        contained("flush at exit", close)

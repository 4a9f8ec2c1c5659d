"""The sending thread: one that the program does not see, cannot be hit through, and that forks take no harm from.

Not a `threading.Thread`: a program that joins all threads before it ends would wait for ours for ever, and
one that counts them would count one too many. Native also under gevent, whose hub a waiting thread of ours
would block.
"""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from otel_run.boundary import contained

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds for another thread to take a signal; a main thread that blocks it, too, never will.
_HANDING_OVER = 0.05

_rest_before_fork: list[Callable[[], None]] = []
_notice_in_child: list[Callable[[], None]] = []


def native(name: str) -> Any:
    """Return a function of `_thread` as it was before gevent put its own in its place."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original("_thread", name) if monkey is not None else getattr(_thread, name)


def _new_gate() -> Any:
    return native("RLock")()


# Held while our thread, or the one that wakes the agent, imports. A child that is forked then would inherit
# the import locks of a thread that it does not have, and hang in its first import of the same modules.
gate = _new_gate()
_PATIENCE = 2.0  # seconds that a fork waits for it


def start(run: Callable[[], None], place: dict[str, Any], give_up: Callable[[], None]) -> None:
    """Fill `place` and start `run` in a thread, unless it is filled; if no thread starts, call `give_up()`.

    A handler of the program's for a signal may raise between any two steps in here; then, too, either `run` or
    `give_up` is called. So `place` is no lock: who has filled it can be seen.
    """
    turn = native("allocate_lock")()

    def run_in_turn() -> None:
        if turn.acquire(False):
            run()

    is_started = False
    try:
        if place.setdefault("turn", turn) is turn:
            is_started = _start_without_signals(run_in_turn)
    finally:
        if not is_started and turn in place.values() and turn.acquire(False):
            give_up()


def _start_without_signals(run: Callable[[], None]) -> bool:
    # The new thread inherits the mask. With a signal open in ours, one that the program has blocked, to
    # take it by sigwait, would be delivered here and end the process.
    blocks = hasattr(signal, "pthread_sigmask")
    # Asked for by itself: what sets the mask may raise, from a handler, when it has set it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if blocks else ()
    try:
        if blocks:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        native("start_new_thread")(run, ())
    except RuntimeError:
        return False
    finally:
        if blocks:
            _unblock(set(before))
    return True


def _unblock(before: set[int]) -> None:
    try:
        _leave_signals_to_others(before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_signals_to_others(blocked: set[int]) -> None:
    """Wait until nothing is pending that this thread would take now, but for what is `blocked` anyway.

    The system has woken the main thread for it by then. If this one is faster, the main thread goes on waiting for
    a lock or a socket, and Python's handler, which runs there, never does: a SIGTERM would be lost.
    """
    if _thread.get_native_id() == os.getpid():
        return
    end = time.monotonic() + _HANDING_OVER
    while signal.sigpending() - blocked and time.monotonic() < end:
        pass  # microseconds; time.sleep may be gevent's


def wait_until_gone(native_id: int, deadline: float) -> None:
    """Wait until the system has ended the thread, a moment after Python has, where that can be seen (Linux)."""
    while os.path.exists(f"/proc/self/task/{native_id}") and time.monotonic() < deadline:
        pass  # microseconds; time.sleep may be gevent's


def importing(build: Callable[[], Any]) -> Any:
    """Call `build`, which imports, in our thread, while nobody forks and no garbage is collected.

    A collection here would run the program's destructors in a thread that is not theirs: sqlite3, for one,
    complains on stderr. Imports allocate enough to cause one; what comes later hardly does.
    """
    gate.acquire()
    collects = gc.isenabled()
    gc.disable()
    try:
        return build()
    finally:
        if collects:
            gc.enable()
        gate.release()


def before_forks(rest: Callable[[], None]) -> None:
    """Call `rest()` each time before this process forks."""
    _rest_before_fork.append(rest)


def after_forks(notice: Callable[[], None]) -> None:
    """Call `notice()` in each child that Python forks."""
    _notice_in_child.append(notice)


def _before_fork() -> None:
    gate.acquire(timeout=_PATIENCE)
    for rest in _rest_before_fork:
        rest()


def _open_gate() -> None:
    # Not if it was waited for in vain: then whoever has it goes on.
    if gate._is_owned():
        gate.release()


def _begin_child() -> None:
    global gate
    if gate._is_owned():
        gate.release()
    else:
        gate = _new_gate()  # whoever had it is not in this process
    for notice in _notice_in_child:
        contained("fork", notice)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_open_gate, after_in_child=_begin_child)

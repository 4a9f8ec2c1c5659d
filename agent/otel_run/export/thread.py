"""The sending thread: one that the program does not see, cannot be hit through, and that forks take no harm from.

Not a `threading.Thread`: a program that joins all threads before it ends would wait for ours for ever, and
one that counts them would count one too many.
"""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from otel_run import forks, native, prefork
from otel_run.boundary import contained
from otel_run.patching.wrap import Around

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.wrap import Contained

# Seconds for another thread to take a signal; a main thread that blocks it, too, never will.
_HANDING_OVER = 0.05

_rest_before_fork: list[Callable[[], None]] = []
_go_on_after_fork: list[Callable[[], None]] = []
_beside: list[Callable[[], None]] = []
# Threads in the middle of `os.fork`.
_forking: set[int] = set()


# Held while our thread, or the one that wakes the agent, imports. A child that is forked then would inherit
# the import locks of a thread that it does not have, and hang in its first import of the same modules.
gate = native.RLock()
_PATIENCE = 2.0  # seconds that a fork waits for it


def can_run() -> bool:
    """Tell whether a thread would ever get its turn, and does no harm here."""
    return prefork.gives_turns() and not prefork.is_to_fork()


def can_import() -> bool:
    """Tell whether modules can be imported still: not by destructors that run while modules are taken apart."""
    return getattr(sys, "meta_path", None) is not None


def start(run: Callable[[], None], place: dict[str, Any], give_up: Callable[[], None]) -> None:
    """Fill `place` and start `run` in a thread, unless it is filled; if no thread starts, call `give_up()`.

    A handler of the program's for a signal may raise between any two steps in here; then, too, either `run` or
    `give_up` is called. So `place` is no lock: who has filled it can be seen.
    """
    turn = native.allocate_lock()

    def run_in_turn() -> None:
        if turn.acquire(False):
            run()

    is_started = False
    try:
        if place.setdefault("turn", turn) is turn:
            is_started = start_without_signals(run_in_turn)
            for begin in _beside:
                contained("thread", begin)
    finally:
        if not is_started and turn in place.values() and turn.acquire(False):
            give_up()


def beside(begin: Callable[[], None]) -> None:
    """Call `begin()` each time the thread has been started, by whoever starts it: there is something to lose now."""
    _beside.append(begin)


def start_without_signals(run: Callable[[], None]) -> bool:
    """Start `run` in a thread that no signal is delivered to; return False if no thread can be started."""
    # The new thread inherits the mask. With a signal open in ours, one that the program has blocked, to
    # take it by sigwait, would be delivered here and end the process.
    blocks = hasattr(signal, "pthread_sigmask")
    # Asked for by itself: what sets the mask may raise, from a handler, when it has set it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if blocks else ()
    try:
        if blocks:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        native.start_new_thread(run, ())
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


def before_forks(rest: Callable[[], None], go_on: Callable[[], None] | None = None) -> None:
    """Call `rest()` each time before this process forks, and `go_on()` when it has."""
    _rest_before_fork.append(rest)
    if go_on is not None:
        _go_on_after_fork.append(go_on)


def _before_fork() -> None:
    gate.acquire(timeout=_PATIENCE)
    for rest in _rest_before_fork:
        contained("fork", rest)


def _open_gate() -> None:
    # Not if it was waited for in vain: then whoever has it goes on.
    if gate._is_owned():
        gate.release()


def _end_fork() -> None:
    _open_gate()
    if _thread.get_ident() not in _forking:
        _go_on()


def _go_on() -> None:
    for go_on in _go_on_after_fork:
        contained("fork", go_on)


def _around_fork(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    """Have threads go on when the fork is over: since Python 3.13 it looks for them after its own hooks have run."""

    def fork(*args: Any, **kwargs: Any) -> Any:
        own = _thread.get_ident()
        _forking.add(own)
        forked: Any = None
        try:
            forked = original(*args, **kwargs)
            return forked
        finally:
            _forking.discard(own)
            # A pid, and with it a descriptor where there is a terminal; 0 in the child.
            if (forked[0] if isinstance(forked, tuple) else forked) != 0:
                contained(_go_on)

    return fork


def _begin_child() -> None:
    global gate
    if gate._is_owned():
        gate.release()
    else:
        gate = native.RLock()  # whoever had it is not in this process


# Registered before whatever else a child redoes, which may import.
forks.in_child(_begin_child)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_end_fork)
if sys.version_info >= (3, 13) and hasattr(os, "fork"):
    for name in ("fork", "forkpty"):
        Around("fork", os, name, _around_fork).apply()
        vars(sys.modules["posix"])[name] = getattr(os, name)  # by this name it is pickled

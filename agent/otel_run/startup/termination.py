"""SIGTERM, where nobody has set what it does: spans that have ended leave, and the process dies of the signal.

Nobody can tell but by the time it takes: `signal.getsignal` says SIG_DFL, and a handler that the program sets takes the
place of ours; it becomes ours again when the program goes back to the default.

Python runs handlers in the main thread, between two of its steps. While that is in C code which does not look for
signals (a query of psycopg2, say) it would wait, and for ever if it begins to wait for something in the very moment of
the signal. So, from the first span on, a thread of ours is told of the signal by the system (`set_wakeup_fd`), and acts
if the main one does not.
"""

from __future__ import annotations

import _signal
import _thread
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from otel_run import forks, native, report, settings
from otel_run.boundary import contained
from otel_run.export import thread
from otel_run.patching.wrap import Around
from otel_run.startup import alarm, lifetime

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.wrap import Contained

_UNIT = "SIGTERM"
_SIGTERM = getattr(_signal, "SIGTERM", 0)
_DEFAULT = int(_signal.SIG_DFL)
# Seconds that the main thread has to take it.
_HEAD_START = 0.1

_end: Callable[[], None] | None = None
_is_watched = False
# There may be something to lose; in a forked child only from its first span on.
_is_wanted = True
_is_over = False
_has_come = False
# Threads that fork, and have had it open.
_holding: set[int] = set()


def watch(end: Callable[[], None]) -> None:
    """Call `end()` before SIGTERM ends the process, from now on; in the main thread, else at the next call."""
    global _end
    if not hasattr(_signal, "pthread_sigmask") or settings.current().sigterm == "leave":
        return
    if _end is None:
        _end = end
        for name, make in _AROUND.items():
            Around(_UNIT, signal, name, make).apply()
        Around(_UNIT, _thread, "interrupt_main", _around_interrupt_main).apply()
        Around(_UNIT, os, "closerange", _around_closerange).apply()
        vars(sys.modules["posix"])["closerange"] = os.closerange  # by this name it is pickled
        # Last, so that all that a child redoes is behind it when it may die.
        forks.in_child(_begin_child)
        thread.beside(_watch_beside)
        thread.before_forks(alarm.rest, alarm.go_on)
        os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)
    if not _is_watched:
        _take_the_default_s_place()


def leave() -> None:
    """Leave SIGTERM to the system: Python runs no handler any more, and would swallow it."""
    global _is_over
    _is_over = True
    alarm.end()
    if _signal.getsignal(_SIGTERM) is _die:
        _reset()


def is_dying() -> bool:
    """Tell whether it has come, and the process will die of it."""
    return _has_come


def obey() -> None:
    """Die, if it has come."""
    global _has_come
    if not _has_come:
        return
    _reset()
    _let_go()  # a fork that it has come in the middle of
    os.kill(os.getpid(), _SIGTERM)
    # Still here: the system spares the first process of a container, which has no handler.
    _has_come = False
    _take_the_default_s_place()


def _die(_number: int, _frame: object) -> None:
    """Do what the default does, later."""
    global _has_come
    # A child that was forked in C begins with what has come to its parent, nothing.
    forks.notice()
    _has_come = True
    if lifetime.is_ending_here():
        return  # that is obeyed when it is over
    try:
        if _end is not None:
            _end()
    finally:
        # Also when another signal's handler raises meanwhile (Ctrl-C): this one was not for the program.
        obey()


def _die_for_the_main_thread() -> None:
    """Do it in its place, if it is ours to do and the main thread does not begin to."""
    if _signal.getsignal(_SIGTERM) is _die and not _has_come:
        native.wait(_HEAD_START)
        if not _has_come:
            contained(_UNIT, _die, _SIGTERM, None)


def _take_the_default_s_place() -> None:
    global _is_watched
    # Where it is ours already, the system's may be gevent's by now, set in C behind Python's back.
    if not _is_wanted or _is_over or _signal.getsignal(_SIGTERM) != _DEFAULT or _is_taken_in_c():
        return
    try:
        _signal.signal(_SIGTERM, _die)
        alarm.set_up()
        _is_watched = True
    except ValueError:
        report.note(_UNIT, "not watched yet", "a library was imported in another thread than the main one")


def _watch_beside() -> None:
    """Have a thread of ours watch too, as there is something to lose now."""
    global _is_wanted
    _is_wanted = True
    if not _is_watched:
        _take_the_default_s_place()
    if _is_watched and not _is_over:
        alarm.begin(_SIGTERM, _die_for_the_main_thread)


def _is_taken_in_c() -> bool:
    """Tell whether the system calls a handler that Python knows nothing of (gevent.signal_handler's), if it says so."""
    try:
        with open("/proc/self/status", "rb") as status:
            caught = next((line.split()[1] for line in status if line.startswith(b"SigCgt:")), b"0")
    except OSError:
        return False
    return bool(int(caught, 16) >> (_SIGTERM - 1) & 1)


def _reset() -> None:
    try:
        _signal.signal(_SIGTERM, _DEFAULT)
    except ValueError:
        # Python allows it in the main thread alone, and that is busy.
        import ctypes

        ctypes.CDLL(None).signal(_SIGTERM, None)


def _hold() -> None:
    """Have SIGTERM wait while this thread forks.

    Python forgets, in a child, what has come before it knows that it is one; by default a child dies of that.
    """
    # Asked for by itself: what sets the mask calls handlers too, when it has set it, and ours has to know.
    if _is_watched and _SIGTERM not in _signal.pthread_sigmask(_signal.SIG_BLOCK, ()):
        _holding.add(_thread.get_ident())
        _signal.pthread_sigmask(_signal.SIG_BLOCK, (_SIGTERM,))


def _let_go() -> None:
    own = _thread.get_ident()
    if own in _holding:
        _holding.discard(own)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_SIGTERM,))


def _begin_child() -> None:
    """Die of it at once, as long as there is nothing to lose; from the first span on the child watches by itself."""
    global _is_watched, _is_wanted, _has_come
    _is_watched = _is_wanted = _has_come = False
    alarm.forget()
    # Under gevent it may be handled in C by now.
    if _signal.getsignal(_SIGTERM) is _die and "gevent" not in sys.modules:
        _reset()


def _around_signal(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        before = original(*args, **kwargs)
        contained(_take_the_default_s_place)
        return _shown(before)

    return call


def _around_getsignal(original: Callable[..., Any], _contained: Contained) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return _shown(original(*args, **kwargs))

    return call


def _around_set_wakeup_fd(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        before = original(*args, **kwargs)
        shown = contained(alarm.shown, before)
        contained(alarm.set_up)
        return before if shown is None else shown

    return call


def _around_closerange(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        finally:
            contained(alarm.mend)

    return call


def _around_interrupt_main(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        # It calls Python's handler, if there is one: which the program must not notice.
        return None if contained(_is_of_default, *args) else original(*args, **kwargs)

    return call


def _is_of_default(number: object = None) -> bool:
    return number == _SIGTERM and _signal.getsignal(_SIGTERM) is _die


_AROUND = {"signal": _around_signal, "getsignal": _around_getsignal, "set_wakeup_fd": _around_set_wakeup_fd}


def _shown(disposition: Any) -> Any:
    return signal.SIG_DFL if disposition is _die else disposition

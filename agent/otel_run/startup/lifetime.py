"""The process ends, in whatever way: what has ended leaves first, within the one exit budget.

Its exit handlers run, SIGTERM comes, it leaves by `os._exit` past all handlers (as children of multiprocessing and
billiard do), or becomes another program. What asks for that here is said in termination.py and leaving.py,
and in uwsgi_worker.py.
"""

from __future__ import annotations

import atexit
import sys
import time

from otel_run import native
from otel_run.boundary import contained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# When the agent began in this process (ns since the epoch).
began = 0

_endings: list[Callable[[bool], None]] = []
# Of whoever is in the middle of `end`: SIGTERM may come, which another thread answers.
_turn = native.RLock()
_PATIENCE = 1.0  # seconds over the exit budget
# What is done when `end` is over.
_obey: Callable[[], None] | None = None
# What calls the flush, where a server would break it off.
_call: Callable[[Callable[[], None]], None] | None = None


def watch() -> None:
    """Register with the interpreter, first of all: its exit handlers run last in, first out.

    So ours comes after the program's, whose spans belong to it, and finds nothing to do in a program that
    was never traced.
    """
    global began
    began = time.time_ns()
    atexit.register(_end_for_good)


def at_end(close: Callable[[bool], None]) -> None:
    """Call `close(for_good)` when the process may end. It keeps to the exit budget by itself.

    The process may go on all the same, unless it is `for_good`: no program is there to become, or the signal is spared.
    Whoever asks again is called once.
    """
    if close not in _endings:
        _endings.append(close)


def guard() -> None:
    """See to it that no other end of the process is missed either, now that it has something to lose."""
    global _obey
    if not _endings:
        return
    from otel_run import forks
    from otel_run.startup import leaving, termination

    if _obey is None:
        _obey = termination.obey
        leaving.watch(end)
        forks.in_child(_begin_child)
        if "uwsgi" in sys.modules:
            from otel_run.startup import uwsgi_worker

            uwsgi_worker.watch()
    # Again, if the first library was imported in another thread than the main one.
    termination.watch(end)


def call_by(call: Callable[[Callable[[], None]], None]) -> None:
    """Have the flush called by `call(flush)`."""
    global _call
    _call = call


def _begin_child() -> None:
    global _turn
    _turn = native.RLock()  # whoever had it is not in this process


def is_ending_here() -> bool:
    """Tell whether this thread is in the middle of `end`: it has been interrupted by a signal's handler."""
    return bool(_turn._is_owned())


def end(for_good: bool = False) -> None:
    """Have everything delivered; after another thread that is about it, too."""
    turn = _turn
    if is_ending_here():
        return
    from otel_run import settings

    held = turn.acquire(timeout=settings.current().exit_timeout / 1000 + _PATIENCE)
    try:
        if _call is None:
            _flush(for_good)
        else:
            _call(lambda: _flush(for_good))
    finally:
        if held:
            turn.release()
        if _obey is not None:
            _obey()


def _flush(for_good: bool) -> None:
    for close in _endings:
        contained("flush at exit", close, for_good)


def _end_for_good() -> None:
    try:
        end(for_good=True)
    except KeyboardInterrupt:
        pass  # nobody waits for us; and the program, which could make something of it, is over
    if _endings:
        from otel_run.startup import termination

        termination.leave()
        termination.obey()
    if _is_interrupted():
        _stay_interrupted()


def _is_interrupted() -> bool:
    """Tell whether the interpreter ends because nobody has caught a KeyboardInterrupt."""
    traceback = getattr(sys, "last_traceback", None)
    # Shells that run others' code (IPython) note errors there, too; those have not come out of the program.
    came_out = traceback is not None and traceback.tb_frame.f_back is None and not hasattr(sys, "ps1")
    return came_out and getattr(sys, "last_type", None) is KeyboardInterrupt


def _stay_interrupted() -> None:
    """Have the process die of SIGINT still: Python forgets why it ends when it runs a text as code.

    Modules that are imported for our last words do so (a namedtuple is made of a text), and the status would be 1.
    Source: CPython, Python/pythonrun.c, `run_eval_code_obj`.
    """
    try:
        exec("raise KeyboardInterrupt")  # noqa: S102 - a text: that is the one thing that is noted
    except KeyboardInterrupt:
        pass

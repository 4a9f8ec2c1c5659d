"""How the process ends: with which status, by which exception or signal; told in the middle of its end.

Python tells its exit handlers nothing. What can be seen is the outermost frame of the main thread, in which the program
runs: where it has stopped says whether it has returned, and then the status is 0; else it was left by an exception. The
interpreter keeps the ones that it shows (`sys.last_traceback`); it does not keep SystemExit, see exit_requests.py.

A status that nobody has seen is not known, rather than 0.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otel_run.boundary import contained
from otel_run.startup import exit_requests, leaving, lifetime, termination
from otel_run.startup.exit_status import OUTERMOST, code_of_excepthook, root
from otel_run.startup.program import is_main_interpreter, running
from otel_run.tracing.call import error_type

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# The instructions that end a function without an exception; their numbers differ from version to version.
_RETURNING = {(lambda: None).__code__.co_code[-2], (lambda value: value).__code__.co_code[-2]}

_SIGINT, _SIGTERM = 130, 143  # as a shell tells of them: 128 and the signal's number

_outermost: FrameType | None = None
_is_released = False


class Ending:
    """How the process ends, as far as it is known."""

    __slots__ = ("error_type", "exception", "exit_code")

    def __init__(
        self, exit_code: int | None = None, error_type: str | None = None, exception: BaseException | None = None
    ) -> None:
        self.exit_code = exit_code
        # The class of the uncaught exception, the signal, or the status if it is not 0.
        self.error_type = error_type if error_type or not exit_code else str(exit_code)
        self.exception = exception


def watch() -> None:
    """See to it that `ending` will know; called again, and from any thread."""
    if _outermost is not None or _is_released or not is_main_interpreter():
        return
    _look()
    if _outermost is None and _is_before_the_program() and sys.getprofile() is None:
        lifetime.at_end(_cease)
        sys.setprofile(_first_step)


def _look() -> None:
    global _outermost
    _outermost = next((frame for frame in map(root, _tops()) if frame.f_code.co_name in OUTERMOST), None)
    if _outermost is not None:
        lifetime.at_end(_release)
    exit_requests.watch(_outermost)


def _is_before_the_program() -> bool:
    return bool(getattr(getattr(sys.modules.get("site"), "__spec__", None), "_initializing", False))


def _first_step(frame: FrameType, event: str, _argument: object) -> None:
    """Look as soon as the program begins: a profiler is told of that step, and there is none left when it is made."""
    if event == "call" and frame.f_back is None and frame.f_code.co_name in OUTERMOST:
        sys.setprofile(None)
        contained("exit code", _look)


def _cease(_for_good: bool) -> None:
    """Wait no more for a program that never began: it is not there, or Python cannot read it."""
    if sys.getprofile() is _first_step:
        sys.setprofile(None)


def _tops() -> Iterator[FrameType]:
    yield sys._getframe(1)
    yield from sys._current_frames().values()
    greenlets = sys.modules.get("greenlet")
    if greenlets is not None:
        greenlet = greenlets.getcurrent()
        while greenlet.parent is not None:
            greenlet = greenlet.parent
        if greenlet.gr_frame is not None:
            yield greenlet.gr_frame


def _release(for_good: bool) -> None:
    """Let go of the frame, which holds what is in the main module: that is taken apart next."""
    global _outermost, _is_released
    if for_good:
        _outermost, _is_released = None, True
        exit_requests.release()


def ending() -> Ending:
    """Return how the process ends; asked when it is about to."""
    if termination.is_dying():
        return Ending(_SIGTERM, "SIGTERM")
    if leaving.way is not None:
        return Ending(leaving.way.status)
    if _has_returned() and not _is_shell():
        return Ending(0)
    error = _uncaught()
    status = exit_requests.obeyed()
    if status is not None:
        # It may have come out of sys.excepthook.
        return Ending(status, None if error is None else error_type(error), error)
    if error is not None:
        if type(error) is KeyboardInterrupt:
            return Ending(_SIGINT, "SIGINT")  # Python dies of the signal then, for this class alone
        return Ending(None if _may_have_exited() else 1, error_type(error), error)
    if _outermost is None or _is_running() or _is_shell():
        return Ending()
    return Ending(exit_requests.held())


def _has_returned() -> bool:
    return _outermost is not None and _outermost.f_code.co_code[_outermost.f_lasti] in _RETURNING


def _is_running() -> bool:
    return root(sys._getframe()).f_code.co_name in OUTERMOST


def _uncaught() -> BaseException | None:
    """Return the exception that has ended the program and that Python has shown, or has had shown by a hook.

    Consoles and shells inside of a program note theirs in the same place; those have not left the outermost frame.
    """
    traceback = getattr(sys, "last_traceback", None)
    if traceback is None or _is_running() or _is_shell():
        return None
    frame = traceback.tb_frame
    if frame is not _outermost and (_outermost is not None or frame.f_back is not None):
        return None
    found = getattr(sys, "last_value", None)
    return found if isinstance(found, BaseException) else None


def _may_have_exited() -> bool:
    """Tell whether the hook that was shown the error may have asked for another status by hand."""
    hook = code_of_excepthook()
    return hook is not None and "SystemExit" in hook.co_names


def _is_shell() -> bool:
    """Tell whether a person types the program, so that what one statement comes to is no end."""
    return hasattr(sys, "ps1") and bool(sys.flags.interactive or sys.flags.inspect or running().kind == "stdin")

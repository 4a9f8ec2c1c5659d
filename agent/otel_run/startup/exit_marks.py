"""Following a SystemExit on Python 3.10 and 3.11, where nobody tells what becomes of it.

It gets a mark that dies with it: in the middle of Python code if it was caught, and below all Python code if the
interpreter has taken it for the end of the program, or another that was raised while it was handled. Which of the two,
the lowest frame of the program tells: by another it was left from elsewhere. A function that names SystemExit may raise
another without a trace in that frame, so nothing is marked there. What is raised by hand is not seen.
"""

from __future__ import annotations

import _weakref
import sys
from opcode import opmap
from typing import TYPE_CHECKING, Any

from otel_run.startup.exit_status import OUTERMOST, is_excepthook, leads_into_shell, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_KEY = "_otel_run_exit"
# With which a frame hands on what it has caught.
_RERAISE, _RAISE = opmap["RERAISE"], opmap["RAISE_VARARGS"]

_status: int | None = None
# The lowest frame of the program itself, of those that the latest has come from.
_lowest: FrameType | None = None
_is_watched = False
_latest: Callable[[], _Mark | None] | None = None


class _Mark:
    """Notes what it is asked for if it dies below all Python code."""

    __slots__ = ("__weakref__", "place", "status")

    def __init__(self, status: int, place: int | None) -> None:
        self.status = status
        # Where the outermost frame was; None outside of it.
        self.place = place

    # Both names are gone when modules are taken apart.
    def __del__(self, frame_at: Callable[[int], FrameType] = sys._getframe, known: dict[str, Any] = globals()) -> None:  # noqa: B008
        try:
            frame_at(1)
        except ValueError:
            # The first: those that it was raised in the place of die with it, after it.
            if known["_status"] is None and known["_is_watched"] and known["_has_stopped_at"](self.place):
                known["_status"] = self.status

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        # An exception takes what is on it along to another process, where we may not be.
        return bool, ()


def watch(_outermost: FrameType, _original_exit: object) -> None:
    """Follow what is asked for from now on."""
    global _is_watched
    _is_watched = True


def release() -> None:
    """Follow no more, and let go of the frame, which holds what is in the main module."""
    global _is_watched, _lowest
    _is_watched, _lowest = False, None


def follow(error: SystemExit) -> None:
    """See what becomes of it, if it can end the program from where it is raised."""
    global _latest, _lowest
    frames = list(_below(sys._getframe(1)))
    if not _is_watched or leads_into_shell() or not _can_end_the_program(frames[-1]):
        return
    lowest = next((frame for frame in reversed(frames) if frame.f_code.co_name == "<module>"), None)
    above = frames if lowest is None else frames[: frames.index(lowest)]
    if any("SystemExit" in frame.f_code.co_names and not _is_of_python(frame) for frame in above):
        return
    _lowest = lowest or _lowest
    found = error.__dict__[_KEY] = _Mark(status_of(error.code), lowest and lowest.f_lasti)
    _latest = _weakref.ref(found)


def _below(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def obeyed() -> int | None:
    """Return the status of the one that has died of it."""
    return _status


def held() -> int | None:
    """Return the status of the latest that still lives, if it can be what has ended the program."""
    mark = _latest and _latest()
    return mark.status if mark and _has_stopped_at(mark.place) else None


def _has_stopped_at(place: int | None) -> bool:
    """Tell whether the lowest frame was left from there, or handed on what it had caught."""
    if place is None or _lowest is None:
        return place is None
    stopped = _lowest.f_lasti
    instruction, argument = _lowest.f_code.co_code[stopped : stopped + 2]
    return stopped == place or instruction == _RERAISE or (instruction, argument) == (_RAISE, 0)


def _can_end_the_program(outermost: FrameType) -> bool:
    """Tell whether nobody but the interpreter is below."""
    code = outermost.f_code
    # gevent hands it on from any greenlet to the main one.
    return code.co_name in OUTERMOST or is_excepthook(code) or _is_greenlet()


def _is_of_python(frame: FrameType) -> bool:
    """Tell whether it is the standard library's, which raises the same again, or ours."""
    top = str(frame.f_globals.get("__name__")).partition(".")[0]
    return top in sys.stdlib_module_names or top == "otel_run"


def _is_greenlet() -> bool:
    greenlets = sys.modules.get("greenlet")
    return greenlets is not None and greenlets.getcurrent().parent is not None

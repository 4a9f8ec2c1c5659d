"""Whoever asks for the end of the program by `sys.exit`, `exit` and `quit`, and whether it comes to that.

No exit handler is told of it. So the SystemExit that they raise, which the program may catch, is followed to where it
gets: by sys.monitoring where that is (exit_unwinding.py), else by a mark (exit_marks.py).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run.patching.wrap import Around

if sys.version_info >= (3, 12):
    from otel_run.startup import exit_unwinding as following
else:
    from otel_run.startup import exit_marks as following

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from otel_run.patching.wrap import Contained

_original: object = None


def watch(outermost: FrameType | None) -> None:
    """Follow each from now on; `outermost` is the frame that the program runs in, as soon as it is known."""
    global _original
    if _original is None:
        _original = sys.exit
        Around("sys.exit", sys, "exit", _around).apply()
        site = sys.modules.get("_sitebuiltins")
        if site is not None:
            Around("exit", site.Quitter, "__call__", _around).apply()
    if outermost is not None:
        following.watch(outermost, _original)


def release() -> None:
    """Follow no more, and let go of the frame."""
    following.release()


def obeyed() -> int | None:
    """Return the status that the interpreter has ended the program with; None if that is not known."""
    return following.obeyed()


def held() -> int | None:
    """Return the status that one asks for that has ended the program, and is still held by somebody: a task, say."""
    return following.held()


def _around(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def leave(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except SystemExit as error:
            contained(following.follow, error)
            if error.__traceback__ is not None:
                # Whoever prints it sees what it is without us; on Python 3.10 one entry more, from the last line.
                error.__traceback__ = error.__traceback__.tb_next
            # What is kept here would be in a ring with that entry, and live on: it may be the error itself.
            del args, kwargs
            raise

    return leave

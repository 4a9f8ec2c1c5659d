"""Leaving the process past all exit handlers: by `os._exit`, or by becoming another program.

Children of multiprocessing, billiard and most servers end so. `os.execl`, `os.execvp` and all others of their kind
come down to the two that are patched.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from otel_run.patching.wrap import Around, Patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.wrap import Contained

_LEAVING = ("_exit", "execv", "execve")

_patched: list[Patch] = []


class Way:
    """One way out: by `os._exit` with a status, or by becoming another program, whose status it will be."""

    __slots__ = ("status",)

    def __init__(self, status: int | None = None) -> None:
        self.status = status


# The one that is being taken, while `end` is called for it. The program goes on if no other can take its place.
way: Way | None = None


def watch(end: Callable[[], None]) -> None:
    """Call `end()` before each of them, from now on."""
    if _patched:
        return

    def end_by(taken: Way) -> None:
        global way
        way = taken
        try:
            end()
        finally:
            way = None

    def begin(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        end_by(Way())

    def begin_exit(*arguments: object) -> None:
        status = arguments[0] if arguments else None
        end_by(Way(int(status) & 0xFF if isinstance(status, int) else None))

    def around_exit(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        def _exit(*args: Any, **kwargs: Any) -> Any:
            try:
                contained(begin_exit, *args, *kwargs.values())
            finally:
                # Also when a signal's handler raises meanwhile (Ctrl-C). Whoever calls this must never get it back:
                # in a forked child, what comes next is the parent's.
                original(*args, **kwargs)

        return _exit

    # Where they come from, and by which name they are pickled: posix, or nt.
    system = sys.modules[os.name if os.name in sys.modules else "posix"]
    for name in _LEAVING:
        found = getattr(os, name, None)
        if found is None:
            continue
        unit = f"os.{name}"
        patch = Around(unit, os, name, around_exit) if name == "_exit" else Patch(unit, os, name, begin)
        patch.apply()
        _patched.append(patch)
        if getattr(system, name, None) is found:
            setattr(system, name, getattr(os, name))

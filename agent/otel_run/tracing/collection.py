"""Spans that end while Python collects garbage: in a destructor, that is in the middle of anything the thread does.

It may be in the middle of a span processor of the program's own, with its lock taken; one more span handed to that in
the same thread would wait for the lock for ever. So such spans are handed on a moment later, when the next one ends,
is flushed, or the process ends. Processors of ours need none of this: nothing in them can be interrupted half-way.
"""

from __future__ import annotations

import gc
from collections import deque
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# The thread that collects, 0 if none does.
_collecting = 0
_postponed: deque[tuple[Callable[[Any], None], Any]] = deque()


def watch() -> None:
    """Know of collections from now on."""
    if _note not in gc.callbacks:
        gc.callbacks.append(_note)


def _note(phase: str, _about: dict[str, int]) -> None:
    global _collecting
    _collecting = get_ident() if phase == "start" else 0


def is_under_way() -> bool:
    """Tell whether this thread runs a destructor because of a collection."""
    return _collecting != 0 and _collecting == get_ident()


def hand_on(take: Callable[[Any], None], what: Any) -> None:
    """Call `take(what)`, now or when that does no harm."""
    if is_under_way():
        _postponed.append((take, what))
        return
    hand_on_postponed()
    take(what)


def hand_on_postponed() -> None:
    """Hand on what has waited."""
    while _postponed:
        try:
            take, what = _postponed.popleft()
        except IndexError:
            return  # another thread has taken it
        take(what)

"""What a forked child must redo, once, wherever it is noticed first that it is one.

It is known by its process id: forks that are made in C (uWSGI's workers) run none of Python's hooks.
"""

from __future__ import annotations

import os

from otel_run.boundary import contained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The process that all of ours belongs to; another one has to `notice`.
pid = os.getpid()

_to_redo: list[Callable[[], None]] = []


def in_child(redo: Callable[[], None]) -> None:
    """Call `redo()` once in each forked child, in the order in which these were registered."""
    _to_redo.append(redo)


def notice() -> None:
    """Redo what a child must, if this is a new one."""
    global pid
    if pid == os.getpid():
        return
    pid = os.getpid()
    for redo in _to_redo:
        contained("fork", redo)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=notice)

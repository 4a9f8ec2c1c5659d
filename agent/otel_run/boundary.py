"""Where our own mistakes stop: every step of ours inside the user's program runs through here.

This file and sitecustomize.py alone may catch broadly. Only `Exception` is dropped, one unit at a
time: KeyboardInterrupt, SystemExit and gevent's Timeout belong to the program and pass.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

# Our own tests set this (OTEL_RUN_STRICT): a contained mistake would otherwise look like a pass.
strict = False

# What is told of a contained error: (unit, error). The report puts itself here.
_listeners: list[Callable[[str, Exception], None]] = []


def tell_errors_to(listener: Callable[[str, Exception], None]) -> None:
    """Call `listener(unit, error)` for every error that is contained from now on."""
    _listeners.append(listener)


def contained(unit: str, function: Callable[..., T], *args: object) -> T | None:
    """Call `function(*args)`; if it raises an Exception, tell the report and return None.

    `unit` names what stops working, in words that a user knows: "instrumentor redis".
    """
    try:
        return function(*args)
    except Exception as error:
        if strict:
            raise
        _tell(unit, error)
        return None


def _tell(unit: str, error: Exception) -> None:
    for listener in _listeners:
        try:
            listener(unit, error)
        except Exception:  # noqa: BLE001, S110 - a stderr of the program's own making, the end of the stack
            pass


class Fuse:
    """Contains the errors of one place of ours, and tells when the place has failed too often to go on.

    Three times is a pattern: what raises for each call of a busy library costs more than it tells.
    """

    MOST = 3

    __slots__ = ("_blown", "_left", "unit")

    def __init__(self, unit: str, blown: Callable[[], None]) -> None:
        """Call `blown()`, once, at the third error."""
        self.unit = unit
        self._blown: Callable[[], None] | None = blown
        self._left = self.MOST

    def contained(self, function: Callable[..., T], *args: object) -> T | None:
        """Call `function(*args)`; if it raises an Exception, tell the report, count it and return None."""
        try:
            return function(*args)
        except RecursionError:
            return None  # the program has filled the stack: no mistake of ours, and no room to tell it
        except Exception as error:
            if strict:
                raise
            self._burn(error)
            return None

    def take(self, error: Exception) -> None:
        """Do the same with an error that was caught where it came up, in a code that is made of text."""
        if isinstance(error, RecursionError):
            return
        if strict:
            raise error
        self._burn(error)

    def both(self, function: Callable[[Any, Any], T], first: object, second: object) -> T | None:
        """Do the same with two arguments, as each observed call does twice: without a tuple it takes half the time."""
        try:
            return function(first, second)
        except RecursionError:
            return None
        except Exception as error:
            if strict:
                raise
            self._burn(error)
            return None

    def _burn(self, error: Exception) -> None:
        _tell(self.unit, error)
        self._left -= 1
        # Two threads may take the last at once, so that neither sees 0.
        if self._left <= 0 and self._blown is not None:
            blown, self._blown = self._blown, None
            contained(self.unit, blown)


def without_exit(function: Callable[..., T], *args: object) -> T:
    """Call code of others that has no say in whether the program goes on: its SystemExit becomes an error."""
    try:
        return function(*args)
    except SystemExit as wish:
        raise RuntimeError(f"it wanted to exit with status {wish.code}") from wish

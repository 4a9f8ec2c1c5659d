"""The span of a generator, which runs in pieces: current in these, and never in between, in the consumer's code.

The pieces may run in other threads than the one before, and in other contexts. A generator may also leave something
current of its own at a `yield`, as those under `@contextmanager` do for the block: that stays, as it would without us.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run.tracing.entering import enter, leave, now


class Apart:
    """One span, and what is current around it."""

    __slots__ = ("_around", "_inside", "_left", "_token", "span")

    def __init__(self, span: Any) -> None:
        self.span = span
        # What the consumer had when it was resumed, and what the generator has got for it.
        self._around: Any = None
        self._inside: Any = None
        self._token: Any = None
        # What the generator itself has left current.
        self._left: Any = None

    def resume(self) -> None:
        """Become current, in whatever the consumer has."""
        around: Any = now()
        if around is self._left:
            return
        self._left = None
        if around is not self._around:
            self._around, self._inside = around, Context(around, **{_SPAN_KEY: self.span})
        self._token = enter(self._inside)

    def pause(self) -> None:
        """Give back what the consumer had."""
        token, self._token = self._token, None
        inside = now()
        if inside is not self._inside:
            self._left = inside
        elif token is not None:
            leave(token)
        else:
            # What had been left current is not any more.
            enter(self._around)

"""A function that is called in the context of whoever handed it on, for pools whose tasks are nothing but functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.tracing import started
from otel_run.tracing.entering import enter, leave

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_run.patching.wrap import Contained


class Carried:
    """Calls `function` in the context `around`, as often as it is called, and leaves that context each time."""

    __slots__ = ("_around", "_contained", "_function")

    def __init__(self, function: Any, around: Context, contained: Contained) -> None:
        self._function = function
        self._around = around
        self._contained = contained

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it; an exception has one frame of ours."""
        function, contained = self._function, self._contained
        if started.is_watching:
            contained(started.begin_job)
        token = contained(enter, self._around)
        try:
            return function(*args, **kwargs)
        finally:
            if token is not None:
                contained(leave, token)
            # An exception that the task's result keeps holds this frame, and would keep all this by it.
            del self, function, token, args, kwargs

    def __repr__(self) -> str:
        return repr(self._function)

"""An entry of the context that holds for one call: what keeps instrumentors below it quiet.

Whatever starts during the call takes a copy of the context with it and may outlive the call: a driver that
connects registers the callbacks through which the program is notified for years. So the entry is no `True`, which
would be true there for ever, but an object that stops being so at the end of the call.
"""

from __future__ import annotations

from opentelemetry import context


class Silence:
    """`key` in the context, from now until this is called as a `Finish`."""

    __slots__ = ("_is_on", "_key", "_token")

    def __init__(self, key: str) -> None:
        self._is_on = True
        self._key = key
        self._token = context.attach(context.set_value(key, self))

    def __bool__(self) -> bool:
        return self._is_on

    def __call__(self, _result: object, error: BaseException | None) -> None:
        """End it, in all copies."""
        self._is_on = False
        # A coroutine that was abandoned ends wherever it is collected: that context is not ours to restore,
        # and OpenTelemetry would log a traceback.
        if not isinstance(error, GeneratorExit) or context.get_value(self._key) is self:
            context.detach(self._token)

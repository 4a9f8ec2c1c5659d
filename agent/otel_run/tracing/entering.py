"""Entering a context and leaving it again, in the same function: what each request does, and each piece of its body.

OpenTelemetry's `attach` and `detach` come to the same by way of six functions. As it does with them, leaving needs
the contextvars.Context in which it was entered: a coroutine that may be collected elsewhere takes those.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context

if TYPE_CHECKING:
    from collections.abc import Callable

enter: Callable[[context.Context], Any] = context.attach
leave: Callable[[Any], None] = context.detach
now: Callable[[], context.Context] = context.get_current

# Another may be chosen by OTEL_PYTHON_CONTEXT.
_variable: Any = getattr(context._RUNTIME_CONTEXT, "_current_context", None)
if isinstance(_variable, ContextVar):
    enter, now = _variable.set, _variable.get
    _reset = _variable.reset

    def leave(token: Any) -> None:
        """Leave what `token` was given for; unless the program has gone on in another contextvars.Context."""
        try:
            _reset(token)
        except ValueError:
            # A greenlet may get another in the middle of a call. What is current there is not ours to change.
            pass

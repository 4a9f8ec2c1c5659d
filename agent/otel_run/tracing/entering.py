"""Entering a context and leaving it again, in the same function: what each request does, and each piece of its body.

OpenTelemetry's `attach` and `detach` come to the same by way of six functions. As it does with them, leaving needs
the contextvars.Context in which it was entered: a coroutine that may be collected elsewhere takes those.

Where a context is kept may be chosen by OTEL_PYTHON_CONTEXT, and some packages put a runtime of their own in its
place later. Whatever is not the usual one is used as it is.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

from otel_run.tracing import mismatch

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = context.Context()

enter: Callable[[context.Context], Any] = context.attach
leave: Callable[[Any], None] = context.detach
now: Callable[[], context.Context] = context.get_current

_runtime: Any = context._RUNTIME_CONTEXT
_variable: Any = getattr(_runtime, "_current_context", None)
if type(_runtime) is ContextVarsRuntimeContext and isinstance(_variable, ContextVar):
    _get, _set, _reset = _variable.get, _variable.set, _variable.reset

    def now() -> context.Context:
        """Return the current context."""
        found: context.Context = _get() if context._RUNTIME_CONTEXT is _runtime else context.get_current()
        return found

    def enter(entered: context.Context) -> Any:
        """Make a context the current one; return the token for `leave`."""
        return _set(entered) if context._RUNTIME_CONTEXT is _runtime else context.attach(entered)

    def leave(token: Any) -> None:
        """Leave what `token` was given for; unless the program has gone on in another contextvars.Context."""
        if context._RUNTIME_CONTEXT is not _runtime:
            context.detach(token)
            return
        try:
            _reset(token)
        except ValueError:
            # A greenlet may get another in the middle of a call. What is current there is not ours to change.
            mismatch.tell()

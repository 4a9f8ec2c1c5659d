"""joblib: all tasks of one call are in the context of that call.

Only the first are handed to the backend by the caller; each that is done has the next handed on, in a thread of the
backend's. So the note that joblib makes of a task keeps the context, and the next is handed on in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing.entering import NOTHING, enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

_UNIT = "instrumentor joblib"

# The name, in a note's `__dict__`, of the context that its task was handed in.
_HANDED_IN = "_otel_run_context"


class JoblibInstrumentor(Instrumentor):
    """Patches the note of a task, which is what is called when the task is done."""

    library = "joblib"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no span
        """Return the patches."""
        from joblib import parallel

        note = parallel.BatchCompletionCallBack
        return [Patch(_UNIT, note, "__init__", _begin_note), Patch(_UNIT, note, "__call__", _begin_next)]


def _begin_note(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    vars(args[0])[_HANDED_IN] = now()


def _begin_next(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    around = vars(args[0]).pop(_HANDED_IN, NOTHING)
    # An empty one too: the thread may have been started in the midst of another call.
    if not (around or now()):
        return None
    token = enter(around)
    return lambda _result, _error: leave(token)

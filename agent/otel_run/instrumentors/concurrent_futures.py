"""concurrent.futures: what a pool of threads does for a caller is done in the context of `submit()`.

Each task has the context of whoever submitted it, also if that is an empty one, and the worker leaves it again.
It travels with the pool's own note of the task, so that the function is handed on as it is: whoever
looks at it or at its traceback, or pickles it for another interpreter, finds nothing of ours. `map`, `run_in_executor`
and `asyncio.to_thread` go the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Around
from otel_run.tracing import started
from otel_run.tracing.entering import NOTHING, enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained, Patch

_UNIT = "instrumentor concurrent_futures"

# The name, in a task's `__dict__`, of the context that it was submitted in.
_SUBMITTED_IN = "_otel_run_context"


class ConcurrentFuturesInstrumentor(Instrumentor):
    """Patches the tasks of a ThreadPoolExecutor."""

    library = "concurrent_futures"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no spans
        """Return the patches."""
        from concurrent.futures import thread

        task = thread._WorkItem
        return [Around(_UNIT, task, "__init__", _making), Around(_UNIT, task, "run", _running)]


# Pools are made for tasks that take microseconds, so these are shorter than what observes other functions.
def _making(original: Callable[..., None], contained: Contained) -> Callable[..., None]:
    def make(task: Any, /, *args: Any, **kwargs: Any) -> None:
        original(task, *args, **kwargs)
        contained(_note, task)

    return make


def _note(task: Any) -> None:
    around = now()
    if around:
        task.__dict__[_SUBMITTED_IN] = around


def _enter(task: Any) -> Any:
    """Enter the context of a task; return the token, or None if it is current, or as empty as what is current."""
    if started.is_watching:
        started.begin_job()
    around = task.__dict__.pop(_SUBMITTED_IN, NOTHING)
    current = now()
    return None if around is current or not (around or current) else enter(around)


def _running(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def run(task: Any, /, *args: Any) -> Any:
        token = contained(_enter, task)
        try:
            return original(task, *args)
        finally:
            if token is not None:
                contained(leave, token)
            # An exception that the task's future keeps holds this frame, and would keep the task by it.
            del task, args, token

    return run

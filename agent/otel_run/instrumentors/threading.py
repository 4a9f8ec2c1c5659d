"""threading: a thread begins in the context of the one who started it.

Only OpenTelemetry's context comes along; other context variables of the program are none of our business. It is that
of the moment of `start()`, and what becomes of it in threads that live long is told in tracing/inherited.py. Threads
that do the work of many callers have none of their own: those of pools, which take the context of each task.
"""

from __future__ import annotations

import sys
from contextvars import Context as Variables
from typing import TYPE_CHECKING, Any

from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing.entering import NOTHING, enter, leave, now
from otel_run.tracing.inherited import inherited

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

_UNIT = "instrumentor threading"

# The name, in a thread's `__dict__`, of what is handed on from `start()` to the thread itself.
_HANDED_ON = "_otel_run_context"

# Modules whose threads work for whoever comes, and not for the one who happened to be the first.
_FOR_ALL = frozenset(
    (
        "concurrent.futures.process",
        "concurrent.futures.thread",
        "eventlet.tpool",
        "joblib.externals.loky.process_executor",
        "loky.process_executor",
        "logging.handlers",
        "multiprocessing.managers",
        "multiprocessing.pool",
        "multiprocessing.queues",
        "multiprocessing.resource_sharer",
    )
)

# eventlet has the module executed again, under other names, and goes on using all copies.
_copies: list[ModuleType] = []


class ThreadingInstrumentor(Instrumentor):
    """Patches the start of a thread, and its first steps."""

    library = "threading"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no spans
        """Return the patches."""
        import threading

        if threading not in _copies:
            _copies.append(threading)
        return [patch for copy in _copies for patch in _patches(copy)]


def _patches(threading: Any) -> list[Patch]:
    thread = threading.Thread
    if "context" in thread.__init__.__code__.co_varnames:
        return [Patch(_UNIT, thread, "start", _begin_start_with_variables)]
    return [
        Patch(_UNIT, thread, "start", _begin_start),
        # Not `run`, which subclasses override without calling it.
        Patch(_UNIT, thread, "_bootstrap_inner", _begin_thread),
    ]


def _works_for_all(thread: Any) -> bool:
    work = getattr(thread, "_target", None) or type(thread)
    return getattr(work, "__module__", None) in _FOR_ALL


def _begin_start(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    around = now()
    if not around:
        return None
    if _works_for_all(args[0]):
        return _nothing_handed_on()
    around = inherited(around)
    entries = vars(args[0])
    if around:
        entries[_HANDED_ON] = around

    def finish(_result: object, error: BaseException | None) -> None:
        if error is not None:
            entries.pop(_HANDED_ON, None)

    return finish


def _nothing_handed_on() -> Finish:
    # gevent hands on the current one by itself, and so may Python.
    token = enter(NOTHING)
    return lambda _result, _error: leave(token)


def _begin_thread(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    around = vars(args[0]).pop(_HANDED_ON, None)
    if around is not None:
        # Left with the thread itself: what is current is its own.
        enter(around)


def _begin_start_with_variables(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    """Do the same since Python 3.14, where a thread is given, or makes itself, the variables that it runs in."""
    around = now()
    entries = vars(args[0])
    # What is not None the program has chosen.
    if not around or entries.get("_context", around) is not None:
        return None
    if _works_for_all(args[0]):
        return _nothing_handed_on()
    if getattr(sys.flags, "thread_inherit_context", False):
        return None  # it sees all that the caller does
    variables = Variables()
    variables.run(enter, inherited(around))
    entries["_context"] = variables

    def finish(_result: object, error: BaseException | None) -> None:
        if error is not None and entries.get("_context") is variables:
            entries["_context"] = None

    return finish

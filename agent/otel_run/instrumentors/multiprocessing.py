"""multiprocessing: a child process begins in the context of the one who started it.

A forked child has that context already. To a spawned one, and to one of the fork server, it travels in the pickled
process object, as a dict of W3C's texts that needs nothing of ours to be read. The child enters it as soon as the
agent is awake there: before its work begins, or in the midst of that, when the first library is imported.

Processes that work for whoever comes next (a pool's, a manager's) begin in nobody's context, whoever made them start;
with their tasks the context comes along: multiprocessing_tasks.py, concurrent_futures_process.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import multiprocessing_tasks
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing import carrier
from otel_run.tracing.entering import NOTHING, enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

_UNIT = "instrumentor multiprocessing"

# The name, in a process object's `__dict__`, of what its child is told.
_TOLD = "_otel_run_told"

# And of what it is told of the parent's process span, where nothing is current: only a child that has begun as
# another's (the fork server's) does not know it already.
_OF_PARENT = "_otel_run_parent"

# Where the work stands that such a process does.
_FOR_ALL = frozenset(
    (
        "concurrent.futures.process",
        "joblib.externals.loky.process_executor",
        "loky.process_executor",
        "multiprocessing.managers",
        "multiprocessing.pool",
    )
)


class MultiprocessingInstrumentor(Instrumentor):
    """Patches the start of a process, in the parent, and its first steps in the child."""

    library = "multiprocessing"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no span
        """Return the patches."""
        from multiprocessing.process import BaseProcess

        return [
            Patch(_UNIT, BaseProcess, "start", _begin_start),
            # Not `run`, which subclasses override without calling it.
            Patch(_UNIT, BaseProcess, "_bootstrap", _begin_child),
        ]

    def _instrument(self, **kwargs: Any) -> None:
        super()._instrument(**kwargs)
        multiprocessing_tasks.patch_when_imported()
        # This may be a child, at work already.
        from multiprocessing.process import current_process

        _begin(current_process())


def _begin_start(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    entries = vars(args[0])
    if not now():
        return _telling(entries, _OF_PARENT, carrier.told())
    if getattr(entries.get("_target"), "__module__", None) in _FOR_ALL:
        token = enter(NOTHING)
        return lambda _result, _error: leave(token)
    return _telling(entries, _TOLD, carrier.told())


def _telling(entries: dict[str, Any], name: str, told: dict[str, str] | None) -> Finish | None:
    if told is None:
        return None
    entries[name] = told

    def finish(_result: object, _error: BaseException | None) -> None:
        entries.pop(name, None)

    return finish


def _begin_child(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    _begin(args[0])


def _begin(process: Any) -> None:
    told, of_parent = vars(process).pop(_TOLD, None), vars(process).pop(_OF_PARENT, None)
    if of_parent is not None:
        carrier.begin_after(of_parent)
    # A forked child is there already, and with all that the context holds.
    if told is not None and told != carrier.told_by(now()):
        enter(carrier.context_of(told))
    if multiprocessing_tasks.is_worker(process):
        multiprocessing_tasks.watch()

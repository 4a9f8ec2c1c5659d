"""concurrent.futures: what a pool of processes does for a caller is done in the context of `submit()`.

From the executor's note of a task (`_WorkItem`) the context comes, by way of the task's keyword arguments, to what
is sent to the worker (`_CallItem`), and is there an attribute more, a dict of texts: a worker without us reads it and
knows nothing of it. joblib's processes (loky) are run by the same classes under the same names.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run.boundary import contained
from otel_run.patching import on_import
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing import carrier
from otel_run.tracing.worker import begin_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

_UNIT = "instrumentor concurrent_futures_process"
_TOLD = "_otel_run_told"
_ALIKE = ("joblib.externals.loky.process_executor", "loky.process_executor")


class ConcurrentFuturesProcessInstrumentor(Instrumentor):
    """Patches the tasks of a ProcessPoolExecutor, in the parent, and the reading of them in the child."""

    library = "concurrent_futures_process"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no span
        """Return the patches."""
        from concurrent.futures import process

        return _patches(process)

    def _instrument(self, **kwargs: Any) -> None:
        super()._instrument(**kwargs)
        _read(sys.modules["concurrent.futures.process"])
        finder = on_import.in_place()
        if finder is not None:
            for name in _ALIKE:
                finder.wait_for(name, _applying_to(name))

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        item = sys.modules["concurrent.futures.process"]._CallItem
        if vars(item).get("__setstate__") is _set_state:
            del item.__setstate__


def _patches(module: Any) -> list[Patch]:
    """Return the patches for the parent, of a module that has these classes."""
    return [
        Patch(_UNIT, module._WorkItem, "__init__", _begin_note, "future fn args kwargs"),
        Patch(_UNIT, module._CallItem, "__init__", _begin_sending, "work_id fn args kwargs"),
    ]


def _applying_to(name: str) -> Callable[[], None]:
    def apply() -> None:
        module = sys.modules[name]
        if not hasattr(module._CallItem.__init__, "__wrapped__"):
            for patch in _patches(module):
                patch.apply()
            _read(module)

    return lambda: contained(_UNIT, apply) or None


class _Arguments(dict[str, Any]):
    """Keyword arguments of a task, and what its worker is told; never sent."""

    __slots__ = ("told",)
    told: dict[str, str]


def _begin_note(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    told = carrier.told()
    if told is None:
        return None

    def finish(_result: object, error: BaseException | None) -> None:
        if error is None and type(args[0].kwargs) is dict:
            args[0].kwargs = noted = _Arguments(args[0].kwargs)
            noted.told = told

    return finish


def _begin_sending(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    return lambda _result, _error: _tell(args[0])


def _tell(item: Any) -> None:
    noted = vars(item).get("kwargs")
    if type(noted) is _Arguments:
        item.kwargs = dict(noted)
        vars(item)[_TOLD] = noted.told


def _read(module: Any) -> None:
    """Enter, in a worker, the context of each task that it reads, and that of the one that it is in the midst of."""
    if not hasattr(module._CallItem, "__setstate__"):
        module._CallItem.__setstate__ = _set_state
    frame: Any = sys._getframe()
    while frame is not None and frame.f_code is not module._process_worker.__code__:
        frame = frame.f_back
    item = frame.f_locals.get("call_item") if frame is not None else None
    if item is not None:
        begin_task(vars(item).get(_TOLD))


def _set_state(item: Any, state: dict[str, Any]) -> None:
    """Do what reading does to an object that has no such method, and begin its task."""
    vars(item).update(state)
    contained(_UNIT, begin_task, state.get(_TOLD))

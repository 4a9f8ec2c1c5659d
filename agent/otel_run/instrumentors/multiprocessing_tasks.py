"""multiprocessing.pool: what a pool of processes does for a caller is done in that caller's context.

A task travels as a tuple whose function we give to the worker as a `functools.partial`, with the context in its
`__dict__`. It is called as the function itself would be, in C, so that no frame of ours shows; and a worker without
us needs nothing to read it. In a worker with us, the context is entered when a task has been read, and stays until
the next one.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from otel_run.boundary import contained
from otel_run.patching import on_import
from otel_run.patching.wrap import Around, Patch
from otel_run.tracing import carrier
from otel_run.tracing.worker import begin_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.wrap import Contained, Finish

_UNIT = "instrumentor multiprocessing"
_MODULE = "multiprocessing.pool"
_TOLD = "_otel_run_told"

# Method -> the place of the function; all ways to hand in a task end in one of these.
_TAKING = {"apply_async": 1, "_guarded_task_generation": 2}

_is_watching = False


def patch_when_imported() -> None:
    """Patch the pool when the program imports it."""
    finder = on_import.in_place()
    if finder is not None:
        finder.wait_for(_MODULE, lambda: contained(_UNIT, _patch) or None)


def _patch() -> None:
    module: Any = sys.modules[_MODULE]
    if not hasattr(module.Pool.apply_async, "__wrapped__"):
        for name, place in _TAKING.items():
            takes = " ".join(("result_job", "func")[2 - place :])
            Around(_UNIT, module.Pool, name, _handing_on(place, module.ThreadPool), takes).apply()


def _handing_on(place: int, threads: type[Any]) -> Callable[[Callable[..., Any], Contained], Any]:
    def tell(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # What can't be called a worker must be able to read, to say so.
        if len(args) <= place or isinstance(args[0], threads) or not callable(args[place]):
            return None
        told = carrier.told()
        return None if told is None else (*args[:place], _Telling(args[place], told), *args[place + 1 :])

    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        def hand_in(*args: Any, **kwargs: Any) -> Any:
            return original(*(contained(tell, args) or args), **kwargs)

        return hand_in

    return make


class _Telling:
    """A task's function, and what its worker is told."""

    __slots__ = ("_function", "_told")

    def __init__(self, function: Any, told: dict[str, str]) -> None:
        self._function = function
        self._told = told

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, should a pool of another making not send it away."""
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be a partial without arguments for whoever reads it."""
        return functools.partial, (self._function,), (self._function, (), {}, {_TOLD: self._told})


def is_worker(process: Any) -> bool:
    """Tell whether a process does a pool's work."""
    target = vars(process).get("_target")
    return getattr(target, "__module__", None) == _MODULE and getattr(target, "__name__", None) == "worker"


def watch() -> None:
    """Watch, in a worker, which tasks it reads."""
    global _is_watching
    from multiprocessing.reduction import ForkingPickler

    if not _is_watching:
        _is_watching = True
        Patch(_UNIT, ForkingPickler, "loads", _begin_to_read).apply()


def _begin_to_read(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish:
    return _end_of_reading


def _end_of_reading(read: Any, _error: BaseException | None) -> None:
    # The program's own queues are read by the same function.
    if type(read) is tuple and tuple(map(type, read[:2])) == (int, int) and len(read) == 5 and type(read[4]) is dict:
        begin_task(getattr(read[2], "__dict__", {}).get(_TOLD) if type(read[2]) is functools.partial else None)

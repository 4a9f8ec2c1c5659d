"""multiprocessing.pool: what a ThreadPool does for a caller is done in that caller's context.

The functions that it is given are called by one of ours, which enters the context and leaves it again; so are its
callbacks, in which others (joblib) hand on the rest of their tasks. Pools of processes are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Around, Patch
from otel_run.tracing.carried import Carried
from otel_run.tracing.entering import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained

_UNIT = "instrumentor multiprocessing_pool"

# Method -> where its two callbacks stand, if it has any.
_CALLBACKS = {"apply_async": (4, 5), "_map_async": (5, 6), "imap": (), "imap_unordered": ()}
_NAMES = ("callback", "error_callback")


class MultiprocessingPoolInstrumentor(Instrumentor):
    """Patches the methods that take tasks; all others call these."""

    library = "multiprocessing_pool"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no spans
        """Return the patches."""
        from multiprocessing.pool import ThreadPool

        return [Around(_UNIT, ThreadPool, name, _handing_on(places), "func") for name, places in _CALLBACKS.items()]


def _handing_on(places: tuple[int, ...]) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            around = contained(now)
            if around:
                args, kwargs = contained(_replace, args, kwargs, around, places, contained) or (args, kwargs)
            return original(*args, **kwargs)

        return call

    return make


def _replace(
    args: tuple[Any, ...], kwargs: dict[str, Any], around: Context, places: tuple[int, ...], contained: Contained
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments, the functions among them replaced."""
    by_place, by_name = list(args), dict(kwargs)
    if len(args) > 1:
        by_place[1] = Carried(args[1], around, contained)
    elif "func" in kwargs:
        by_name["func"] = Carried(kwargs["func"], around, contained)
    given = [args[at] if at < len(args) else kwargs.get(name) for at, name in zip(places, _NAMES, strict=False)]
    if any(callback is not None for callback in given):
        last = _Last(around)
        for at, name, callback in zip(places, _NAMES, given, strict=True):
            made = _Callback(callback, last, contained)
            if at < len(args):
                by_place[at] = made
            else:
                by_name[name] = made
    return tuple(by_place), by_name


class _Last:
    """The context of a task's callbacks, of which one is called: then it is needed no more."""

    __slots__ = ("_around",)

    def __init__(self, around: Context) -> None:
        self._around: Context | None = around

    def take(self) -> Context | None:
        """Return it and forget it: the pool's result keeps its callbacks for as long as the program keeps it."""
        around, self._around = self._around, None
        return around


class _Callback:
    """A callback in the context of its task; stands also where there is none, to have the context forgotten."""

    __slots__ = ("_contained", "_function", "_last")

    def __init__(self, function: Any, last: _Last, contained: Contained) -> None:
        self._function = function
        self._last = last
        self._contained = contained

    def __call__(self, result: object) -> None:
        around = self._last.take()
        if self._function is None:
            return
        (self._function if around is None else Carried(self._function, around, self._contained))(result)

"""The program applies an instrumentor by itself: its wish wins, and ours for that library stands aside.

What the program writes (`RedisInstrumentor().instrument(request_hook=...)`) has hooks and options that ours
knows nothing of, and both together would make each span twice. So it is noticed where all instrumentors pass,
in `BaseInstrumentor.instrument`, and ours is undone once theirs is in place; until the process ends, even
if they take theirs away again. One that the start-up has applied, as a candidate, is taken back before the
program applies it anew with its own options. Instrumenting a single object (`instrument_client(client)`) makes
us leave that object alone, and no other.
"""

from __future__ import annotations

import sys

from otel_run import report
from otel_run.boundary import contained, without_exit
from otel_run.patching import candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from otel_run.patching.candidates import Candidate
    from otel_run.patching.on_import import Finder
    from otel_run.patching.wrap import Finish

_UNIT = "stepping aside"

# What contrib offers for single objects: library -> (module, class, method).
_FOR_ONE_OBJECT = {
    "flask": ("opentelemetry.instrumentation.flask", "FlaskInstrumentor", "instrument_app"),
    "httpx": ("opentelemetry.instrumentation.httpx", "HTTPXClientInstrumentor", "instrument_client"),
    "psycopg": ("opentelemetry.instrumentation.psycopg", "PsycopgInstrumentor", "instrument_connection"),
    "redis": ("opentelemetry.instrumentation.redis", "RedisInstrumentor", "instrument_client"),
}
# How contrib marks these objects.
_MARK = "_is_instrumented_by_opentelemetry"

_aside: set[str] = set()
_narrowed: set[str] = set()
_ours: dict[str, Candidate] = {}
# By identity, as an instrumentor may compare or hash as it likes; each is a singleton for ever.
_applied: dict[int, Any] = {}
_being_applied: dict[int, Any] = {}


def watch(finder: Finder, ours: list[Candidate]) -> None:
    """Notice, from now on, what the program applies by itself; `ours` are the candidates that would step aside."""
    _ours.update((candidate.name, candidate) for candidate in ours)
    finder.wait_for("opentelemetry.instrumentation.instrumentor", _watch_all)
    for library, (module, cls, method) in _FOR_ONE_OBJECT.items():
        finder.wait_for(module, _watcher_of_one_object(library, module, cls, method))


def is_aside(candidate: Candidate) -> bool:
    """Tell whether the program has applied another in its place."""
    return candidate.name in _aside


def apply(instrumentor: Any, **options: Any) -> None:
    """Apply an instrumentor as our start-up does, which is not the program's own wish."""
    _being_applied[id(instrumentor)] = instrumentor
    try:
        instrumentor.instrument(**options)
    finally:
        del _being_applied[id(instrumentor)]
    _applied[id(instrumentor)] = instrumentor


def is_from_startup(instrumentor: Any) -> bool:
    """Tell whether `apply` was the last to apply it, and not the program."""
    return id(instrumentor) in _applied


def _watch_all() -> None:
    from otel_run.patching.wrap import Patch

    base = sys.modules["opentelemetry.instrumentation.instrumentor"].BaseInstrumentor
    if not hasattr(base.instrument, "__wrapped__"):
        Patch(_UNIT, base, "instrument", _begin).apply()


def _begin(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    instrumentor = args[0]
    if id(instrumentor) in _being_applied or type(instrumentor).__module__.startswith("otel_run."):
        return None
    if _applied.pop(id(instrumentor), None) is not None and instrumentor.is_instrumented_by_opentelemetry:
        contained(_UNIT, without_exit, _take_back, instrumentor)

    def finish(_result: Any, error: BaseException | None) -> None:
        if error is None and instrumentor.is_instrumented_by_opentelemetry:
            for candidate in _ours.values():
                if candidate.name not in _aside and _does_the_same(instrumentor, candidate):
                    _step_aside(candidate, instrumentor)

    return finish


def _take_back(instrumentor: Any) -> None:
    import logging

    factory = logging.getLogRecordFactory()
    instrumentor.uninstrument()
    # Contrib's for logging puts back the factory that it found, over one that the program has set since.
    if factory.__module__ != type(instrumentor).__module__:
        logging.setLogRecordFactory(factory)
    report.note(_name_of(instrumentor), "stepped aside", "the program applies it itself, with its own options")


def _does_the_same(instrumentor: Any, ours: Candidate) -> bool:
    value = f"{type(instrumentor).__module__}:{type(instrumentor).__qualname__}"
    if any(value == other.value for other in ours.instead_of):
        return True
    return any(candidates.library_of(needed) == ours.name for needed in instrumentor.instrumentation_dependencies())


def _step_aside(candidate: Candidate, instead: Any) -> None:
    _aside.add(candidate.name)
    instrumentor = _in_place(candidate)
    if instrumentor is not None:
        instrumentor.uninstrument()
    report.note(candidate.name, "stepped aside", f"the program applies {_name_of(instead)} itself")


def _in_place(candidate: Candidate) -> Any:
    """Return our instrumentor, if it is loaded and applied; it may have been refused."""
    if candidate.value.partition(":")[0] not in sys.modules:
        return None
    instrumentor = candidates.load(candidate.value)()
    return instrumentor if instrumentor.is_instrumented_by_opentelemetry else None


def _name_of(instrumentor: Any) -> str:
    return f"{type(instrumentor).__module__}.{type(instrumentor).__qualname__}"


def _watcher_of_one_object(library: str, module: str, cls: str, method: str) -> Callable[[], None]:
    def watch_one() -> None:
        from otel_run.patching.wrap import Patch

        owner = getattr(sys.modules[module], cls, None)
        if owner is not None and hasattr(owner, method):
            Patch(_UNIT, owner, method, begin).apply()

    def begin(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish:
        return finish

    def finish(_result: Any, error: BaseException | None) -> None:
        if error is None and library in _ours and library not in _narrowed:
            _narrowed.add(library)
            _narrow(_ours[library], method)

    return watch_one


def _narrow(candidate: Candidate, method: str) -> None:
    """Have ours pass over the objects that the program has instrumented one by one."""
    for patch in getattr(_in_place(candidate), "_applied", ()):
        patch.narrow(_is_of_the_program)
    report.note(candidate.name, "stepped aside", f"for single objects, to which the program applies {method} itself")


def _is_of_the_program(receiver: Any, name: str) -> bool:
    """Tell whether contrib observes this client, or the pipeline or cursor that such a one has made."""
    own = getattr(receiver, "__dict__", {})
    connection = getattr(receiver, "_conn", None)  # of a cursor of psycopg
    return bool(own.get(_MARK) or name in own or getattr(connection, _MARK, False))

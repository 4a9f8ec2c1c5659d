"""What every instrumentor of ours is: a `BaseInstrumentor` that lists its patches and applies all or none.

It is one by registration, and not by inheritance: the module of that class imports a parser of requirements,
wrapt, asyncio and a reader of metadata, which cost a process more than all the rest of the agent.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import trace

from otel_run import __version__
from otel_run.patching import on_import
from otel_run.patching.wrap import DoesNotFit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from typing_extensions import Self

    from otel_run.patching.wrap import Patch

_log = logging.getLogger(__name__)

SCHEMA_URL = "https://opentelemetry.io/schemas/1.40.0"


class KnownBad(NamedTuple):
    """A range of versions, both ends included, in which the library and our patches are known to go wrong."""

    first: str
    last: str
    why: str


class Instrumentor:
    """One library's patches. Subclasses set `library` and write `patches`.

    As any `BaseInstrumentor` it is a singleton, is loaded through the entry point group
    `opentelemetry_instrumentor`, and takes `tracer_provider` in `instrument()`.
    """

    _instance: Self | None = None
    _is_instrumented_by_opentelemetry = False

    # The distribution that is instrumented. No version: whether it fits is seen by looking.
    library = ""
    # What looking can't see. There is never an upper limit for versions that nobody has tried.
    known_bad: tuple[KnownBad, ...] = ()

    def __new__(cls) -> Self:
        """Return the one there is of each class."""
        if "_instance" not in cls.__dict__:
            cls._instance = super().__new__(cls)
        found: Self = cls.__dict__["_instance"]
        return found

    def patches(self, tracer: trace.Tracer) -> Iterable[Patch]:
        """Return what to patch; creating a Patch raises DoesNotFit where the library is another shape.

        Imports of the library stand inside, so that this module can be loaded without it.
        """
        raise NotImplementedError

    def instrumentation_dependencies(self) -> Collection[str]:
        """Name the library for whoever loads us; never a version."""
        return (self.library,)

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Tell whether it is applied."""
        return self._is_instrumented_by_opentelemetry

    def instrument(
        self, *, skip_dep_check: bool = False, raise_exception_on_conflict: bool = False, **kwargs: Any
    ) -> None:
        """Apply it, to spans of `tracer_provider` if there is one; the dependencies are looked up if not told to skip.

        A library that is not installed raises `DependencyConflictError`, or is logged, as the loader wishes.
        """
        if self._is_instrumented_by_opentelemetry:
            _log.warning("%s is applied already", type(self).__qualname__)
        elif skip_dep_check or not self._lacks_library(raise_exception_on_conflict):
            self._instrument(**kwargs)
            self._is_instrumented_by_opentelemetry = True

    def uninstrument(self, **kwargs: Any) -> None:
        """Take it away again."""
        if not self._is_instrumented_by_opentelemetry:
            _log.warning("%s is not applied", type(self).__qualname__)
            return
        self._uninstrument(**kwargs)
        self._is_instrumented_by_opentelemetry = False

    def _lacks_library(self, raises: bool) -> bool:
        from opentelemetry.instrumentation.dependencies import DependencyConflictError, get_dependency_conflicts

        conflict = get_dependency_conflicts(self.instrumentation_dependencies())
        if conflict is not None and raises:
            raise DependencyConflictError(conflict)
        if conflict is not None:
            _log.error("%s", conflict)
        return conflict is not None

    def _instrument(self, **kwargs: Any) -> None:
        tracer = trace.get_tracer(
            type(self).__module__, __version__, kwargs.get("tracer_provider"), schema_url=SCHEMA_URL
        )
        self._refuse_known_bad()
        # All are built, and so checked, before the first is applied: half a library is worse than none.
        self._applied = list(self.patches(tracer))
        done = False
        try:
            for patch in self._applied:
                patch.apply()
            done = True
        finally:
            if not done:
                self._uninstrument()

    def _refuse_known_bad(self) -> None:
        version = getattr(sys.modules.get(self.library), "__version__", "")
        for bad in self.known_bad:
            if _release(bad.first) <= _release(version) <= _release(bad.last):
                raise DoesNotFit(f"{self.library} {version} is known to go wrong: {bad.why}")

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the signature of BaseInstrumentor
        for patch in reversed(self._applied):
            patch.undo()
        self._applied = []


_BASE = "opentelemetry.instrumentation.instrumentor"


def _register() -> None:
    sys.modules[_BASE].BaseInstrumentor.register(Instrumentor)


def _register_when_imported() -> None:
    """Be a `BaseInstrumentor` for whoever can ask, which takes its module to have been imported."""
    finder = on_import.in_place()
    if finder is not None:
        finder.wait_for(_BASE, _register)
    else:  # somebody else's loader, or the program, is applying ours without the agent
        __import__(_BASE)
        _register()


_register_when_imported()


def _release(version: object) -> tuple[int, ...]:
    """Return the numbers that a version begins with, 2.0 as 2; () if it has none, which is older than all."""
    numbers: list[int] = []
    for part in str(version).split("."):
        digits = part[: next((i for i, c in enumerate(part) if c not in "0123456789"), len(part))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)

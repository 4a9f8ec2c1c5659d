"""What every instrumentor of ours is: a `BaseInstrumentor` that lists its patches and applies all or none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_run import __version__
from otel_run.patching.wrap import DoesNotFit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from otel_run.patching.wrap import Patch

SCHEMA_URL = "https://opentelemetry.io/schemas/1.40.0"


class KnownBad(NamedTuple):
    """A range of versions, both ends included, in which the library and our patches are known to go wrong."""

    first: str
    last: str
    why: str


class Instrumentor(BaseInstrumentor):  # type: ignore[misc]
    """One library's patches. Subclasses set `library` and write `patches`.

    As any `BaseInstrumentor` it is a singleton, is loaded through the entry point group
    `opentelemetry_instrumentor`, and takes `tracer_provider` in `instrument()`.
    """

    # The distribution that is instrumented. No version: whether it fits is seen by looking.
    library = ""
    # What looking can't see. There is never an upper limit for versions that nobody has tried.
    known_bad: tuple[KnownBad, ...] = ()

    def patches(self, tracer: trace.Tracer) -> Iterable[Patch]:
        """Return what to patch; creating a Patch raises DoesNotFit where the library is another shape.

        Imports of the library stand inside, so that this module can be loaded without it.
        """
        raise NotImplementedError

    def instrumentation_dependencies(self) -> Collection[str]:
        """Name the library for whoever loads us; never a version."""
        return (self.library,)

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

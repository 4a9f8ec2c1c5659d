"""eventlet: a green thread begins in the context of the one who spawned it.

It has no variables yet when it is made, and is given some in which OpenTelemetry's context is all there is. So is the
bare greenlet of `spawn_n`. The real threads of `tpool` are left as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import DoesNotFit, Patch
from otel_run.tracing.entering import now
from otel_run.tracing.inherited import hand_on_to_greenlet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

_UNIT = "instrumentor eventlet"


class EventletInstrumentor(Instrumentor):
    """Patches the making of a green thread."""

    library = "eventlet"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no spans
        """Return the patch."""
        from eventlet import greenthread

        made = greenthread.GreenThread
        if not hasattr(made, "gr_context"):
            raise DoesNotFit("its greenlets have no variables")
        return [Patch(_UNIT, made, "__init__", _begin), Patch(_UNIT, greenthread, "_spawn_n", _begin_bare)]


def _begin(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    if not now():
        return None

    def finish(_result: object, error: BaseException | None) -> None:
        if error is None:
            hand_on_to_greenlet(args[0])

    return finish


def _begin_bare(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    return _finish_bare if now() else None


def _finish_bare(result: Any, error: BaseException | None) -> None:
    if error is None:
        _timer, greenlet = result
        hand_on_to_greenlet(greenlet)

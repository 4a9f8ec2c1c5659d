"""gevent: a greenlet begins in the context of the one who spawned it, as a thread does.

gevent calls back at each spawn, in the spawning greenlet, and the new one has no variables yet: it is given some in
which OpenTelemetry's context is all there is. Greenlets of greenlet alone, and `spawn_raw`, are left as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.boundary import Fuse
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import DoesNotFit
from otel_run.tracing.inherited import hand_on_to_greenlet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Patch


class GeventInstrumentor(Instrumentor):
    """Has itself called when a greenlet is spawned; there is nothing to patch."""

    library = "gevent"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no spans
        """Return none."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        import gevent

        greenlet: Any = gevent.Greenlet

        if not (hasattr(greenlet, "add_spawn_callback") and hasattr(greenlet, "gr_context")):
            raise DoesNotFit("its greenlets have no variables")
        super()._instrument(**kwargs)
        self._greenlet = greenlet
        self._fuse = Fuse("instrumentor gevent", self.uninstrument)
        greenlet.add_spawn_callback(self._spawned)

    def _uninstrument(self, **kwargs: Any) -> None:
        self._greenlet.remove_spawn_callback(self._spawned)
        super()._uninstrument(**kwargs)

    def _spawned(self, greenlet: Any) -> None:
        self._fuse.contained(hand_on_to_greenlet, greenlet)

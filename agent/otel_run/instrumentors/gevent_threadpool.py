"""gevent.threadpool: what a pool of real threads, such as the hub's own, does for a greenlet is done in its context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Around, Patch
from otel_run.tracing.carried import Carried
from otel_run.tracing.entering import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Contained


class GeventThreadpoolInstrumentor(Instrumentor):
    """Patches the method through which all others go."""

    library = "gevent_threadpool"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:  # noqa: ARG002 - it makes no spans
        """Return the patch."""
        from gevent.threadpool import ThreadPool

        return [Around("instrumentor gevent_threadpool", ThreadPool, "spawn", _handing_on, takes="func")]


def _handing_on(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    def spawn(*args: Any, **kwargs: Any) -> Any:
        around = contained(now)
        if around and len(args) > 1:
            pool, function, *rest = args
            args = (pool, Carried(function, around, contained), *rest)
        return original(*args, **kwargs)

    return spawn

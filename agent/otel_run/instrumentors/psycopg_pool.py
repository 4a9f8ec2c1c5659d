"""psycopg_pool: a span for the time that the program waits for a connection, and silence about the pool itself.

A pool connects, pings and resets in threads or tasks of its own; each of those would be a trace of one span that
belongs to nobody, or to whatever request happened to open the pool. Pings in the midst of waiting are part of it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry import context
from opentelemetry.trace import SpanKind

from otel_run.instrumentors import sql
from otel_run.patching.wrap import Patch
from otel_run.tracing import waiting
from otel_run.tracing.entering import now
from otel_run.tracing.silence import Silence
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

# The first of the package's modules that begins when psycopg has been imported, whoever imports which first.
# When it ends, both classes are there; the null pools inherit from them.
AWAITED = "psycopg_pool.pool_async"

_UNIT = "instrumentor psycopg"


def patches(tracer: Tracer) -> list[Patch]:
    """Return the patches of all four pools; the library must have been imported."""
    from psycopg_pool.pool import ConnectionPool
    from psycopg_pool.pool_async import AsyncConnectionPool

    watch = _Watch(tracer)
    return [
        Patch(_UNIT, pool, name, begin)
        for pool in (ConnectionPool, AsyncConnectionPool)
        for name, begin in (
            ("getconn", watch.wait),
            ("check_connection", watch.hush),
            ("worker", watch.hush_forever),
        )
        # Before 3.2 no pool checks what it lends.
        if name != "check_connection" or hasattr(pool, name)
    ]


class _Watch:
    """What happens before and after each patched method."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def wait(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        if is_dropped(self._tracer, now()):
            return None
        pool = args[0]
        silence = Silence(sql.INSIDE_POOL)
        began = time.time_ns()

        def finish(_result: Any, error: BaseException | None) -> None:
            silence(None, error)
            attributes = {
                "db.system.name": "postgresql",
                "db.client.connection.pool.name": str(getattr(pool, "name", "")),
            }
            message = None if error is None else sql.message(error)
            waiting.tell(self._tracer, "WAIT FOR POOL", SpanKind.INTERNAL, attributes, began, error, message)

        return finish

    def hush(self, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        return None if is_dropped(self._tracer, now()) else Silence(sql.INSIDE_POOL)

    def hush_forever(self, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        # The context of the worker's own thread or task, which ends with it: there is nothing to go back to.
        context.attach(context.set_value(sql.INSIDE_POOL, True))

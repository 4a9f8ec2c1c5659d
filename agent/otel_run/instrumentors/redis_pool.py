"""Waiting for a connection of redis-py's blocking pools: a span inside the call that waits, if it is noticeable.

What it takes to connect is not waiting. Pools of the other kind refuse at once.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from otel_run.instrumentors.redis_calls import locate
from otel_run.tracing.waiting import tell

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from otel_run.patching.wrap import Finish

# The call that waits in this task, and since when (ns since the epoch).
_waiting: ContextVar[tuple[Span, int] | None] = ContextVar("otel_run.redis.waiting", default=None)


class PoolWatch:
    """Tells how long calls wait for the pool."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def get(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch `get_connection` of a sync pool, which waits for its queue."""
        pool = args[0]
        queue = getattr(pool, "pool", None)
        if queue is None or not trace.get_current_span().is_recording() or not queue.empty():
            return None
        began = time.time_ns()

        def finish(_result: Any, error: BaseException | None) -> None:
            # Any other is one of connecting.
            is_pools = error is not None and "No connection available" in str(error)
            self._tell(pool, began, error if is_pools else None)

        return finish

    def can_get(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch what a pool of asyncio asks itself until it is so; its `get_connection` is no coroutine function.

        That it never was is not seen here, but as the error of the call.
        """
        span = trace.get_current_span()
        if not span.is_recording():
            return None

        def finish(can: Any, _error: BaseException | None) -> None:
            # Of another span it is a wait that was given up.
            known = _waiting.get()
            since = known[1] if known is not None and known[0] is span else None
            if not can and since is None:
                _waiting.set((span, time.time_ns()))
            elif can and since is not None:
                _waiting.set(None)
                self._tell(args[0], since, None)

        return finish

    def _tell(self, pool: Any, began: int, error: BaseException | None) -> None:
        attributes: dict[str, Any] = {"db.system.name": "redis"}
        locate(getattr(pool, "connection_kwargs", None) or {}, attributes)
        tell(self._tracer, "WAIT FOR POOL", SpanKind.INTERNAL, attributes, began, error, str(error or ""))

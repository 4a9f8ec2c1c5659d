"""Time that passes before a database can be asked: connecting, and waiting for a pool.

Most of it is too short to be worth a span, and which will be long is not known before. So a span is made
afterwards, where it was noticeable or failed. What asks a server (CONNECT, PING) may be a trace of its own, as
any other call; waiting for a pool is only told inside a trace, for by itself it explains nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_run import settings
from otel_run.tracing.call import error_type, is_cancellation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue


def tell(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue],
    began: int,
    error: BaseException | None = None,
    message: str | None = None,
) -> None:
    """Make the span of a wait from `began` (ns since the epoch) to now, if it is worth one.

    It is if it took OTEL_RUN_CONNECTION_THRESHOLD milliseconds or failed with `error`, told by `message`.
    """
    now = time.time_ns()
    failed = error is not None and not is_cancellation(error)
    if not (failed or now - began >= settings.current().connection_threshold * 1_000_000):
        return
    if kind is SpanKind.INTERNAL and not trace.get_current_span().is_recording():
        return
    span = tracer.start_span(name, kind=kind, attributes=attributes, start_time=began)
    if error is not None and failed:
        span.set_attribute("error.type", error_type(error))
        span.set_status(Status(StatusCode.ERROR, message or None))
    span.end(now)

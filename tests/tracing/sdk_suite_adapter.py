"""Our provider and span behind the constructors of the SDK's, for tests that make theirs by those.

In a process that has called `install`, whoever makes a `TracerProvider` or `_Span` of the SDK's gets ours.
"""

from __future__ import annotations

import importlib
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON
from opentelemetry.trace import SpanContext, SpanKind

from otel_run import settings
from otel_run.tracing.provider import Provider

_THEIRS, _THEIR_SPAN = trace.TracerProvider, trace._Span
_SETTINGS, _ = settings.read({}, lambda _group: [])


class Adapted(Provider):
    """Our provider, with what the SDK's constructor is given in place of what settings say."""

    def __init__(
        self,
        sampler: Any = None,
        resource: Any = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        *args: Any,
        **more: Any,
    ) -> None:
        super().__init__(_SETTINGS, resource or Resource({}), sampler or DEFAULT_ON)
        processor = active_span_processor or self._active_span_processor
        # Once more, for what settings do not say: the SDK reads the environment, as its tests expect.
        _THEIRS.__init__(self, sampler, resource, shutdown_on_exit, processor, *args, **more)

    def shutdown(self) -> None:
        """Take back what the SDK's constructor has registered."""
        _THEIRS.shutdown(self)


def started(
    name: str,
    context: SpanContext,
    parent: SpanContext | None = None,
    resource: Resource | None = None,
    attributes: Any = None,
    kind: SpanKind = SpanKind.INTERNAL,
    span_processor: trace.SpanProcessor | None = None,
    **more: Any,
) -> trace.Span:
    """Return a span of ours for what the SDK's constructor is given. Calling `start` does nothing for it."""
    if more:
        # From the SDK's own tracer, which does the work for those that want its metrics.
        return _THEIR_SPAN(name, context, parent, resource=resource, attributes=attributes, kind=kind,
                           span_processor=span_processor, **more)  # fmt: skip
    provider = Adapted(ALWAYS_ON, resource, False, span_processor, span_limits=trace._UnsetLimits)
    made: Any = provider.get_tracer(__name__).start_span(name, Context(), kind, attributes)
    made._context, made._parent, made._instrumentation_scope = context, parent, None
    # Theirs begins with none.
    made._start_time = None
    return made


def install() -> None:
    """Put ours in the place of the SDK's, for good."""
    trace.TracerProvider = Adapted  # type: ignore[misc]
    trace._Span = started  # type: ignore[misc,assignment]
    reload = importlib.reload
    # Some of their tests load the module again, and all tests after those would get the SDK's.
    importlib.reload = lambda module: module if module is trace else reload(module)

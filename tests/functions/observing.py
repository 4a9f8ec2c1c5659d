"""A provider of ours that keeps its spans, and functions that are traced by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, sampling

from otel_run import settings
from otel_run.functions import replaced
from otel_run.functions.spans import FunctionSpans
from otel_run.tracing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable

OFF = sampling.ParentBased(sampling.TraceIdRatioBased(0))
HALF = sampling.ParentBased(sampling.TraceIdRatioBased(0.5))


class Kept(SpanProcessor):
    """Keeps ended spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


class Tracing:
    """Traces functions, and has their spans."""

    def __init__(self, sampler: sampling.Sampler = sampling.DEFAULT_ON, limit: int = 1000, **variables: str) -> None:
        found, _ = settings.read(variables, lambda _group: [])
        self.provider = provider = Provider(found, Resource({}), sampler)
        kept = Kept()
        provider.add_own_processor(kept)
        self.spans = kept.spans
        self.tracer = provider.get_tracer("otel_run.functions")
        self._limit = limit

    def trace(
        self,
        function: Any,
        *arguments: str,
        name: str | None = None,
        limit: int = 0,
    ) -> Any:
        """Trace a function in place, and return it; its module is called `orders`."""
        spans = FunctionSpans(self.tracer, function, "orders", function.__name__, name, arguments, limit or self._limit)
        replaced.trace(function, spans)
        return function

    def __getitem__(self, name: str) -> Any:
        """Return the only span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    @property
    def names(self) -> list[str]:
        """The names of all spans, in the order in which they ended."""
        return [span.name for span in self.spans]

    def parent_of(self, name: str) -> str | None:
        """Return the name of the span above."""
        parent = self[name].parent
        return next((one.name for one in self.spans if parent and one.context.span_id == parent.span_id), None)


def raising(function: Callable[[], object]) -> BaseException:
    """Return what the function raises."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")

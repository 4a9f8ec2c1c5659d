"""Our processor on a provider that the program has set up: everything once, whoever else sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_run import report

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider


class Follower(SpanProcessor):
    """Hands the spans of `theirs` to one of our processors, unless theirs go to the same place already."""

    def __init__(self, theirs: TracerProvider, ours: SpanProcessor) -> None:
        self._theirs = theirs
        self._ours = ours
        # Processors may be added at any time; they are looked at when there are others than before.
        self._seen: object = None
        self._is_needed = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand it on."""
        self._ours.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand it on, if nobody else sends it there."""
        processors = getattr(self._theirs._active_span_processor, "_span_processors", ())
        if processors is not self._seen:
            self._seen = processors
            self._look(processors)
        if self._is_needed:
            self._ours.on_end(span)

    def _look(self, processors: tuple[Any, ...]) -> None:
        where = _place(getattr(self._ours, "endpoint", ""))
        self._is_needed = not where or where not in {_place(_endpoint_of(processor)) for processor in processors}
        if not self._is_needed:
            report.note("provider", "the program's own", f"it sends to {where} by itself; we leave that to it")

    def shutdown(self) -> None:
        """Hand it on."""
        self._ours.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Hand it on."""
        return self._ours.force_flush(timeout_millis)


def _endpoint_of(processor: object) -> str:
    """Return the endpoint of the OTLP exporter behind one of the SDK's processors, empty if it has none."""
    exporter = getattr(processor, "span_exporter", None) or getattr(
        getattr(processor, "_batch_processor", None), "_exporter", None
    )
    return str(getattr(exporter, "_endpoint", ""))


def _place(url: str) -> str:
    """Return the host:port of an endpoint, however it is written, in lower case."""
    authority = url.rpartition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2].lower()
    return authority.replace("127.0.0.1", "localhost")

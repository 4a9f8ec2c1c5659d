"""The processors of a provider, and which of them are ours: those are told nothing but that a span has ended.

Where there are no others they get the span itself. Anybody's get what the SDK gives them: the start, the ending, and
at the end a copy, the same for all, as what one of them takes out of that must not leave by way of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor

from otel_run.tracing import collection

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span, SpanProcessor


class Processors(SynchronousMultiSpanProcessor):
    """The SDK's, one after the other."""

    def __init__(self) -> None:
        """Begin with none."""
        self._own: tuple[SpanProcessor, ...] = ()
        super().__init__()  # type: ignore[no-untyped-call]

    def add_own(self, processor: SpanProcessor) -> None:
        """Add one of ours: `on_end` is all that it wants, and it changes nothing of what it is given."""
        self._own = (*self._own, processor)
        self.add_span_processor(processor)

    # A program may put others in the place of these, which nothing of the SDK's prevents.
    @property
    def _span_processors(self) -> tuple[SpanProcessor, ...]:
        return self._all

    @_span_processors.setter
    def _span_processors(self, processors: tuple[SpanProcessor, ...]) -> None:
        self._all = processors
        # Told of the start, and of the ending.
        self._others = tuple(one for one in processors if all(one is not own for own in self._own))
        if self._others:
            collection.watch()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell those that want to know."""
        for one in self._others:
            one.on_start(span, parent_context=parent_context)

    def _on_ending(self, span: Span) -> None:
        for one in self._others:
            one._on_ending(span)

    def take(self, span: Span) -> None:
        """Hand on a span that has ended, in order."""
        if self._others:
            collection.hand_on(self._take_copy, span)
        else:
            for one in self._all:
                one.on_end(span)

    def _take_copy(self, span: Span) -> None:
        self._on_ending(span)
        ended = span._readable_span()
        for one in self._all:
            one.on_end(ended)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have each deliver, one after the other."""
        collection.hand_on_postponed()
        return super().force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Have each end."""
        collection.hand_on_postponed()
        super().shutdown()

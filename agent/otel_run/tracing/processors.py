"""The processors of a provider, and which of them are ours: those get a span as it is, and are told nothing else.

Anybody's get what the SDK gives them: the start, the ending, and a copy at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor

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

    def _is_own(self, processor: SpanProcessor) -> bool:
        return any(processor is one for one in self._own)

    # A program may put others in the place of these, which nothing of the SDK's prevents.
    @property
    def _span_processors(self) -> tuple[SpanProcessor, ...]:
        return self._all

    @_span_processors.setter
    def _span_processors(self, processors: tuple[SpanProcessor, ...]) -> None:
        self._all = processors
        # Told of the start, and of the ending.
        self._others = tuple(one for one in processors if not self._is_own(one))

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell those that want to know."""
        for one in self._others:
            one.on_start(span, parent_context=parent_context)

    def _on_ending(self, span: Span) -> None:
        for one in self._others:
            one._on_ending(span)

    def take(self, span: Span) -> None:
        """Hand on a span that has ended, in order."""
        if not self._others:
            for one in self._all:
                one.on_end(span)
            return
        self._on_ending(span)
        copied = span._readable_span()
        for one in self._all:
            one.on_end(span if self._is_own(one) else copied)

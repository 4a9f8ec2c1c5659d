"""A span as the SDK has it, to the last of its rules, at a quarter of its cost.

It is a subclass that keeps everything under the SDK's names, so that processors, exporters and programs that look
inside find what they know. What differs: no lock (each step is one that no thread can interrupt), nothing allocated
that most spans never have, attributes checked all at once (attributes.py), and at the end the span itself, rather
than a copy, goes to processors of ours, if there are no others.
Source: OpenTelemetry specification, "Trace API" and "Trace SDK"; where they are silent, opentelemetry-sdk.
"""

from __future__ import annotations

import itertools
import threading
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode

from otel_run.tracing import collection, told_errors
from otel_run.tracing.attributes import SpanAttributes
from otel_run.tracing.processors import Processors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind
    from opentelemetry.util.types import AnyValue, Attributes

# Whoever wants to know what begins and ends (started.py).
begun: Callable[[Span], None] | None = None
ended: Callable[[Span], None] | None = None

_UNSET = Status()
_new = object.__new__


class Unsampled(NonRecordingSpan):
    """A span that nobody will see, made where the sampler keeps nothing below it either.

    What would be made below need not be: instrumentors ask for this before they look at anything else.
    """

    # What goes into the headers of a request; made when the first goes out.
    traceparent = ""


class _Grown:
    """Events, or links: a list that is made when somebody looks, since most spans have none."""

    def __init__(self, limit: str) -> None:
        self._limit = limit

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, span: Span | None, _owner: type) -> Any:
        if span is None:
            return self
        return vars(span).setdefault(self._name, BoundedList(getattr(span._limits, self._limit)))


# The class that programs look for is the SDK's only concrete one.
class Span(sdk._Span):
    """A span that is recorded."""

    _attributes: Any
    _context: Any
    # There until it ends.
    _is_open: bool
    # On the class, so that a span holds only what differs.
    _end_time: int | None = None
    _events: Any = _Grown("max_events")
    _links: Any = _Grown("max_links")
    _status = _UNSET
    _record_exception = True
    _set_status_on_exception = True
    _sampler = None
    _trace_config = None
    _record_end_metrics = None
    # How often `count` was called, by name.
    _counts: dict[str, itertools.count[int]] | None = None

    @property
    def _lock(self) -> Any:  # type: ignore[override]
        """What code of the SDK's that a later version may bring takes; ours does without."""
        return vars(self).setdefault("_lock_of_ours", threading.RLock())

    def get_span_context(self) -> SpanContext:
        """Return the context."""
        context: SpanContext = self._context
        return context

    def is_recording(self) -> bool:
        """Tell whether it has not ended."""
        return self._end_time is None

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set attributes."""
        if self._end_time is None:
            self._attributes._set_items(attributes)
        else:
            sdk.logger.warning("Setting attribute on ended span.")

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Set an attribute."""
        if self._end_time is None:
            self._attributes[key] = value
        else:
            sdk.logger.warning("Setting attribute on ended span.")

    def count(self, name: str) -> None:
        """Count one more of what is told as a number, the attribute `name`, when the span ends."""
        counts = self._counts or vars(self).setdefault("_counts", {})
        # What counts for several threads at once, and loses none.
        next(counts.get(name) or counts.setdefault(name, itertools.count()))

    def _tell_counts(self, counts: dict[str, itertools.count[int]]) -> None:
        kept = self._attributes
        for name, counter in list(counts.items()):
            # Nothing else has to go for them.
            if kept.maxlen is None or len(kept) < kept.maxlen:
                kept[name] = next(counter)
        del self._counts

    def _is_left(self, wish: str) -> bool:
        """Tell whether it is too late to do what the SDK's method called `wish` does, and say so."""
        if self._end_time is None:
            return False
        sdk.logger.warning("Tried calling %s on an ended span.", wish)
        return True

    def _bounded(self, attributes: Attributes, most: int | None) -> SpanAttributes:
        made = SpanAttributes(most, attributes, self._limits.max_attribute_length)
        made._immutable = True
        return made

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an event about `exception`, which the spans above that it passes on its way need not tell again."""
        super().record_exception(exception, attributes, timestamp, escaped)
        # The SDK takes anything that can be formatted as one.
        if isinstance(exception, BaseException):
            told_errors.remember(self, exception, None, for_requests=False)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event at `timestamp`, in ns since the epoch, or now."""
        self._add_event(sdk.Event(name, self._bounded(attributes, self._limits.max_event_attributes), timestamp))

    def _add_event(self, event: sdk.EventBase) -> None:
        if not self._is_left("_add_event"):
            self._events.append(event)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to another span."""
        if sdk._is_valid_link(context, attributes):
            self._add_link(Link(context, self._bounded(attributes, self._limits.max_link_attributes)))

    def _add_link(self, link: Link) -> None:
        if not self._is_left("_add_link"):
            self._links.append(link)

    def update_name(self, name: str) -> None:
        """Change the name."""
        if self._end_time is None or not self._is_left("update_name"):
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status. OK is final, and nothing is unset again."""
        if self._is_left("set_status"):
            return
        code = status.status_code if isinstance(status, Status) else status
        if self._status.status_code is StatusCode.OK or code is StatusCode.UNSET:
            return
        if isinstance(status, Status):
            if description is not None:
                sdk.logger.warning(
                    "Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description
                )
            self._status = status
        elif isinstance(status, StatusCode):
            self._status = Status(status, description)

    def start(self, start_time: int | None = None, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Do nothing but say that it was made started."""
        sdk.logger.warning("Calling start() on a started span.")

    def end(self, end_time: int | None = None) -> None:
        """End it at `end_time`, in ns since the epoch, or now. Of several ends, in whatever threads, one counts."""
        try:
            # What only one can do.
            del self._is_open
        except AttributeError:
            sdk.logger.warning("Calling end() on an ended span.")
            return
        self._end_time = time_ns() if end_time is None else end_time
        if self._counts is not None:
            self._tell_counts(self._counts)
        if ended is not None:
            ended(self)
        self._attributes._immutable = True
        processor = self._span_processor
        if type(processor) is Processors:
            processor.take(self)
        else:
            collection.hand_on(self._hand_to_theirs, processor)

    def _hand_to_theirs(self, processor: sdk.SpanProcessor) -> None:
        processor._on_ending(self)
        processor.on_end(self._readable_span())


def start(
    tracer: sdk.Tracer,
    name: str,
    context: SpanContext,
    parent: SpanContext | None,
    kind: SpanKind,
    attributes: Attributes,
    start_time: int | None,
) -> Span:
    """Return a span that has started at `start_time`, in ns since the epoch, or now. No processor is told."""
    # Not `Span()`: the SDK's `__new__` is a function, and its `__init__` sets thirty attributes.
    span = _new(Span)
    span._name = name
    span._context = context
    span._parent = parent
    span._kind = kind
    span._limits = limits = tracer._span_limits
    span._attributes = SpanAttributes(limits.max_span_attributes, attributes, limits.max_span_attribute_length)
    span._resource = tracer.resource
    span._instrumentation_info = tracer.instrumentation_info
    span._instrumentation_scope = tracer._instrumentation_scope
    span._span_processor = tracer.span_processor
    span._is_open = True
    span._start_time = time_ns() if start_time is None else start_time
    if begun is not None:
        begun(span)
    return span

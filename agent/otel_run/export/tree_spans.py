"""A span of the SDK's, ended or open, as a viewer has it. It takes a few microseconds: each span passes here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan

from otel_run.export import copied
from otel_run.view.span import LANE, Event, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEQUENCES = frozenset((list, tuple))


def to_view(span: ReadableSpan, now: int = 0) -> Span:
    """Return `span`, masked before; one that has not ended is looked at `now`, in ns since the epoch."""
    context: Any = span._context
    parent = span._parent
    status = span._status
    resource = span._resource.attributes
    scope = span._instrumentation_scope
    # Where a span of ours has none, there is nothing until somebody looks.
    events, links = vars(span).get("_events"), vars(span).get("_links")
    end = span._end_time
    return Span(
        trace_id=f"{context.trace_id:032x}",
        id=f"{context.span_id:016x}",
        parent_id="" if parent is None else f"{parent.span_id:016x}",
        name=span._name,
        start=span._start_time or 0,
        end=now if end is None else end,
        kind=span._kind.value + 1,
        attributes=_plain(span._attributes),
        status=status.status_code.value,
        message=status.description or "",
        events=[_event(event) for event in events] if events else (),
        links=[(f"{one.context.trace_id:032x}", f"{one.context.span_id:016x}") for one in links] if links else (),
        scope=scope.name if scope is not None else "",
        service=str(resource.get("service.name", "")),
        process=str(resource.get("service.instance.id") or os.getpid()),
        dropped=sum(getattr(parts, "dropped", 0) for parts in (span._attributes, events, links)),
        is_open=end is None,
    )


def still(span: ReadableSpan) -> ReadableSpan:
    """Return an open span as it is now: what is masked and drawn must not change under one's hands."""
    held = dict(vars(span))
    made = object.__new__(ReadableSpan)
    attributes = dict(copied.inside(held["_attributes"]))
    if "_lane" in held:
        attributes[LANE] = held["_lane"]
    vars(made).update(
        held,
        _attributes=attributes,
        _events=list(held.get("_events") or ()),
        _links=list(held.get("_links") or ()),
        _status=span._status,
        _end_time=None,
    )
    return made


def _event(event: Any) -> Event:
    return Event(event.name, event.timestamp or 0, _plain(event._attributes))


def _plain(attributes: Any) -> Mapping[str, Any]:
    if attributes is None:
        return {}
    # A copy, and a dict: viewers look into it dozens of times.
    found = dict(copied.inside(attributes))
    if not _SEQUENCES.isdisjoint(map(type, found.values())):
        return {name: list(value) if type(value) is tuple else value for name, value in found.items()}
    return found

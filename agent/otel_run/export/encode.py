"""Ended spans as the bytes of one OTLP request, without protobuf: a few microseconds for each.

What repeats is kept as bytes: resources and scopes (encode_owner.py), short attributes (encode_attributes.py) and
names. After parsing it is what the SDK's exporter makes, but for what a comment gives a clause for. Which field is
which number: opentelemetry-proto, `trace/v1/trace.proto`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Status

from otel_run.boundary import contained
from otel_run.export import copied
from otel_run.export.encode_attributes import LONGEST_KEPT, MISTAKES, UNIT, Attributes, keep
from otel_run.export.encode_owner import Batch, Owners
from otel_run.export.encode_value import SMALL, VARINTS, field, utf8, varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

# trace_id, span_id, kind, start_time_unix_nano, end_time_unix_nano and flags, each behind its tag.
_FIXED = struct.Struct("<2s16s2s8sBBBQBQ2sI").pack
_PARENT = struct.Struct(">2sQ").pack
_EVENT_TIME = struct.Struct("<BQ").pack
_LINK = struct.Struct(">2s16s2sQ").pack
_LINK_FLAGS = struct.Struct("<BI").pack

# Span.flags: bits 8 and 9 tell that it is known whether the other context is remote, and whether it is.
_IS_REMOTE_KNOWN, _IS_REMOTE = 0x100, 0x200
_W3C_FLAGS = 0xFF

# By code; most have no message.
_STATUS = (b"\x7a\x00", b"\x7a\x02\x18\x01", b"\x7a\x02\x18\x02")

_NOTHING: dict[str, Any] = {}


class Encoder:
    """Encodes batches, and keeps what they have in common. Used by one thread at a time."""

    def __init__(self) -> None:
        self._attributes = Attributes()
        self._owners = Owners(self._attributes)
        self._names: dict[str, bytes] = {}

    def encode(self, spans: Iterable[ReadableSpan]) -> bytes:
        """Return the bytes of an ExportTraceServiceRequest; take one span at a time.

        A span that can't be encoded is left out, and that is said once.
        """
        batch = Batch(self._owners)
        places: dict[tuple[int, int], Callable[[bytes], None]] = {}
        for given in spans:
            span = given if copied.is_direct[type(given)] else contained(UNIT, copied.plain, given)
            if span is None:
                continue
            try:
                encoded = self._span(span)
                resource, scope = span._resource, span._instrumentation_scope
                add = places.get((id(resource), id(scope)))
                if add is None:
                    add = places[id(resource), id(scope)] = batch.place(resource, scope)
            except MISTAKES as error:
                self._attributes.tell("span", "1 span lost", f"it can't be encoded: {type(error).__name__}: {error}")
                continue
            length = len(encoded)
            add(b"\x12" + (VARINTS[length] if length < SMALL else varint(length)))
            add(encoded)
        return batch.request()

    def _span(self, span: ReadableSpan) -> bytes:
        # By position, which a SpanContext has for good: its properties are functions of Python's.
        context: Any = span._context
        parent: Any = span._parent
        parts = [
            _FIXED(
                b"\x0a\x10",
                context[0].to_bytes(16, "big"),
                b"\x12\x08",
                context[1].to_bytes(8, "big"),
                0x30,
                span._kind._value_ + 1,  # the SDK's INTERNAL is 0, and so is OTLP's UNSPECIFIED
                0x39,
                span._start_time or 0,
                0x41,
                span._end_time or 0,
                b"\x85\x01",
                _flags(context, parent is not None and parent[2]),
            )
        ]
        add = parts.append
        if parent is not None:
            add(_PARENT(b"\x22\x08", parent[1]))
        if context[4]:
            add(field(b"\x1a", _trace_state(context[4])))
        name = span._name
        add(self._names.get(name) or self._name(name))
        attributes: Any = span._attributes
        bounded = copied.is_bounded[type(attributes)]
        if bounded and attributes.dropped:
            add(b"\x50" + varint(attributes.dropped))
        texts, integers, of_span = self._attributes.texts, self._attributes.integers, self._attributes.of_span
        for item in ((attributes._dict if bounded else attributes) or _NOTHING).items():
            kind = type(item[1])
            found = texts.get(item) if kind is str else integers.get(item) if kind is int else None
            add(found if found is not None else of_span(*item))
        # Where a span of ours has none, there is nothing until somebody looks.
        inside = vars(span)
        events, links = inside.get("_events", ()), inside.get("_links", ())
        if events != ():
            parts += _repeated(b"\x5a", self._event, b"\x60", events)
        if links != ():
            parts += _repeated(b"\x6a", self._link, b"\x70", links)
        status = span._status
        if type(status) is Status and not status._description:
            add(_STATUS[status._status_code._value_])
        elif status is not None:
            add(_status(status))
        return b"".join(parts)

    def _name(self, name: str) -> bytes:
        encoded = field(b"\x2a", utf8(name)) if name else b""
        if type(name) is str and len(name) <= LONGEST_KEPT:
            keep(self._names, name, encoded)
        return encoded

    def _event(self, event: Any) -> bytes:
        parts = [_EVENT_TIME(0x09, event.timestamp or 0), field(b"\x12", utf8(event.name or ""))]
        parts += self._attributes.fields(b"\x1a", event.attributes)
        if event.dropped_attributes:
            parts.append(b"\x20" + varint(event.dropped_attributes))
        return b"".join(parts)

    def _link(self, link: Any) -> bytes:
        context = link.context
        parts = [_LINK(b"\x0a\x10", context.trace_id.to_bytes(16, "big"), b"\x12\x08", context.span_id)]
        # trace.proto, Link.trace_state: "The trace_state associated with the link". The SDK's exporter leaves it out.
        if context.trace_state:
            parts.append(field(b"\x1a", _trace_state(context.trace_state)))
        parts += self._attributes.fields(b"\x22", link.attributes)
        if link.dropped_attributes:
            parts.append(b"\x28" + varint(link.dropped_attributes))
        parts.append(_LINK_FLAGS(0x35, _flags(context, context.is_remote)))
        return b"".join(parts)


def _flags(context: Sequence[Any], is_remote: bool) -> int:
    """Return Span.flags or Link.flags.

    trace.proto, Span.flags: "Bits 0-7 (8 least significant bits) are the trace flags as defined in W3C Trace
    Context specification". The SDK's exporter leaves them out, and so whether a span was sampled.
    """
    flags: int = context[3] & _W3C_FLAGS
    return flags | _IS_REMOTE_KNOWN | (_IS_REMOTE if is_remote else 0)


def _repeated(tag: bytes, encode: Callable[[Any], bytes], tag_of_dropped: bytes, parts: Any) -> list[bytes]:
    """Return events or links, and how many were dropped."""
    held = [contained(UNIT, copied.plain_part, part) for part in parts or ()]
    encoded = [field(tag, encode(part)) for part in held if part is not None]
    dropped = getattr(parts, "dropped", 0)
    return [*encoded, tag_of_dropped + varint(dropped)] if dropped else encoded


def _trace_state(state: Mapping[str, str]) -> bytes:
    return utf8(",".join([f"{key}={value}" for key, value in state.items()]))


def _status(status: Status) -> bytes:
    message = field(b"\x12", utf8(status.description)) if status.description else b""
    code: int = status.status_code._value_
    return field(b"\x7a", message + (bytes((0x18, code)) if code else b""))

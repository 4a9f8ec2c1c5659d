"""The messages of an OTLP trace: which field has which number, name and kind, in protobuf and in JSON.

Both directions (otlp_json.py) go by these rows, so that they can't disagree. Left out are the indexes into a table of
texts that profiles have. Source: opentelemetry-proto 1.x, `trace/v1/trace.proto`, `common/v1/common.proto`,
`resource/v1/resource.proto`.
"""

from __future__ import annotations

from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # protobuf's wire types

# kind of a scalar -> how it is on the wire
WIRE = {
    "text": LENGTH,
    "bytes": LENGTH,  # in JSON base64
    "id": LENGTH,  # bytes that OTLP, unlike protobuf, writes as hexadecimal digits
    "bool": VARINT,
    "int64": VARINT,  # 64-bit integers are strings in JSON, which has no such numbers
    "uint32": VARINT,
    "kind": VARINT,
    "code": VARINT,
    "fixed64": FIXED64,
    "double": FIXED64,
    "fixed32": FIXED32,
}
# enumeration -> its names, by value
ENUMS = {
    "kind": [f"SPAN_KIND_{name}" for name in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")],
    "code": [f"STATUS_CODE_{name}" for name in ("UNSET", "OK", "ERROR")],
}

# message -> (number, name, kind or message); `*`: any number of them
_ROWS = {
    "TracesData": ((1, "resource_spans", "*ResourceSpans"),),
    "ResourceSpans": (
        (1, "resource", "Resource"),
        (2, "scope_spans", "*ScopeSpans"),
        (3, "schema_url", "text"),
    ),
    "Resource": (
        (1, "attributes", "*KeyValue"),
        (2, "dropped_attributes_count", "uint32"),
        (3, "entity_refs", "*EntityRef"),
    ),
    "EntityRef": (
        (1, "schema_url", "text"),
        (2, "type", "text"),
        (3, "id_keys", "*text"),
        (4, "description_keys", "*text"),
    ),
    "ScopeSpans": (
        (1, "scope", "InstrumentationScope"),
        (2, "spans", "*Span"),
        (3, "schema_url", "text"),
    ),
    "InstrumentationScope": (
        (1, "name", "text"),
        (2, "version", "text"),
        (3, "attributes", "*KeyValue"),
        (4, "dropped_attributes_count", "uint32"),
    ),
    "Span": (
        (1, "trace_id", "id"),
        (2, "span_id", "id"),
        (3, "trace_state", "text"),
        (4, "parent_span_id", "id"),
        (5, "name", "text"),
        (6, "kind", "kind"),
        (7, "start_time_unix_nano", "fixed64"),
        (8, "end_time_unix_nano", "fixed64"),
        (9, "attributes", "*KeyValue"),
        (10, "dropped_attributes_count", "uint32"),
        (11, "events", "*Event"),
        (12, "dropped_events_count", "uint32"),
        (13, "links", "*Link"),
        (14, "dropped_links_count", "uint32"),
        (15, "status", "Status"),
        (16, "flags", "fixed32"),
    ),
    "Event": (
        (1, "time_unix_nano", "fixed64"),
        (2, "name", "text"),
        (3, "attributes", "*KeyValue"),
        (4, "dropped_attributes_count", "uint32"),
    ),
    "Link": (
        (1, "trace_id", "id"),
        (2, "span_id", "id"),
        (3, "trace_state", "text"),
        (4, "attributes", "*KeyValue"),
        (5, "dropped_attributes_count", "uint32"),
        (6, "flags", "fixed32"),
    ),
    "Status": (
        (2, "message", "text"),
        (3, "code", "code"),
    ),
    "KeyValue": (
        (1, "key", "text"),
        (2, "value", "AnyValue"),
    ),
    "AnyValue": (
        (1, "string_value", "text"),
        (2, "bool_value", "bool"),
        (3, "int_value", "int64"),
        (4, "double_value", "double"),
        (5, "array_value", "ArrayValue"),
        (6, "kvlist_value", "KeyValueList"),
        (7, "bytes_value", "bytes"),
    ),
    "ArrayValue": ((1, "values", "*AnyValue"),),
    "KeyValueList": ((1, "values", "*KeyValue"),),
}


class Field(NamedTuple):
    """One field of a message."""

    number: int
    # As JSON has it.
    name: str
    # Of a scalar, else the message's name.
    kind: str
    is_repeated: bool
    wire: int
    # Number and wire type; below 2^14, as all here are, in two bytes at most.
    tag: bytes


class Message(NamedTuple):
    """The fields of a message, by what they are looked up by."""

    by_tag: dict[int, Field]
    by_name: dict[str, Field]


def _message(rows: tuple[tuple[int, str, str], ...]) -> Message:
    by_tag, by_name = {}, {}
    for number, name, told in rows:
        kind = told.lstrip("*")
        wire = WIRE.get(kind, LENGTH)
        tag = number << 3 | wire
        first, *others = name.split("_")
        camel = first + "".join(word.capitalize() for word in others)
        encoded = bytes((tag,)) if tag < 0x80 else bytes((tag & 0x7F | 0x80, tag >> 7))
        by_tag[tag] = by_name[camel] = by_name[name] = Field(number, camel, kind, told != kind, wire, encoded)
    return Message(by_tag, by_name)


MESSAGES = {name: _message(rows) for name, rows in _ROWS.items()}

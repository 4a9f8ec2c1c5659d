"""A request as lines of OTLP JSON: what a spool file holds, and what other tools of OpenTelemetry read.

A line is a TracesData object. By hand, as no protobuf package is there for certain; otlp_from_json.py is the way back.
Source: OTLP Specification 1.x, "JSON Protobuf Encoding"; OpenTelemetry Protocol File Exporter.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class
from typing import TYPE_CHECKING, Any

from otel_run.export.otlp_schema import FIXED32, FIXED64, LENGTH, MESSAGES, VARINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Bytes. The collector's reader cuts lines of more than a megabyte.
LONGEST_LINE = 512 * 1024

_FIXED64, _FIXED32, _DOUBLE = Struct("<Q"), Struct("<I"), Struct("<d")
_TOO_LARGE = 1 << 64


def to_json(record: bytes) -> list[bytes]:
    """Return the spans of a request, or of a TracesData, as lines without their ends; raise ValueError for no such.

    Spans share a line as long as it is shorter than LONGEST_LINE.
    """
    try:
        return list(_lines(_read("TracesData", record, {})))
    except (LookupError, StructError, RecursionError) as error:
        raise ValueError(f"no OTLP: {error}") from error


def count_spans(line: bytes) -> int:
    """Return how many spans a line holds, without reading it: so exact for lines of ours alone."""
    # A text that holds this has a \ before each of its quotes.
    return line.count(b'"startTimeUnixNano":')


def _read(name: str, data: bytes, attributes: dict[bytes, dict[str, Any]]) -> dict[str, Any]:
    """Return a message; `attributes` are those that were met before, by their bytes: most come again and again."""
    fields = MESSAGES[name].by_tag
    found: dict[str, Any] = {}
    for tag, content in _fields(data):
        known = fields.get(tag)
        if known is None:
            continue
        value: Any
        if known.kind == "KeyValue":
            value = attributes.get(content)
            if value is None:
                value = attributes[content] = _read("KeyValue", content, attributes)
        else:
            read = _READ.get(known.kind)
            value = read(content) if read is not None else _read(known.kind, content, attributes)
        if known.is_repeated:
            found.setdefault(known.name, []).append(value)
        else:
            found[known.name] = value
    return found


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield each field's tag and content, an integer or bytes."""
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(data, at - 1)
        wire = tag & 7
        if wire in (LENGTH, VARINT):
            value = data[at]
            at += 1
            if value >= 0x80:
                value, at = _varint(data, at - 1)
            if wire == VARINT:
                yield tag, value
                continue
        elif wire in (FIXED64, FIXED32):
            value = 8 if wire == FIXED64 else 4
        else:
            raise ValueError("no protobuf")
        if at + value > end:
            raise ValueError("it ends too soon")
        yield tag, data[at : at + value]
        at += value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value % _TOO_LARGE, at
    raise ValueError("no protobuf")


def _read_double(content: bytes) -> float | str:
    value: float = _DOUBLE.unpack(content)[0]
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _signed(value: int) -> int:
    return value if value < _TOO_LARGE >> 1 else value - _TOO_LARGE


def _read_enum(value: int) -> int:
    value %= 1 << 32
    return value if value < 1 << 31 else value - (1 << 32)


_READ: dict[str, Callable[[Any], Any]] = {
    "text": lambda content: content.decode("utf-8", "replace"),
    "bytes": lambda content: b64encode(content).decode("ascii"),
    "id": bytes.hex,
    "bool": bool,
    "int64": lambda value: str(_signed(value)),
    "uint32": lambda value: value % (1 << 32),
    "kind": _read_enum,
    "code": _read_enum,
    "fixed64": lambda content: str(_FIXED64.unpack(content)[0]),
    "double": _read_double,
    "fixed32": lambda content: _FIXED32.unpack(content)[0],
}


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode


def _dump(value: object) -> bytes:
    return _encode(value).encode()


class _Around:
    """What stands before and after the items of a list, the last member of an object that may have others."""

    def __init__(self, holder: dict[str, Any], name: str) -> None:
        others = _dump({key: value for key, value in holder.items() if key != name})[:-1]
        self.begin = others + (b"," if len(others) > 1 else b"") + b'"' + name.encode() + b'":['
        self.end = b"]}"
        self.size = len(self.begin) + len(self.end) + 1


_WHOLE = _Around({}, "resourceSpans")


class _Line:
    """Spans that share a line, under their resources and scopes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = _WHOLE.size
        self._resource: _Around | None = None
        self._scope: _Around | None = None

    @property
    def has_spans(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._parts)

    def has_room(self, resource: _Around, scope: _Around, span: bytes) -> bool:
        """Tell whether the span fits in; alone, each does."""
        needed = len(span) + 1 + (0 if scope is self._scope else scope.size + resource.size)
        return not self._parts or self._size + needed < LONGEST_LINE

    def add(self, resource: _Around, scope: _Around, span: bytes) -> None:
        """Put a span behind the others."""
        before = len(self._parts)
        if self._scope is scope:
            self._parts.append(b",")
        else:
            if self._scope is not None:
                self._parts.append(self._scope.end)
            if self._resource is not resource:
                if self._resource is not None:
                    self._parts += self._resource.end, b","
                self._parts.append(resource.begin)
            else:
                self._parts.append(b",")
            self._parts.append(scope.begin)
        self._parts.append(span)
        self._resource, self._scope = resource, scope
        self._size += sum(map(len, self._parts[before:]))

    def whole(self) -> bytes:
        """Return the line; it has at least one span."""
        assert self._resource is not None
        assert self._scope is not None
        return b"".join((_WHOLE.begin, *self._parts, self._scope.end, self._resource.end, _WHOLE.end))


def _lines(data: dict[str, Any]) -> Iterator[bytes]:
    line = _Line()
    for resource in data.get("resourceSpans", ()):
        around_scopes = _Around(resource, "scopeSpans")
        for scope in resource.get("scopeSpans", ()):
            around_spans = _Around(scope, "spans")
            for span in map(_dump, scope.get("spans", ())):
                if not line.has_room(around_scopes, around_spans, span):
                    yield line.whole()
                    line = _Line()
                line.add(around_scopes, around_spans, span)
    if line.has_spans:
        yield line.whole()

"""A line of OTLP JSON as the bytes of a request: from a spool file, or from a file that somebody else has written.

Strict is otlp_json.py, which writes; this reads as generously as protobuf's JSON does: names in camelCase or with
underscores, enumerations by number or name, numbers as such or as strings; what is unknown is passed over.
Source: OTLP Specification 1.x, "JSON Protobuf Encoding"; ProtoJSON format.
"""

from __future__ import annotations

import json
from base64 import b64decode
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class
from typing import TYPE_CHECKING, Any

from otel_run.export.encode_value import field, utf8, varint
from otel_run.export.otlp_schema import ENUMS, LENGTH, MESSAGES, Field

if TYPE_CHECKING:
    from collections.abc import Callable

_FIXED64, _FIXED32, _DOUBLE = Struct("<Q"), Struct("<I"), Struct("<d")


def to_protobuf(line: bytes) -> bytes:
    """Return a line as the bytes of a request; raise ValueError for what is no TracesData."""
    try:
        data = json.loads(line)
        if not isinstance(data, dict) or not ("resourceSpans" in data or "resource_spans" in data):
            raise ValueError("no resourceSpans")
        return _write("TracesData", data)
    except RecursionError:
        raise ValueError("too much in each other") from None


def _write(name: str, given: Any) -> bytes:
    if not isinstance(given, dict):
        raise ValueError(f"{name} is no object")
    fields = MESSAGES[name].by_name
    parts = []
    for key, value in given.items():
        known = fields.get(key)
        # ProtoJSON: null is the same as nothing.
        if known is None or value is None:
            continue
        if not known.is_repeated:
            parts.append(_field(known, value))
        elif isinstance(value, list):
            parts += [_field(known, item) for item in value]
        else:
            raise ValueError(f"{key} is no list")
    return b"".join(parts)


def _field(known: Field, value: Any) -> bytes:
    write = _WRITE.get(known.kind)
    if write is None:
        content = _write(known.kind, value)
    else:
        try:
            content = write(value)
        except (ArithmeticError, StructError, TypeError, ValueError):
            raise ValueError(f"{known.name} is no {known.kind}") from None
    return field(known.tag, content) if known.wire == LENGTH else known.tag + content


def _write_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return utf8(value)


def _write_bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    return b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _write_id(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    return bytes.fromhex(value)


def _write_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError
    return b"\x01" if value else b"\x00"


def _integer(value: Any) -> int:
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        value = float(value)  # "1e3"
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(value)


def _write_int64(value: Any) -> bytes:
    number = _integer(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError
    return varint(number % (1 << 64))


def _write_uint32(value: Any) -> bytes:
    number = _integer(value)
    if not 0 <= number < 1 << 32:
        raise OverflowError
    return varint(number)


def _write_enum(names: list[str]) -> Callable[[Any], bytes]:
    def write(value: Any) -> bytes:
        return _write_int64(names.index(value) if value in names else value)

    return write


def _write_double(value: Any) -> bytes:
    if isinstance(value, bool):
        raise TypeError
    return _DOUBLE.pack(float(value))


_WRITE: dict[str, Callable[[Any], bytes]] = {
    "text": _write_text,
    "bytes": _write_bytes,
    "id": _write_id,
    "bool": _write_bool,
    "int64": _write_int64,
    "uint32": _write_uint32,
    "fixed64": lambda value: _FIXED64.pack(_integer(value)),
    "fixed32": lambda value: _FIXED32.pack(_integer(value)),
    "double": _write_double,
    **{name: _write_enum(names) for name, names in ENUMS.items()},
}

"""What an OTLP receiver says in its answer: how many spans it has rejected and why, and when to come again.

Read by hand: these few bytes are all the protobuf that comes in, and it may be anything, as may the header.
Source: opentelemetry-proto, `collector/trace/v1/trace_service.proto`; RFC 9110, 5.6.7 and 10.2.3.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"\w{3}, (\d{2}) (\w{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT", re.ASCII)

# ExportTraceServiceResponse.partial_success; ExportTracePartialSuccess.rejected_spans and .error_message.
_PARTIAL_SUCCESS, _REJECTED, _MESSAGE = 1, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_MESSAGE = 300


class _GarbageError(ValueError):
    """It is no protobuf."""


def partial_success(body: bytes) -> tuple[int, str] | None:
    """Return how many spans were rejected, and the receiver's words; None if all were taken, or for no such message."""
    rejected, message = 0, b""
    try:
        for number, content in _fields(body):
            if number != _PARTIAL_SUCCESS or not isinstance(content, bytes):
                continue
            for inner, value in _fields(content):
                if inner == _REJECTED and isinstance(value, int):
                    rejected = value if value < 1 << 63 else value - (1 << 64)
                elif inner == _MESSAGE and isinstance(value, bytes):
                    message = value
    except _GarbageError:
        return None
    text = printable(message.decode("utf-8", "replace"), _LONGEST_MESSAGE)
    return (rejected, text) if rejected or text else None


def printable(text: str, longest: int) -> str:
    """Return a stranger's text as it may stand in one line on a terminal."""
    shown = "".join(character if character.isprintable() else " " for character in text[:longest])
    return shown.strip() + ("..." if len(text) > longest else "")


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return the fields of a message by number: integers, and bytes for what has a length."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            found.append((tag >> 3, value))
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _GarbageError
        if at + size > len(data):
            raise _GarbageError
        if kind == _BYTES:
            found.append((tag >> 3, data[at : at + size]))
        at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _GarbageError
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise _GarbageError


def retry_after(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None for anything else."""
    header = (header or "").strip()
    # The length first: int() raises on thousands of digits.
    if len(header) < 10 and header.isascii() and header.isdigit():
        return float(header)
    found = _DATE.fullmatch(header)
    if found is None or found[2] not in _MONTHS:
        return None
    try:
        day, year, hour, minute, second = map(int, found.group(1, 3, 4, 5, 6))
        when = datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())

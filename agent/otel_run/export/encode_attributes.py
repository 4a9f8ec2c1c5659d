"""Attributes as protobuf bytes, and what of them is kept since it comes again and again.

A name is nearly always one of a few dozen, and most values are one of a few for their name: methods, hosts,
ports, statuses. What is kept is bounded, in number and in length, and forgotten as a whole when it is full; a
longer text seldom repeats, and is where something would be that ought not to be kept.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from otel_run import report
from otel_run.boundary import contained
from otel_run.export.encode_value import UnencodableError, any_value, field, utf8

if TYPE_CHECKING:
    from collections.abc import Mapping

UNIT = "exporter otlp"
MOST_KEPT = 1024
LONGEST_KEPT = 64

# What is wrong with what can't be encoded: no number where one belongs, too many bits, no end of nesting.
MISTAKES = (AttributeError, LookupError, TypeError, ValueError, OverflowError, RuntimeError, struct.error)


def keep(kept: dict[Any, bytes], key: Any, encoded: bytes) -> None:
    """Put `encoded` into `kept`, which never grows beyond its bound."""
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[key] = encoded


class Attributes:
    """Encodes attributes, one by one; what OTLP can't hold is left out, and said once for each kind."""

    def __init__(self) -> None:
        # A span's whole fields by (name, value). Apart, and of no other types, since 1 == True == 1.0.
        self.texts: dict[tuple[str, str], bytes] = {}
        self.integers: dict[tuple[str, int], bytes] = {}
        self._names: dict[str, bytes] = {}
        self._told: set[str] = set()

    def of_span(self, name: str, value: Any) -> bytes:
        """Return a field of Span, empty for what OTLP can't hold; keep it if it may come again."""
        content = self._key_value(name, value)
        if content is None:
            return b""
        encoded = field(b"\x4a", content)
        kind = type(value)
        if kind is int:
            keep(self.integers, (name, value), encoded)
        elif kind is str and len(value) <= LONGEST_KEPT:
            keep(self.texts, (name, value), encoded)
        return encoded

    def fields(self, tag: bytes, attributes: Mapping[str, Any] | None) -> list[bytes]:
        """Return the attributes of anything as fields with this tag."""
        contents = [self._key_value(name, value) for name, value in (attributes or {}).items()]
        return [field(tag, content) for content in contents if content is not None]

    def tell(self, kind: str, state: str, why: str) -> None:
        """Warn of what is left out, once for each kind of thing."""
        if kind not in self._told:
            self._told.add(kind)
            report.warn(UNIT, state, why)

    def _key_value(self, name: Any, value: Any) -> bytes | None:
        # Contained, since a container of anybody's may raise anything.
        content = contained(f"{UNIT}: attribute {name}", _any_value, value)
        if isinstance(content, bytes):
            key = self._names.get(name)
            if key is not None:
                return key + field(b"\x12", content)
            if isinstance(name, str):
                key = field(b"\x0a", utf8(name))
                if len(key) <= LONGEST_KEPT:
                    keep(self._names, name, key)
                return key + field(b"\x12", content)
            content = UnencodableError(f"a name that is no text but {type(name).__qualname__}")
        if content is not None:
            kind = content.kind if isinstance(content, UnencodableError) else type(content).__name__
            self.tell(kind, f"attribute {name!r} dropped", str(content))
        return None


def _any_value(value: object) -> bytes | Exception:
    try:
        return any_value(value)
    except MISTAKES as error:
        return error

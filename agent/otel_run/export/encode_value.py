"""Single values as OTLP's protobuf bytes: numbers, texts, and the AnyValue that an attribute holds.

Written by hand, since building a message object for each value costs ten times as much as its bytes. What
the wire looks like is the protobuf encoding guide's; which field is which number, opentelemetry-proto's
`common/v1/common.proto`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

from otel_run.grammar import readable

if TYPE_CHECKING:
    from collections.abc import Callable

# Readers of protobuf refuse a message, and the whole batch with it, that is nested deeper than 100 messages
# (C++, Java and Python). A map takes three for each level, and a span's attribute begins at the seventh.
DEEPEST = 30

_SMALLEST, _BEYOND = -(1 << 63), 1 << 63
_UNSIGNED = (1 << 64) - 1

_DOUBLE = Struct("<Bd").pack


class UnencodableError(TypeError):
    """A value that OTLP has no type for; `kind` is what it is, for the user."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind}: OTLP has no type for it")
        self.kind = kind


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


# Nearly every length there is.
SMALL = 1024
VARINTS = [_varint(number) for number in range(SMALL)]


def varint(number: int) -> bytes:
    """Return `number`, from 0 to 2^64-1, in groups of seven bits, the lowest first."""
    return VARINTS[number] if number < SMALL else _varint(number)


def field(tag: bytes, content: bytes) -> bytes:
    """Return a field that is a message, a text or bytes; `tag` is its number and the wire type 2."""
    return tag + varint(len(content)) + content


def utf8(text: str) -> bytes:
    """Return `text` in UTF-8, legibly even if it holds lone surrogates: protobuf has no other strings."""
    try:
        return str.encode(text)
    except UnicodeEncodeError:
        return _legible(text).encode()


def _legible(text: str) -> str:
    try:
        return readable(text)  # bytes of a path or an argument that are no UTF-8 (PEP 383)
    except UnicodeEncodeError:
        # Halves of pairs, as JSON's \ud83d\ude00: joined where both are there.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def any_value(value: object, depth: int = 0) -> bytes:
    """Return the content of the AnyValue for `value`; raise UnencodableError if there is none."""
    encode = _BY_TYPE.get(type(value)) or _of_subclass(value)
    return encode(value, depth)


def key_value(key: str, value: object, depth: int = 0) -> bytes:
    """Return the content of a KeyValue."""
    return field(b"\x0a", utf8(key)) + field(b"\x12", any_value(value, depth))


def _none(_value: None, _depth: int) -> bytes:
    return b""


def _bool(value: bool, _depth: int) -> bytes:
    return b"\x10\x01" if value else b"\x10\x00"


def _text(value: str, _depth: int) -> bytes:
    return field(b"\x0a", utf8(value))


def _integer(value: int, depth: int) -> bytes:
    if _SMALLEST <= value < _BEYOND:
        return b"\x18" + varint(int.__and__(value, _UNSIGNED))  # not an IntFlag's, which minds
    # OpenTelemetry specification, "Mapping Arbitrary Data to OTLP AnyValue", "Integer Values": what does not
    # fit into 64 bits becomes a string of decimal digits.
    return _text(int.__repr__(value), depth)


def _float(value: float, _depth: int) -> bytes:
    return _DOUBLE(0x21, value)


def _bytes(value: bytes, _depth: int) -> bytes:
    return field(b"\x3a", value)


def _array(values: Sequence[object], depth: int) -> bytes:
    deeper = _deeper(depth)
    return field(b"\x2a", b"".join([field(b"\x0a", any_value(value, deeper)) for value in values]))


def _map(values: Mapping[object, object], depth: int) -> bytes:
    deeper = _deeper(depth)
    pairs = [field(b"\x0a", key_value(str(key), value, deeper)) for key, value in values.items()]
    return field(b"\x32", b"".join(pairs))


def _deeper(depth: int) -> int:
    if depth >= DEEPEST:
        raise UnencodableError(f"nested in more than {DEEPEST} levels")
    return depth + 1


_BY_TYPE: dict[type, Callable[[Any, int], bytes]] = {
    type(None): _none,
    bool: _bool,
    str: _text,
    int: _integer,
    float: _float,
    bytes: _bytes,
    tuple: _array,
    list: _array,
    dict: _map,
}
# In this order: a text is a sequence too.
_BY_KIND: tuple[tuple[type, Callable[[Any, int], bytes]], ...] = (
    (str, _text),
    (int, _integer),
    (float, _float),
    (bytes, _bytes),
    (Sequence, _array),
    (Mapping, _map),
)


def _of_subclass(value: object) -> Callable[[Any, int], bytes]:
    for kind, encode in _BY_KIND:
        if isinstance(value, kind):
            return encode
    raise UnencodableError(f"{type(value).__module__}.{type(value).__qualname__}")

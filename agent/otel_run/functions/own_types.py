"""The values of Python's own types, and of classes made of these, by functions that run no code of the program's.

Those of the types themselves, as they stand in `vars`: what a class, or its metaclass, has made of them is not asked.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_INT64 = 63
_BITS_TO_TELL = 1024

mro_of: Callable[[type], tuple[type, ...]] = vars(type)["__mro__"].__get__
_module_of: Callable[[type], object] = vars(type)["__module__"].__get__
_qualname_of: Callable[[type], str] = vars(type)["__qualname__"].__get__
_zone_of_datetime, _zone_of_time = vars(datetime)["tzinfo"].__get__, vars(time)["tzinfo"].__get__
_PARTS_OF_TIME = [vars(time)[name].__get__ for name in ("hour", "minute", "second", "microsecond")]


def _of_int(value: Any) -> int | str:
    number = int.__int__(value)
    bits = number.bit_length()
    if bits <= _INT64:
        return number
    return str(number) if bits <= _BITS_TO_TELL else f"<int of {bits} bits>"


def _of_bytes(value: Any) -> str:
    kind = bytes if bytes in mro_of(type(value)) else bytearray
    return f"<{kind.__len__(value)} bytes>"


def _of_datetime(value: Any) -> str:
    zone = _zone_of_datetime(value)
    if zone is not None and type(zone) not in (timezone, ZoneInfo):
        # A zone of the program's own would be asked for its offset.
        value = datetime.combine(datetime.date(value), datetime.time(value))
    return datetime.isoformat(value)


def _of_time(value: Any) -> str:
    zone = _zone_of_time(value)
    if zone is not None and type(zone) not in (timezone, ZoneInfo):
        value = time(*(part(value) for part in _PARTS_OF_TIME))
    return time.isoformat(value)


def _of_enum(value: Any) -> str:
    name = object.__getattribute__(value, "__dict__").get("_name_")
    return name if type(name) is str else class_name(type(value))


def _of_fraction(value: Any) -> str:
    # Its own methods are written in Python, and would ask a subclass.
    parts = [object.__getattribute__(value, name) for name in ("_numerator", "_denominator")]
    numerator, denominator = (str(_of_int(part)) for part in parts)
    return numerator if denominator == "1" else f"{numerator}/{denominator}"


# By the id of a type, since a class of the program's may have an own idea of being equal. The first that is found in
# this order counts: a member of an IntEnum is an int as well, a datetime a date.
_HOW: dict[int, Callable[[Any], Any]] = {
    id(Enum): _of_enum,
    id(str): str.__str__,
    id(int): _of_int,
    id(float): float.__float__,
    id(Decimal): Decimal.__str__,
    id(UUID): UUID.__str__,
    id(datetime): _of_datetime,
    id(date): date.isoformat,
    id(time): _of_time,
    id(timedelta): timedelta.__str__,
    id(Fraction): _of_fraction,
    id(bytes): _of_bytes,
    id(bytearray): _of_bytes,
}
# Not those that a library has made of them: what is stored elsewhere is asked for there.
_PATHS = frozenset(map(id, (PurePath, PurePosixPath, PureWindowsPath, Path, PosixPath, WindowsPath)))


def telling(kind: type) -> Callable[[Any], Any] | None:
    """Return what makes a text or a number of a value of this type; None if nothing does."""
    if kind is int or kind is float:
        return _HOW[id(kind)]
    return PurePath.__str__ if id(kind) in _PATHS else of_ancestor(kind, _HOW)


def of_ancestor(kind: type, known: dict[int, T]) -> T | None:
    """Return what is known of the first of these types that `kind` is one of."""
    ancestors = set(map(id, mro_of(kind)))
    return next((how for base, how in known.items() if base in ancestors), None)


def class_name(kind: type) -> str:
    """Return what is told of any other value."""
    module, name = _module_of(kind), _qualname_of(kind)
    return f"<{module}.{name}>" if type(module) is str and module != "builtins" else f"<{name}>"

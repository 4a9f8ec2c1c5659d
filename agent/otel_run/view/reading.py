"""Lines of OTLP JSON as spans: what files hold, what receivers are sent, and what otel-run writes itself.

As generous as protobuf's JSON: names in camelCase or with underscores, enumerations by number or name, numbers as such
or as strings, ids in any case or in base64; what is unknown or of the wrong kind is passed over. Only a span without
ids can't be placed anywhere.
Source: OTLP Specification 1.x, "JSON Protobuf Encoding"; ProtoJSON format.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from otel_run.view.span import Event, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_CODES = ("UNSET", "OK", "ERROR")
_ENUMS: dict[object, int] = {
    **{name: number for number, kind in enumerate(_KINDS) for name in (number, str(number), f"SPAN_KIND_{kind}")},
    **{f"STATUS_CODE_{code}": number for number, code in enumerate(_CODES)},
}
_DROPPED = ("droppedAttributesCount", "droppedEventsCount", "droppedLinksCount")
_NAMES = (
    *("resourceSpans", "scopeSpans", "traceId", "spanId", "parentSpanId", *_DROPPED),
    *("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"),
    *("stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue"),
)
_CAMEL = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name): name for name in _NAMES}
# One of these is in every line that is written with underscores.
_SNAKES = ('"resource_spans"', '"scope_spans"', '"span_id"')
_DEEPEST = 32  # values within values; what is below is left out
_END_OF_TIME = (1 << 64) - 1


def read_line(line: str | bytes) -> Iterator[Span]:
    """Yield the spans of one TracesData object.

    Raises ValueError, with a reason of a few words, at once for what is none, and after the last span if there were
    some without ids.
    """
    idless = 0
    for resource in _list(_read(line), "resourceSpans"):
        whose = _attributes(_dict(resource, "resource").get("attributes"))
        service, process = _text(whose.get("service.name")), _process(whose)
        for scope in _list(resource, "scopeSpans"):
            scope_name = _text(_dict(scope, "scope").get("name"))
            for given in _list(scope, "spans"):
                span = _span(given, scope_name, service, process) if isinstance(given, dict) else None
                if span is not None:
                    yield span
                else:
                    idless += 1
    if idless:
        raise ValueError(f"{idless} span{'' if idless == 1 else 's'} without ids")


def _read(line: str | bytes) -> dict[str, Any]:
    raw = line.encode("utf-8", "replace") if isinstance(line, str) else line
    # By ourselves: `json.loads` lets halves of surrogate pairs through, which can't be written anywhere.
    text = raw.decode("utf-8-sig", "replace")
    try:
        data = json.loads(text, object_hook=_renamed if any(snake in text for snake in _SNAKES) else None)
        if "\\ud" in text or "\\uD" in text:
            data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("too much in each other") from None
    except ValueError:
        raise ValueError("no JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get("resourceSpans", 0), list | type(None)):
        raise ValueError("no resourceSpans")
    return data


def _renamed(given: dict[str, Any]) -> dict[str, Any]:
    return {_CAMEL.get(name, name): value for name, value in given.items()}


def _span(given: dict[str, Any], scope: str, service: str, process: str) -> Span | None:
    get = given.get
    trace_id, span_id = _id(get("traceId"), 32), _id(get("spanId"), 16)
    if not trace_id or not span_id:
        return None
    status, events, links = _dict(given, "status"), _list(given, "events"), _list(given, "links")
    start, end = _time(get("startTimeUnixNano")), _time(get("endTimeUnixNano"))
    dropped = sum([_count(get(name)) for name in _DROPPED if name in given])
    for part in (*events, *links):
        if "droppedAttributesCount" in part:
            dropped += _count(part["droppedAttributesCount"])
    return Span(
        trace_id,
        span_id,
        _id(get("parentSpanId"), 16),
        _text(get("name")),
        start,
        end or start,
        _enum(get("kind")),
        _attributes(get("attributes")),
        _enum(status.get("code")),
        _text(status.get("message")),
        [_event(event) for event in events],
        [(_id(link.get("traceId"), 32), _id(link.get("spanId"), 16)) for link in links],
        scope,
        service,
        process,
        dropped,
        is_open=not end,
    )


def _event(given: dict[str, Any]) -> Event:
    return Event(_text(given.get("name")), _time(given.get("timeUnixNano")), _attributes(given.get("attributes")))


def _process(whose: dict[str, Any]) -> str:
    """Return what tells a process apart from others."""
    if instance := whose.get("service.instance.id"):
        return _text(instance)
    return " ".join(_text(whose[name]) for name in ("host.name", "process.pid") if name in whose)


def _dict(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}


def _list(given: dict[str, Any], name: str) -> list[Any]:
    """Return the objects of a list; of `spans` all that there is, as each counts."""
    value = given.get(name)
    if not isinstance(value, list):
        return []
    return value if name == "spans" else [item for item in value if isinstance(item, dict)]


def _text(given: object) -> str:
    if isinstance(given, str):
        return given
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else ""


def _id(given: object, size: int) -> str:
    """Return an id in lower-case hex; empty if there is none, or it is nothing but zeros."""
    if not isinstance(given, str) or not given.strip("0"):
        return ""
    if len(given) != size and len(given) == (size // 2 + 2) // 3 * 4:
        # Protobuf's own JSON has them like other bytes.
        try:
            raw = b64decode(given, validate=True).hex()
        except ValueError:
            return given.lower()
        return raw if len(raw) == size and raw.strip("0") else given.lower()
    return given.lower()


def _integer(given: object) -> int | None:
    if not isinstance(given, int | float | str) or isinstance(given, bool):
        return None
    try:
        return int(given)
    except (ValueError, OverflowError):
        pass
    try:
        return int(float(given))  # "1e3"
    except (ValueError, OverflowError):
        return None


def _time(given: object) -> int:
    return min(max(0, _integer(given) or 0), _END_OF_TIME)


_count = _time


def _enum(given: object) -> int:
    return _ENUMS.get(given, 0) if isinstance(given, int | str) else 0


def _attributes(given: object, depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in given if isinstance(given, list) else ():
        if isinstance(pair, dict) and isinstance(pair.get("key"), str):
            value = pair.get("value")
            # Most are texts.
            text = value.get("stringValue") if isinstance(value, dict) else None
            found[pair["key"]] = text if isinstance(text, str) else _value(value, depth)
    return found


def _value(given: object, depth: int) -> Any:
    """Return the value of an AnyValue; plain JSON in its place is taken as it is."""
    if not isinstance(given, dict):
        if isinstance(given, int):
            return given if isinstance(given, bool) else _int_of(given, depth)
        return given if isinstance(given, str | float) else None
    for name, value in given.items():
        read = _READ.get(name)
        if read is not None and value is not None:
            return read(value, depth)
    return None


def _list_of(given: object, depth: int) -> Any:
    values = given.get("values") if isinstance(given, dict) else None
    if depth >= _DEEPEST:
        return None
    return [_value(value, depth + 1) for value in values] if isinstance(values, list) else []


def _dict_of(given: object, depth: int) -> Any:
    if depth >= _DEEPEST:
        return None
    return _attributes(given.get("values") if isinstance(given, dict) else None, depth + 1)


def _int_of(given: object, _depth: int) -> Any:
    """Return an integer of at most 64 bits: what is larger can't be turned into a float, some not into a text."""
    value = _integer(given)
    return value if value is not None and -_END_OF_TIME <= value <= _END_OF_TIME else None


def _bool_of(given: object, _depth: int) -> Any:
    return given if isinstance(given, bool) else given == "true"


def _double_of(given: object, _depth: int) -> Any:
    try:
        value = float(given) if isinstance(given, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return value


def _bytes_of(given: object, _depth: int) -> Any:
    if not isinstance(given, str):
        return None
    plain = given.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return given


_READ: dict[str, Callable[[Any, int], Any]] = {
    "stringValue": lambda given, _depth: _text(given),
    "boolValue": _bool_of,
    "intValue": _int_of,
    "doubleValue": _double_of,
    "arrayValue": _list_of,
    "kvlistValue": _dict_of,
    "bytesValue": _bytes_of,
}

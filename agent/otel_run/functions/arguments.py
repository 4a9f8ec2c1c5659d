"""The value of an argument as an attribute: short, without secrets, and without running any code of the program's.

`str()` and `repr()` of an object are the program's: they may ask a database, wait, fail. So only the types of Python
itself are told, by functions of these types themselves; of anything else there is the name of its class.
"""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.functions.own_types import class_name, mro_of, of_ancestor, telling
from otel_run.masking import sql, url
from otel_run.masking.hide import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LONGEST = 256
MOST_ITEMS = 20
# What is read of a longer text: what is secret in it must be seen before it is cut, which may cut off the `@`.
_READ = 4096
_DEEPEST = 2
_LONG = 16
_MOST_NAMES = 1024
_STATEMENT = re.compile(
    r"\s*(?:select\s|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|merge\s+into\s|with\s+\S+\s+as\s*\()",
    re.IGNORECASE,
)
# How such a statement begins, and credentials do: nearly all texts are neither, which one look tells.
_SUSPICIOUS = re.compile(
    r"\s*(?:select|insert|update|delete|merge|with|basic|bearer|dpop|negotiate|eyJ)", re.IGNORECASE
)
# What a text names itself: a connection string (`host=db password=x`), a form, JSON.
_NAMED = re.compile(
    r"""(?<![\w.-])(?P<before>(?P<quote>["']?)(?P<name>[\w.-]+)(?:(?P=quote)\s*(?:=|(?<=["'])\s*:)\s*))"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s&;,}\])]+)"""
)


class Arguments:
    """Tells values, by the user's settings."""

    def __init__(self, redact: Iterable[str] | None) -> None:
        """Take the value of OTEL_RUN_REDACT; with None nothing is masked."""
        self._masks = redact is not None
        names = [one.removeprefix("key:") for one in redact or () if one.startswith("key:")]
        self._names = [re.compile(one, re.IGNORECASE) for one in names]
        # The length from which on a text of this name is a secret: there are few names, and many calls.
        self._secret_from: dict[str, float] = {}

    @classmethod
    def by_settings(cls) -> Arguments:
        """Return what tells values as the user wants them."""
        return cls(settings.current().redact)

    def told(self, name: str, value: object) -> Any:
        """Return the attribute for the value of the parameter `name`; None if there is none."""
        return self._told(name, value, 0)

    def _told(self, name: str, value: object, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        secret_from = self._secret_from.get(name)
        if secret_from is None:
            secret_from = self._look_at(name)
        if not secret_from:
            return REDACTED
        kind = type(value)
        if kind is not str:
            how = telling(kind)
            if how is None:
                items = of_ancestor(kind, _ITEMS)
                return items(self, name, value, depth) if items and depth < _DEEPEST else class_name(kind)
            value = how(value)
            if type(value) is not str:
                return value
        text: Any = value
        if len(text) >= secret_from:
            return REDACTED
        if self._masks:
            if _SUSPICIOUS.match(text):
                text = _without_secrets(text)
            if "=" in text or '":' in text or "':" in text:
                text = _NAMED.sub(_without_value, text[:_READ])
        return text if len(text) <= LONGEST else _shortened(url.mask(text[:_READ]) if self._masks else text)

    def _look_at(self, name: str) -> float:
        found = math.inf
        if self._masks:
            found = _secret_from(name)
            if found is math.inf and name.endswith("s"):
                # Of many only the texts: tokens are counted, too.
                found = max(_secret_from(name[:-1]), 1)
            if any(one.search(name) for one in self._names):
                found = 0
        if len(self._secret_from) < _MOST_NAMES:
            self._secret_from[name] = found
        return found

    def _sequence(self, name: str, items: Iterable[object], count: int, depth: int) -> Any:
        told = [self._told(name, item, depth + 1) for item in islice(items, MOST_ITEMS)]
        kinds = set(map(type, told))
        if depth == 0:
            if count <= MOST_ITEMS and len(kinds) <= 1 and kinds <= _ALIKE:
                return tuple(told)
            more = [f"… {count - MOST_ITEMS} more"] if count > MOST_ITEMS else []
            return (*map(_as_text, told), *more)
        return told

    def _mapping(self, items: Iterable[tuple[object, object]], count: int, depth: int) -> Any:
        told: dict[str, Any] = {}
        for key, value in islice(items, MOST_ITEMS):
            name = _as_text(self._told("", key, _DEEPEST))
            told[name] = self._told(name, value, depth + 1)
        if count > MOST_ITEMS:
            told["…"] = f"{count - MOST_ITEMS} more"
        return _shortened(_as_text(told)) if depth == 0 else told

    def _list(self, name: str, value: Any, depth: int) -> Any:
        return self._sequence(name, list.__iter__(value), list.__len__(value), depth)

    def _tuple(self, name: str, value: Any, depth: int) -> Any:
        count = tuple.__len__(value)
        items: Iterable[object] = islice(tuple.__iter__(value), MOST_ITEMS)
        names = _names_in(value, count)
        if names:
            pairs = zip(names, items, strict=False)
            items = [REDACTED if self._told(own, item, _DEEPEST) is REDACTED else item for own, item in pairs]
        return self._sequence(name, items, count, depth)

    def _set(self, name: str, value: Any, depth: int) -> Any:
        of = frozenset if frozenset in mro_of(type(value)) else set
        try:
            return self._sequence(name, of.__iter__(value), of.__len__(value), depth)
        except RuntimeError:  # another thread has changed it meanwhile
            return class_name(type(value))

    def _dict(self, _name: str, value: Any, depth: int) -> Any:
        try:
            return self._mapping(dict.items(value), dict.__len__(value), depth)
        except RuntimeError:
            return class_name(type(value))


def _secret_from(name: str) -> float:
    # `key` and the like are harmless, unless they are long.
    return next((size for size in (0, _LONG) if url.is_secret(name, "x" * size)), math.inf)


def _without_secrets(text: str) -> str:
    # It is the same in a header of any name.
    if url.is_secret_header("", text):
        return REDACTED
    return sql.mask(text[:_READ]) if _STATEMENT.match(text) else text


def _without_value(found: re.Match[str]) -> str:
    value = found["value"]
    quote = value[0] if value[0] in "\"'" else ""
    if not url.is_secret(found["name"], value.strip(quote)):
        return found[0]
    return found["before"] + quote + REDACTED + quote


def _names_in(value: Any, count: int) -> tuple[str, ...]:
    """Return what the items of a tuple are called, if they are: a namedtuple's fields, or the second of a pair."""
    kind = type(value)
    if kind is tuple:
        first = tuple.__getitem__(value, 0) if count == 2 else None
        return ("", first) if type(first) is str else ()
    fields: Any = next((vars(base)["_fields"] for base in mro_of(kind) if "_fields" in vars(base)), None)
    is_known = type(fields) is tuple and len(fields) == count and set(map(type, fields)) == {str}
    return tuple(fields) if is_known else ()


_ALIKE = frozenset((str, bool, int, float))


_ITEMS: dict[int, Callable[[Arguments, str, Any, int], Any]] = {
    id(list): Arguments._list,
    id(tuple): Arguments._tuple,
    id(set): Arguments._set,
    id(frozenset): Arguments._set,
    id(dict): Arguments._dict,
}


def _as_text(told: Any) -> str:
    return told if type(told) is str else json.dumps(told, ensure_ascii=False)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

"""What a call looks like without its values, so that two calls can be told to be alike: this file is about shapes.

Each text is cut before it is looked at, and each expression takes time in proportion to its length: anybody may have
sent the span. What is a value is judged a little too generously rather than too narrowly, since a shape only decides
which siblings stand on one line.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from otel_run.view import conventions
from otel_run.view.labels import label
from otel_run.view.url_labels import without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_run.view.span import Span
    from otel_run.view.tree import Node

# Of a text, in characters: what comes behind no longer tells two calls apart.
_MAX_TEXT = 4000

_SQL = re.compile(
    r"""(?P<between>(?:\s|/\*.*?(?:\*/|\Z)|--[^\n]*)+)"""
    r"""|(?:\b[xXbBnNeEuU])?(?:'[^']*(?:'|\Z))+"""
    r"""|\$\d+|%s|%\(\w*\)s|(?<![:\w]):[A-Za-z_]\w*"""
    r"""|(?<![\w$@:."])[-+]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w.])""",
    re.DOTALL,
)
# SQLAlchemy gives PostgreSQL's drivers the type of each value: `$1::INTEGER`.
_VALUE = r"\?(?:::\w{1,30}(?:\[\])?)?"
_LIST = re.compile(rf"\bIN ?\( ?{_VALUE}(?: ?, ?{_VALUE})* ?\)", re.IGNORECASE)
_ROWS = re.compile(r"\b(VALUES) ?(\([^()]*\))(?: ?, ?\([^()]*\))+", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\?|%[sd(]|\$\d|(?<![:\w]):\w|@\w")
# What begins like this tells all that it asks for; `find products` of a store without SQL does not.
_TELLS_ALL = re.compile(r"\s*\(?\s*(?:SELECT|WITH|VALUES|SHOW|PRAGMA|CALL)\b", re.IGNORECASE)

_ID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}"
_SEGMENT = re.compile(rf"(?:\d+|{_ID})(?P<ending>\.\w{{1,5}})?")
# A ticker, a currency, an ISIN: where paths are written in small letters, what has none is a value.
_CODE = re.compile(r"(?=[^A-Z]*[A-Z])[A-Z0-9._-]{2,}")
_IN_KEY = re.compile(rf"(?<![0-9a-zA-Z])(?:{_ID})(?![0-9a-zA-Z])|\d+")

_WITHOUT_CONTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})
# What the agent puts in the place of a value of a query that may be a secret.
_MASKED = "REDACTED"


class Shape(NamedTuple):
    """What calls that are alike have in common."""

    category: str
    system: str
    text: str


def shape(span: Span) -> Shape:
    """Return the shape of a span: of a query, a request or a command without its values, else its name."""
    category = conventions.category(span)
    if category == "database":
        return Shape(category, conventions.system(span), _statement(span) or span.name[:_MAX_TEXT])
    if category == "cache":
        command = conventions.statement(span)[:_MAX_TEXT]
        return Shape(category, conventions.system(span), _command(command) or span.name[:_MAX_TEXT])
    if category == "http":
        return Shape(category, "", _request(span) or span.name[:_MAX_TEXT])
    return Shape(category, "", span.name[:_MAX_TEXT])


def values(span: Span) -> str | None:
    """Return what tells two calls of one shape apart; None if that is not told, since values are masked."""
    category = conventions.category(span)
    if category == "http":
        where = conventions.url(span) or conventions.path(span)
        method = conventions.method(span)
        # What was sent with a POST is told nowhere.
        is_all = where and len(where) <= _MAX_TEXT and method in _WITHOUT_CONTENT and _MASKED not in where
        return f"{method} {where}" if is_all else None
    text = conventions.statement(span)
    if category not in ("database", "cache") or not text or len(text) > _MAX_TEXT:
        return None
    if category == "cache":
        return text if key_of(span) else None
    given = _parameters(span)
    if given:
        return f"{text} {given}"
    return text if _TELLS_ALL.match(text) and not _PLACEHOLDER.search(text) else None


def key_of(span: Span) -> str:
    """Return the first key of a command to a cache; empty if there is none, or it is masked."""
    words = conventions.statement(span)[:_MAX_TEXT].split(None, 2)
    return words[1] if len(words) > 1 and words[1] != "?" else ""


def label_of(nodes: Sequence[Node]) -> str:
    """Return what several spans of one shape are called: by their shape, if their own names differ."""
    first = label(nodes[0].span)
    if all(label(node.span) == first for node in nodes):
        return first
    found = shape(nodes[0].span)
    return found.text if found.category in ("database", "cache", "http") else first


def _parameters(span: Span) -> str:
    found = [
        f"{name}={value!r}"[:_MAX_TEXT]
        for name, value in span.attributes.items()
        if name.startswith(("db.query.parameter.", "db.statement.parameters"))
    ]
    return " ".join(sorted(found))


def _statement(span: Span) -> str:
    return "" if conventions.is_connecting(span) else without_values(conventions.statement(span)[:_MAX_TEXT])


# Most calls of a trace are of a few statements.
@lru_cache(maxsize=256)
def without_values(sql: str) -> str:
    """Return a statement with `?` for each value, one `?` for a list of them, and one row for many."""
    text = _SQL.sub(_of_sql, sql).strip()
    return _ROWS.sub(r"\1 \2", _LIST.sub("IN (?)", text))


def _of_sql(found: re.Match[str]) -> str:
    return " " if found.lastgroup else "?"


@lru_cache(maxsize=256)
def _command(text: str) -> str:
    words: list[str] = []
    for number, word in enumerate(text.split()):
        if number and word == "?":
            continue
        shown = _key(word) if number else word
        # A command with many keys, or a pipeline of many commands, is as good as one with more of them.
        if words[-1:] != [shown]:
            words.append(shown)
    return " ".join(words)


def _key(word: str) -> str:
    plain = _IN_KEY.sub("{}", word)
    place, colon, last = plain.rpartition(":")
    # Where no part of a key is a number, its last one is what differs: `instrument:AAPL`.
    return f"{place}:{{}}{';' * last.endswith(';')}" if colon and plain == word and place else plain


def _request(span: Span) -> str:
    where = conventions.url(span)
    if where:
        return f"{conventions.method(span)} {_address(where[:_MAX_TEXT])}"
    place = conventions.route(span)[:_MAX_TEXT] or _path(conventions.path(span)[:_MAX_TEXT])
    return f"{conventions.method(span)} {place}" if place else ""


@lru_cache(maxsize=1024)
def _address(url: str) -> str:
    scheme, slashes, rest = without_secrets(url).partition("?")[0].partition("://")
    if not slashes:
        return _path(scheme)
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{_path(slash + path)}"


def _path(path: str) -> str:
    first, *segments = path.split("/")
    return "/".join([first, *(_segment(segment, number) for number, segment in enumerate(segments))])


def _segment(segment: str, number: int) -> str:
    found = _SEGMENT.fullmatch(segment)
    if found is not None:
        return "{}" + (found["ending"] or "")
    # The first one is the name of an application, however it is written.
    return "{}" if number and _CODE.fullmatch(segment) else segment

"""The text of an SQL statement, read once: masked of every literal, and summed up in a few words.

The summary follows the semantic conventions ("Generating a summary of the query"): operations and their
targets, in order, as they were written, at most 255 characters. Masking errs on the safe side: what can't
be told from a literal becomes `?`, and an unfinished string or comment is masked to the end of the text.

A scanner of small tokens, each found by a pattern that can't backtrack far, so that the time is linear in
the text; no big expression could tell `a->'x'` from `'a''x'` in every dialect and stay linear.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from otel_run.masking.sql_summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable


class Statement(NamedTuple):
    """What is told of one statement. `operation` and `collection` are empty unless there is exactly one."""

    text: str
    summary: str
    operation: str
    collection: str


# More of a text is not read: a span is no place for a bulk load (the conventions allow it; Java cuts there too).
LONGEST = 32 * 1024
# A longer one is to be read again each time: generated texts seldom repeat, and a cache must not grow by megabytes.
LONGEST_REMEMBERED = 4 * 1024


def describe(text: str, system: str = "other_sql") -> Statement:
    """Return what to tell of `text`, a statement for the database `system` (a value of db.system.name)."""
    return read(text[:LONGEST], system)


def mask(text: str, system: str = "other_sql") -> str:
    """Return `text` without its literals and comments. Masking twice changes nothing."""
    return read(text, system).text


def read(text: str, system: str = "other_sql") -> Statement:
    """Read the whole of `text`, whatever it is; never raises."""
    return _Scan(text, system).statement()


def _set(systems: str) -> frozenset[str]:
    return frozenset(systems.split())


# How dialects differ in what is a literal. A database that is not named reads like the standard.
_LIKE_MYSQL = "mysql mariadb tidb singlestoredb memsql doris starrocks databricks hive spark impala"
_GOOGLE = "bigquery gcp.bigquery spanner gcp.spanner"
_BACKSLASH = _set(f"{_LIKE_MYSQL} {_GOOGLE} clickhouse snowflake")
_STRINGS_IN_DOUBLE_QUOTES = _set(f"{_LIKE_MYSQL} {_GOOGLE}")
_TRIPLE_QUOTES = _set(_GOOGLE)
# Takes a name in double quotes that it does not know for a string; where a value is expected, so do we.
_STRINGS_BY_MISTAKE = _set("sqlite")
_ENDS_VALUES = _set("ON RETURNING SELECT UPDATE SET FROM WHERE ORDER UNION")
_BRACKETS = _set("microsoft.sql_server sqlite")
_DOLLAR_IS_MONEY = _set("microsoft.sql_server")
_HASH_COMMENTS = _set(f"mysql mariadb tidb singlestoredb memsql {_GOOGLE}")
_FLAT_COMMENTS = _set(f"{_LIKE_MYSQL} sqlite oracle.db snowflake {_GOOGLE}")
_Q_STRINGS = _set("oracle.db other_sql")

_STRING = r"'[^']*(?:''[^']*)*'?"
_STRING_WITH_ESCAPES = r"'[^'\\]*(?:(?:''|\\.?)[^'\\]*)*'?"


def _tokens(system: str) -> list[tuple[str, str]]:
    """Return (method of _Scan, pattern) for one dialect, in the order in which they are tried."""
    plain = _STRING_WITH_ESCAPES if system in _BACKSLASH else _STRING
    # In MySQL alone `5--3` is arithmetic.
    line_comment = r"(?<!-)-{2,}(?![-\w.'\"(@?:`$+])[^\r\n]*" if system in ("mysql", "mariadb") else r"--[^\r\n]*"
    quotes = [r"`[^`]*(?:``[^`]*)*`"]
    if system not in _STRINGS_IN_DOUBLE_QUOTES:
        quotes.append(r'"[^"]*(?:""[^"]*)*"')
    if system in _BRACKETS:
        quotes.append(r"\[[^\]]*(?:\]\][^\]]*)*\]")
    tokens = [
        ("space", r"\s+"),
        ("literal", r"[eE]" + _STRING_WITH_ESCAPES),
        ("literal", r"(?:[nNxXbBrR]|[uU]&|_\w+)" + plain),
        ("word", r"[^\W\d][\w$]*"),
        ("sign", r"[+-](?=\.?\d)"),
        ("literal", r"(?:\d|\.\d)(?:[eE][+-](?=\d)|[\w.])*"),
        ("quoted", "|".join(quotes)),
        ("comment", line_comment),
        ("block_comment", r"/\*"),
        ("literal", plain),
        ("dollar_quote", r"\$(?:[^\W\d]\w*)?\$"),
        ("colon", r":\w+"),
        ("marker", r"\?\d*|%[sbt](?!\w)|%\([^()'\"]*\)[a-z]|@@?[\w$]+|\$\w+"),
        ("punctuation", r"[(),;.]"),
        ("other", "."),
    ]
    first: list[tuple[str, str]] = []
    if system in _Q_STRINGS:
        first.append(("q_string", r"[nN]?[qQ]'(?=\S)"))
    if system in _STRINGS_IN_DOUBLE_QUOTES:
        first.append(("literal", r'"[^"\\]*(?:(?:""|\\.?)[^"\\]*)*"?'))
    if system in _TRIPLE_QUOTES:
        for quote in "'\"":
            inside = rf"[^\\{quote}]+|\\.?|{quote}(?!{quote}{quote})"
            first.insert(0, ("literal", rf"(?:[rR][bB]?|[bB][rR]?)?{quote * 3}(?:{inside})*(?:{quote * 3})?"))
    if system in _DOLLAR_IS_MONEY:
        first.append(("literal", r"\$[\d.,]*\d"))
    if system in _HASH_COMMENTS:
        first.append(("comment", r"#[^\r\n]*"))
    return first + tokens


class _Dialect:
    """The compiled tokens of one dialect."""

    def __init__(self, system: str) -> None:
        tokens = _tokens(system)
        self.pattern = re.compile("|".join(f"({pattern})" for _, pattern in tokens), re.DOTALL)
        self.methods = [name for name, _ in tokens]
        self.nests_comments = system not in _FLAT_COMMENTS
        # What opens a quoted name; without its end, whatever follows may be a value.
        self.strings_by_mistake = system in _STRINGS_BY_MISTAKE
        self.openers = "\"'`[" if system in _BRACKETS else "\"'`"


@functools.lru_cache(maxsize=64)
def _dialect(system: str) -> _Dialect:
    return _Dialect(system)


_CLOSERS = {"[": "]", "(": ")", "{": "}", "<": ">"}


class _Scan:
    """One pass over one text: every method takes a token's first and last position and returns where to go on."""

    def __init__(self, text: str, system: str) -> None:
        self._text = text
        self._dialect = _dialect(system)
        self._out: list[str] = []
        self._summary = Summary()
        # The last word in capitals, or "" after anything else that counts: what IS, IN and BY stand before.
        self._last = ""
        self._before_last = ""
        # Where what may be an operand of `-` ends; -1 after an operator.
        self._operand_end = -1
        # Where in _out a list of `IN (` begins that holds nothing but literals so far; -1 if there is none.
        self._list = -1
        # Whether these are the rows behind VALUES.
        self._lists_values = False

    def statement(self) -> Statement:
        text, match = self._text, self._dialect.pattern.match
        methods: list[Callable[[int, int], int]] = [getattr(self, f"_{name}") for name in self._dialect.methods]
        position, end = 0, len(text)
        while position < end:
            token = match(text, position)
            # `other` takes whatever nothing else does, so there is always a token.
            position = methods[token.lastindex - 1](position, token.end())  # type: ignore[union-attr,operator]
        return Statement("".join(self._out), *self._summary.result())

    def _space(self, start: int, end: int) -> int:
        self._out.append(self._text[start:end])
        return end

    def _word(self, start: int, end: int) -> int:
        word = self._text[start:end]
        capitals = word.upper()
        if capitals in ("TRUE", "FALSE") and self._last not in ("IS", "NOT"):
            return self._literal(start, end)
        if self._is_password():
            return self._literal(start, end)
        self._out.append(word)
        self._summary.word(word, capitals)
        self._before_last, self._last = self._last, capitals
        self._operand_end, self._list = end, -1
        if capitals == "VALUES" or (self._lists_values and capitals in _ENDS_VALUES):
            self._lists_values = capitals == "VALUES"
        return end

    def _is_password(self) -> bool:
        # CREATE USER x IDENTIFIED BY secret: Oracle's passwords look like names.
        return self._last == "BY" and self._before_last == "IDENTIFIED"

    def _quoted(self, start: int, end: int) -> int:
        if self._is_password() or (self._dialect.strings_by_mistake and self._is_value(start, end)):
            return self._literal(start, end)
        name = self._text[start:end]
        self._out.append(name)
        self._summary.quoted(name)
        self._follow(end)
        self._list = -1
        return end

    def _is_value(self, start: int, end: int) -> bool:
        """Tell whether a name in double quotes stands where a value is compared or inserted."""
        if self._text[start] != '"' or self._text[end : end + 1] == ".":
            return False
        before = next((part for part in reversed(self._out) if not part.isspace()), "")
        is_compared = before in ("=", "<", ">") or self._last in ("LIKE", "GLOB", "MATCH", "REGEXP")
        return is_compared or self._lists_values or self._list >= 0

    def _literal(self, _start: int, end: int) -> int:
        self._out.append("?")
        self._summary.other()
        self._follow(-1)
        return end

    def _sign(self, start: int, end: int) -> int:
        # `-5` is a literal, `a-5` an operation; after a literal it can't be told, and is taken as a sign.
        if self._operand_end != start:
            return end
        return self._other(start, end)

    def _marker(self, start: int, end: int) -> int:
        marker = self._text[start:end]
        self._out.append(marker)
        self._summary.other()
        self._follow(end)
        if marker != "?":
            self._list = -1
        return end

    def _colon(self, start: int, end: int) -> int:
        # Of what is written and not of the text, so that reading again decides the same.
        before = self._out[-1][-1:] if self._out else ""
        if before.isalnum() or (before and before in "_:)]\"'?$`"):
            # `a[1:3]`, `'x':3`, `a::int`: no marker, so what follows may be a literal.
            return self._other(start, start + 1)
        return self._marker(start, end)

    def _comment(self, _start: int, end: int) -> int:
        # Dropped: comments hold values and request ids. What stood on both sides must not grow together.
        after = self._text[end : end + 1]
        if self._out and after and not after.isspace() and not self._out[-1][-1:].isspace():
            self._out.append(" ")
        return end

    def _block_comment(self, start: int, end: int) -> int:
        depth = 1
        while depth:
            closing = self._text.find("*/", end)
            if closing < 0:
                return len(self._text)
            # Openers between here and the closing are counted once each, so this stays linear.
            opened = self._text.count("/*", end, closing) if self._dialect.nests_comments else 0
            depth += opened - 1
            end = closing + 2
        return self._comment(start, end)

    def _dollar_quote(self, start: int, end: int) -> int:
        closing = self._text.find(self._text[start:end], end)
        return self._literal(start, len(self._text) if closing < 0 else closing + end - start)

    def _q_string(self, start: int, end: int) -> int:
        opener = self._text[end : end + 1]
        closing = self._text.find(_CLOSERS.get(opener, opener) + "'", end + 1)
        return self._literal(start, len(self._text) if closing < 0 else closing + 2)

    def _punctuation(self, start: int, end: int) -> int:
        character = self._text[start]
        opens_list = character == "(" and self._last == "IN"
        self._out.append(character)
        self._summary.punctuation(character)
        if opens_list:
            self._list = len(self._out)
        elif character == ")" and 0 <= self._list < len(self._out) - 1:
            self._collapse_list()
        elif character != ",":
            self._list = -1
        self._follow(end if character == ")" else -1)
        return end

    def _collapse_list(self) -> None:
        # IN (1, 2, 3) and IN (?, ?) are the same question; their lengths would make many texts of one.
        if "?" in self._out[self._list :]:
            self._out[self._list :] = ["?", ")"]
        self._list = -1

    def _other(self, start: int, end: int) -> int:
        character = self._text[start:end]
        if character in self._dialect.openers:
            return self._literal(start, len(self._text))
        self._out.append(character)
        self._summary.other()
        self._follow(end if character == "]" else -1)
        self._list = -1
        return end

    def _follow(self, operand_end: int) -> None:
        self._before_last, self._last = self._last, ""
        self._operand_end = operand_end

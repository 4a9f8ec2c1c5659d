"""Which attribute holds which text, and how each is masked: by its name, as the conventions, old or stable, have it.

What no convention names is looked at for URLs. The user's own patterns come last, and find what is left.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_run.masking import address, document, error, hide, redis, sql, url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    # Takes a text and the attributes beside it.
    Mask = Callable[[str, Mapping[str, Any]], str]

# db.system and db.system.name of what speaks no SQL.
_COMMANDS = frozenset(("redis", "valkey", "memcached"))
_DOCUMENTS = frozenset((
    "mongodb", "elasticsearch", "opensearch", "couchdb", "couchbase", "cosmosdb", "azure.cosmosdb", "dynamodb",
    "aws.dynamodb", "neo4j", "geode",
))  # fmt: skip
# What the old conventions called them.
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db", "redshift": "aws.redshift"}

# Lists of strings, one for each header; contrib's and ours write the name behind the last dot.
_HEADERS = (
    "http.request.header.",
    "http.response.header.",
    "rpc.request.metadata.",
    "rpc.response.metadata.",
    "rpc.grpc.request.metadata.",
    "rpc.grpc.response.metadata.",
    "rpc.connect_rpc.request.metadata.",
    "rpc.connect_rpc.response.metadata.",
)
# Where a host is told, and somebody writes `user:password@host` all the same.
_ADDRESSES = frozenset((
    "server.address", "client.address", "net.peer.name", "net.host.name", "net.sock.peer.name", "network.peer.address",
    "peer.address", "peer.hostname", "peer.service", "http.host", "db.connection_string",
))  # fmt: skip
_OPERATIONS = frozenset(("db.operation", "db.operation.name", "db.query.summary"))
# Values that a statement was given; whoever asks for them gets to know how many there are.
_PARAMETERS = ("db.query.parameter.", "db.operation.parameter.")
_WHOLE = ("http://", "https://")
_BEFORE_QUERY = re.compile(r"[^=]*[?/#:]")
_MOST_NAMES = 4096
_MOST_UNTOUCHED, _LONGEST_UNTOUCHED = 1024, 1024


class Texts:
    """Masks single texts, by the user's settings."""

    def __init__(self, patterns: Iterable[str], masks_keys: bool) -> None:
        """Take regular expressions for values and, after `key:`, for names; `masks_keys` is for those of Redis."""
        given = list(patterns)
        self._values = [re.compile(one) for one in given if not one.startswith("key:")]
        self._names = [re.compile(one.removeprefix("key:"), re.IGNORECASE) for one in given if one.startswith("key:")]
        self._masks_keys = masks_keys
        # Whether the user has given none.
        self.is_plain = not given
        # Attributes have few different names; what to do is decided once for each.
        self.known: dict[str, Mask | None] = {}
        # Of these, what nothing is done about in a text without `=` and `@`: without them no URL and no address
        # holds a secret.
        self.unread: set[str] = set()
        # Statements that were given as they may leave, and so hold no secret: ours always are.
        self._untouched: set[tuple[str, str]] = set()

    def hides(self, name: str) -> bool:
        """Tell whether the user wants nothing told of what has this name."""
        return bool(self._names) and any(pattern.search(name) for pattern in self._names)

    def mask_of(self, name: str) -> Mask | None:
        """Return what masks the attribute `name`; None for a text of no kind that is known."""
        try:
            return self.known[name]
        except KeyError:
            found = self._find_mask(name)
            if len(self.known) < _MOST_NAMES:
                self.known[name] = found
                if self.is_plain and found in (None, self._mask_url, _mask_address):
                    self.unread.add(name)
            return found

    def mask(self, name: str, value: str, beside: Mapping[str, Any]) -> str:
        """Return the attribute `name` as it may leave; `beside` are the attributes of the same span or event."""
        mask = self.mask_of(name)
        if mask is not None:
            value = mask(value, beside)
        elif "://" in value or "?" in value:
            value = self._mask_urls(value)
        return self.mask_by_patterns(value) if self._values else value

    def mask_by_patterns(self, text: str) -> str:
        """Return `text` without what the user's patterns for values find."""
        for pattern in self._values:
            text = hide.hide(pattern, text)
        return text

    def _find_mask(self, name: str) -> Mask | None:
        if name in ("db.query.text", "db.statement"):
            return self._mask_statement
        if name.startswith("url.") or name in ("http.url", "http.target"):
            return self._mask_url
        if name in ("exception.message", "exception.stacktrace"):
            return self.mask_error
        if name in _ADDRESSES:
            return _mask_address
        if name in _OPERATIONS:
            return self._mask_operation
        if name == "db.statement.parameters" or name.startswith(_PARAMETERS):
            return lambda text, _beside: document.mask(text) if text[:1] in ("(", "[", "{") else "?"
        prefix = next((prefix for prefix in _HEADERS if name.startswith(prefix)), None)
        if prefix is not None:
            header = name[len(prefix) :]
            return lambda text, _beside: "[REDACTED]" if url.is_secret_header(header, text) else self._mask_urls(text)
        return None

    def _mask_statement(self, text: str, beside: Mapping[str, Any]) -> str:
        told = str(beside.get("db.system.name") or beside.get("db.system") or "other_sql")
        if (told, text) in self._untouched:
            return text
        masked = self._read_statement(text, told.lower())
        if masked == text and len(text) <= _LONGEST_UNTOUCHED:
            if len(self._untouched) >= _MOST_UNTOUCHED:
                self._untouched.clear()
            self._untouched.add((told, text))
        return masked

    def _read_statement(self, text: str, system: str) -> str:
        # In a text of others, as in ours, what is longer is not read and so not told.
        text = text[: sql.LONGEST]
        if system in _COMMANDS:
            return redis.mask(text, self._masks_keys)
        if system in _DOCUMENTS:
            return document.mask(text)
        system = _SYSTEMS.get(system, system)
        return _remembered(text, system) if len(text) <= sql.LONGEST_REMEMBERED else sql.mask(text, system)

    def _mask_url(self, text: str, _beside: Mapping[str, Any]) -> str:
        # A query without its `?` is masked as one that has it: nothing of a URL comes before its first name.
        if text.startswith(_WHOLE) or _BEFORE_QUERY.match(text):
            return self._mask_urls(text)
        return self._mask_urls("?" + text)[1:]

    def _mask_urls(self, text: str) -> str:
        masked = url.mask(text)
        return self._mask_parameters(masked) if self._names else masked

    def _mask_parameters(self, text: str) -> str:
        for pattern in self._names:
            text = url.mask_named(text, pattern.search)
        return text

    def mask_error(self, text: str, beside: Mapping[str, Any]) -> str:
        """Return the message, the stack trace or the description that an exception has left."""
        kind = str(beside.get("exception.type") or "")
        system = beside.get("db.system.name") or beside.get("db.system")
        of_database = error.is_database_error(kind) if kind else bool(system)
        system = str(system or "other_sql").lower()
        masked = error.mask(text, of_database and "Traceback (" not in text, _SYSTEMS.get(system, system), kind)
        return self._mask_parameters(masked)

    def _mask_operation(self, text: str, beside: Mapping[str, Any]) -> str:
        """Mask what is called a statement's first word, and may be `select'a'`."""
        return self._mask_statement(text, beside) if "'" in text or "$" in text else text

    def mask_name(self, name: str, attributes: Mapping[str, Any]) -> str:
        """Mask a span's name: some hold a URL, are the statement itself or its first word."""
        statement = attributes.get("db.statement") or attributes.get("db.query.text")
        if name == statement or ("'" in name and isinstance(statement, str) and name in statement):
            name = self._mask_statement(name, attributes)
        elif "://" in name or "?" in name:
            name = self._mask_urls(name)
        return self.mask_by_patterns(name) if self._values else name


def _mask_address(text: str, _beside: Mapping[str, Any]) -> str:
    return address.mask(text)


@lru_cache(maxsize=2048)
def _remembered(text: str, system: str) -> str:
    return sql.mask(text, system)

"""The last gate: what is secret is masked in every span that leaves, whoever made it.

Our own instrumentors mask what they tell, so that samplers and processors of the program's see no secret
either. Contrib's do not, and neither do manual spans. Here each attribute that the conventions, old or
stable, give a text with secrets in it is masked once more; masking twice changes nothing. A span is never
changed, since processors of the program's have it too: what leaves is a copy, if anything had to be masked.
"""

from __future__ import annotations

import copy
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Status

from otel_run import report
from otel_run.boundary import contained
from otel_run.masking import document, error, redis, sql, url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.settings import Settings

    # Takes a text and the attributes beside it.
    Mask = Callable[[str, Mapping[str, Any]], str]

REDACTED = "REDACTED"

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
_PASSWORD = re.compile(r"(?i)\b(password|passwd|pwd)\s*=\s*(?:'[^']*'?|\"[^\"]*\"?|[^\s;&]*)")
_MOST_NAMES = 4096


class Gate:
    """Masks spans, by the user's settings; `build` makes it."""

    def __init__(self, patterns: Iterable[str], masks_keys: bool) -> None:
        """Take regular expressions for values and, after `key:`, for names; `masks_keys` is for those of Redis."""
        given = list(patterns)
        self._values = [re.compile(one) for one in given if not one.startswith("key:")]
        self._names = [re.compile(one.removeprefix("key:"), re.IGNORECASE) for one in given if one.startswith("key:")]
        self._masks_keys = masks_keys
        # Attributes have few different names; what to do is decided once for each.
        self._known: dict[str, Mask | None] = {}

    def __call__(self, span: ReadableSpan) -> ReadableSpan:
        """Return `span`, or a copy of it that may leave the process."""
        masked: ReadableSpan | None = contained("masking", self._mask_span, span)
        # What could not be looked at does not leave; that there was a span, and when, does.
        return masked if masked is not None else _bare(span)

    def _mask_span(self, span: ReadableSpan) -> ReadableSpan:
        attributes: Mapping[str, Any] = span._attributes or {}
        fresh: dict[str, Any] = {}
        changed = self._mask_attributes(attributes, attributes)
        if changed is not None:
            fresh["_attributes"] = changed
        if span._events:
            self._keep_if_changed(fresh, "_events", span._events, attributes)
        if span._links:
            self._keep_if_changed(fresh, "_links", span._links, attributes)
        description = span._status.description
        if description:
            shown = self._mask_error(description, attributes)
            if shown != description:
                fresh["_status"] = Status(span._status.status_code, shown)
        name = self._mask_name(span._name, attributes)
        if name != span._name:
            fresh["_name"] = name
        if not fresh:
            return span
        masked = copy.copy(span)
        vars(masked).update(fresh)
        return masked

    def _keep_if_changed(
        self, fresh: dict[str, Any], name: str, parts: Sequence[Any], around: Mapping[str, Any]
    ) -> None:
        """Put into `fresh` the masked copy of a span's events or links, if anything in them had to be masked."""
        masked = [self._mask_part(part, around) for part in parts]
        if any(one is not other for one, other in zip(masked, parts, strict=True)):
            fresh[name] = _like(parts, masked)

    def _mask_part(self, part: Any, around: Mapping[str, Any]) -> Any:
        changed = self._mask_attributes(part._attributes or {}, around)
        if changed is None:
            return part
        masked = copy.copy(part)
        masked._attributes = changed
        return masked

    def _mask_attributes(self, attributes: Mapping[str, Any], around: Mapping[str, Any]) -> Any:
        """Return a masked copy of `attributes`, None if there was nothing to mask."""
        changed: dict[str, Any] = {}
        # What is inside: reading a BoundedAttributes item by item costs more than all the rest of this.
        plain: Mapping[str, Any] = getattr(attributes, "_dict", attributes)
        beside = plain if attributes is around else {**around, **plain}
        for name, value in plain.items():
            if isinstance(value, (str, list, tuple)):
                shown = self._mask_value(name, value, beside)
                if shown is not value and shown != value:
                    changed[name] = shown
        if not changed:
            return None
        masked = {**plain, **changed}
        if not isinstance(attributes, BoundedAttributes):
            return masked
        # Not by its constructor: it would count and check again what has been.
        bounded = copy.copy(attributes)
        bounded._dict = masked
        return bounded

    def _mask_value(self, name: str, value: Any, beside: Mapping[str, Any]) -> Any:
        if self._names and any(pattern.search(name) for pattern in self._names):
            return REDACTED if isinstance(value, str) else type(value)([REDACTED])
        if not isinstance(value, str):
            return type(value)(self._mask_value(name, one, beside) if isinstance(one, str) else one for one in value)
        mask = self._mask_of(name)
        if mask is not None:
            value = mask(value, beside)
        elif "://" in value:
            value = url.mask(value)
        return self._mask_by_patterns(value)

    def _mask_by_patterns(self, text: str) -> str:
        for pattern in self._values:
            text = pattern.sub(REDACTED, text)
        return text

    def _mask_of(self, name: str) -> Mask | None:
        try:
            return self._known[name]
        except KeyError:
            found = self._find_mask(name)
            if len(self._known) < _MOST_NAMES:
                self._known[name] = found
            return found

    def _find_mask(self, name: str) -> Mask | None:
        if name in ("db.query.text", "db.statement"):
            return self._mask_statement
        if name.startswith("url.") or name in ("http.url", "http.target"):
            return self._mask_url
        if name in ("exception.message", "exception.stacktrace"):
            return self._mask_error
        if name == "db.connection_string":
            return lambda text, _beside: url.mask(text) if "://" in text else _PASSWORD.sub(r"\1=" + REDACTED, text)
        prefix = next((prefix for prefix in _HEADERS if name.startswith(prefix)), None)
        if prefix is not None:
            header = name[len(prefix) :]
            return lambda text, _beside: "[REDACTED]" if url.is_secret(header, text) else url.mask(text)
        return None

    def _mask_statement(self, text: str, beside: Mapping[str, Any]) -> str:
        system = str(beside.get("db.system.name") or beside.get("db.system") or "other_sql").lower()
        # In a text of others, as in ours, what is longer is not read and so not told.
        text = text[: sql.LONGEST]
        if system in _COMMANDS:
            return redis.mask(text, self._masks_keys)
        if system in _DOCUMENTS:
            return document.mask(text)
        system = _SYSTEMS.get(system, system)
        return _remembered(text, system) if len(text) <= sql.LONGEST_REMEMBERED else sql.mask(text, system)

    def _mask_url(self, text: str, _beside: Mapping[str, Any]) -> str:
        # A query without its `?` is masked as one that has it.
        masked = url.mask(text) if "?" in text or "://" in text else url.mask_query(text)
        for pattern in self._names:
            masked = url.mask_named(masked, pattern.search)
        return masked

    def _mask_error(self, text: str, beside: Mapping[str, Any]) -> str:
        kind = beside.get("exception.type")
        of_database = (
            error.is_database_error(str(kind)) if kind else "db.system.name" in beside or "db.system" in beside
        )
        masked = error.mask(text, of_database and "Traceback (" not in text)
        return self._mask_by_patterns(masked)

    def _mask_name(self, name: str, attributes: Mapping[str, Any]) -> str:
        """Mask a span's name: some hold a URL, or are the statement itself."""
        if name == attributes.get("db.statement") or name == attributes.get("db.query.text"):
            name = self._mask_statement(name, attributes)
        elif "://" in name or "?" in name:
            name = url.mask(name)
        return self._mask_by_patterns(name)


@lru_cache(maxsize=2048)
def _remembered(text: str, system: str) -> str:
    return sql.mask(text, system)


def _like(parts: Sequence[Any], masked: list[Any]) -> Sequence[Any]:
    """Return `masked` as the sequence that `parts` is, which knows how many were dropped."""
    if not isinstance(parts, BoundedList):
        return masked
    bounded = BoundedList.from_seq(len(masked), masked)
    bounded.dropped = parts.dropped
    return bounded


def _bare(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of `span` that holds no text of anybody's."""
    bare = copy.copy(span)
    vars(bare).update(
        _name="(could not be masked)", _attributes={}, _events=(), _links=(), _status=Status(span._status.status_code)
    )
    return bare


def build(found: Settings) -> Callable[[ReadableSpan], ReadableSpan]:
    """Return what every exporter's spans go through: a Gate, or nothing at all if the user has said `off`."""
    if found.redact is None:
        report.note("masking", "off", "OTEL_RUN_REDACT=off; SQL, URLs and headers leave as they are")
        return lambda span: span
    return Gate(found.redact, found.redis_keys == "mask")

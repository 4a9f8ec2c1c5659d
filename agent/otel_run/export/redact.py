"""The last gate: what is secret is masked in every span that leaves, whoever made it.

Our own instrumentors mask what they tell, so that samplers and processors of the program's see no secret
either. Contrib's do not, and neither do manual spans. Here each attribute that the conventions, old or
stable, give a text with secrets in it is masked once more; masking twice changes nothing. A span is never
changed, since processors of the program's have it too: what leaves is a copy, if anything had to be masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Status

from otel_run import report
from otel_run.boundary import contained
from otel_run.export import copied
from otel_run.masking import address, document, error, hide, redis, sql, url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.settings import Settings

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
_BEFORE_QUERY = re.compile(r"[^=]*[?/#:]")
_WHOSE = ("service.", "telemetry.")
_NO_TEXT = frozenset((int, float, bool, type(None)))
_MOST_NAMES = 4096


class Gate:
    """Masks spans, by the user's settings; `build` makes it."""

    def __init__(self, patterns: Iterable[str], masks_keys: bool) -> None:
        """Take regular expressions for values and, after `key:`, for names; `masks_keys` is for those of Redis."""
        given = list(patterns)
        self._values = [re.compile(one) for one in given if not one.startswith("key:")]
        self._names = [re.compile(one.removeprefix("key:"), re.IGNORECASE) for one in given if one.startswith("key:")]
        self._is_plain = not given
        self._masks_keys = masks_keys
        # Attributes have few different names; what to do is decided once for each.
        self._known: dict[str, Mask | None] = {}
        # The last resource that was seen, and what of it may leave: nearly always there is one.
        self._resource: tuple[Any, Any] = (None, None)

    def __call__(self, span: ReadableSpan) -> ReadableSpan:
        """Return `span`, or a copy of it that may leave the process."""
        masked: ReadableSpan | None = contained("masking", self._mask_span, span)
        # What could not be looked at does not leave; that there was a span, and when, does.
        return masked if masked is not None else copied.bare(span)

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
            shown = self._mask_description(description, span, attributes)
            if shown != description:
                fresh["_status"] = Status(span._status.status_code, shown)
        name = self._mask_name(span._name, attributes)
        if name != span._name:
            fresh["_name"] = name
        seen, resource = self._resource
        if seen is not span._resource:
            resource = self._mask_resource(span._resource)
        if resource is not span._resource:
            fresh["_resource"] = resource
        if not fresh:
            return span
        masked = copied.copy_of(span)
        vars(masked).update(fresh)
        return masked

    def _keep_if_changed(
        self, fresh: dict[str, Any], name: str, parts: Sequence[Any], around: Mapping[str, Any]
    ) -> None:
        """Put into `fresh` the masked copy of a span's events or links, if anything in them had to be masked."""
        masked = [self._mask_part(part, around) for part in parts]
        if any(one is not other for one, other in zip(masked, parts, strict=True)):
            fresh[name] = copied.like(parts, masked)

    def _mask_part(self, part: Any, around: Mapping[str, Any]) -> Any:
        changed = self._mask_attributes(part._attributes or {}, around)
        name = getattr(part, "_name", "")  # links have none
        shown = self._mask_name(name, around) if name != "exception" else name
        if changed is None and shown == name:
            return part
        masked = copied.copy_of(part)
        if changed is not None:
            masked._attributes = changed
        if shown != name:
            masked._name = shown
        return masked

    def _mask_resource(self, resource: Any) -> Any:
        attributes = getattr(resource, "_attributes", None) or {}
        changed = self._mask_attributes(attributes, attributes)
        masked = resource
        if changed is not None:
            masked = copied.copy_of(resource)
            # Whose spans these are must be known; `key:name` is not meant for it.
            kept = {name: value for name, value in attributes.items() if name.startswith(_WHOSE)}
            masked._attributes = BoundedAttributes(attributes={**changed, **kept})
        self._resource = (resource, masked)
        return masked

    def _mask_attributes(self, attributes: Mapping[str, Any], around: Mapping[str, Any]) -> Any:
        """Return a masked copy of `attributes`, None if there was nothing to mask."""
        changed: dict[str, Any] = {}
        # What is inside: reading a BoundedAttributes item by item costs more than all the rest of this.
        plain: Mapping[str, Any] = getattr(attributes, "_dict", attributes)
        beside = plain if attributes is around else {**around, **plain}
        is_plain, known = self._is_plain, self._known
        for name, value in plain.items():
            if type(value) in _NO_TEXT:
                continue
            # Most texts are of no concern, and need no further look.
            is_free = is_plain and type(value) is str and known.get(name, "") is None
            if is_free and "?" not in value and "://" not in value:
                continue
            shown = self._mask_value(name, value, beside)
            if shown is not value and shown != value:
                changed[name] = shown
        if not changed:
            return None
        masked = {**plain, **changed}
        if not isinstance(attributes, BoundedAttributes):
            return masked
        # Not by its constructor: it would count and check again what has been.
        bounded = copied.copy_of(attributes)
        bounded._dict = masked
        return bounded

    def _mask_value(self, name: str, value: Any, beside: Mapping[str, Any]) -> Any:
        if self._names and any(pattern.search(name) for pattern in self._names):
            return hide.REDACTED if isinstance(value, (str, bytes, Mapping)) else type(value)([hide.REDACTED])
        if isinstance(value, str):
            return self._mask_text(name, value, beside)
        if isinstance(value, bytes):
            # What is no text comes back as it was.
            text = value.decode("utf-8", "surrogateescape")
            return self._mask_text(name, text, beside).encode("utf-8", "surrogateescape")
        if isinstance(value, (list, tuple)):
            parts = (self._mask_value(name, one, beside) for one in value)
            return list(parts) if isinstance(value, list) else tuple(parts)
        if isinstance(value, Mapping):
            is_known = self._mask_of(name) is not None
            return {key: self._mask_value(name if is_known else key, one, beside) for key, one in value.items()}
        return value

    def _mask_text(self, name: str, value: str, beside: Mapping[str, Any]) -> str:
        mask = self._mask_of(name)
        if mask is not None:
            value = mask(value, beside)
        elif "://" in value or "?" in value:
            value = self._mask_urls(value)
        return self._mask_by_patterns(value) if self._values else value

    def _mask_by_patterns(self, text: str) -> str:
        for pattern in self._values:
            text = hide.hide(pattern, text)
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
        if name in _ADDRESSES:
            return lambda text, _beside: address.mask(text)
        if name in _OPERATIONS:
            return self._mask_operation
        if name == "db.statement.parameters" or name.startswith(_PARAMETERS):
            return lambda text, _beside: document.mask(text) if text[:1] in ("(", "[", "{") else "?"
        prefix = next((prefix for prefix in _HEADERS if name.startswith(prefix)), None)
        if prefix is not None:
            header = name[len(prefix) :]
            return lambda text, _beside: "[REDACTED]" if url.is_secret(header, text) else self._mask_urls(text)
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
        # A query without its `?` is masked as one that has it: nothing of a URL comes before its first name.
        return self._mask_urls(text) if _BEFORE_QUERY.match(text) else self._mask_urls("?" + text)[1:]

    def _mask_urls(self, text: str) -> str:
        return self._mask_parameters(url.mask(text))

    def _mask_parameters(self, text: str) -> str:
        for pattern in self._names:
            text = url.mask_named(text, pattern.search)
        return text

    def _mask_error(self, text: str, beside: Mapping[str, Any]) -> str:
        kind = str(beside.get("exception.type") or "")
        system = beside.get("db.system.name") or beside.get("db.system")
        of_database = error.is_database_error(kind) if kind else bool(system)
        system = str(system or "other_sql").lower()
        masked = error.mask(text, of_database and "Traceback (" not in text, _SYSTEMS.get(system, system), kind)
        return self._mask_parameters(masked)

    def _mask_description(self, text: str, span: ReadableSpan, attributes: Mapping[str, Any]) -> str:
        """Mask a status's description, which says what the last event about an exception says."""
        kind = next((one._attributes.get("exception.type") for one in span._events if one._attributes), None)
        # It begins with the short name of the class, as that of a class called so begins a message of the database's.
        beside = {**attributes, "exception.type": kind} if kind and error.is_database_error(str(kind)) else attributes
        return self._mask_by_patterns(self._mask_error(text, beside))

    def _mask_operation(self, text: str, beside: Mapping[str, Any]) -> str:
        """Mask what is called a statement's first word, and may be `select'a'`."""
        return self._mask_statement(text, beside) if "'" in text or "$" in text else text

    def _mask_name(self, name: str, attributes: Mapping[str, Any]) -> str:
        """Mask a span's name: some hold a URL, are the statement itself or its first word."""
        statement = attributes.get("db.statement") or attributes.get("db.query.text")
        if name == statement or ("'" in name and isinstance(statement, str) and name in statement):
            name = self._mask_statement(name, attributes)
        elif "://" in name or "?" in name:
            name = self._mask_urls(name)
        return self._mask_by_patterns(name) if self._values else name


@lru_cache(maxsize=2048)
def _remembered(text: str, system: str) -> str:
    return sql.mask(text, system)


def build(found: Settings) -> Callable[[ReadableSpan], ReadableSpan]:
    """Return what every exporter's spans go through: a Gate, or nothing at all if the user has said `off`."""
    if found.redact is None:
        report.note("masking", "off", "OTEL_RUN_REDACT=off; SQL, URLs and headers leave as they are")
        return lambda span: span
    return Gate(found.redact, found.redis_keys == "mask")

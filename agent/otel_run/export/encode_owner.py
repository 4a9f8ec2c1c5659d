"""Whose spans they are: resources and scopes as protobuf bytes, encoded once, and the spans put under them.

They are told apart by identity, which is asked for each span, and joined by what they say: two that tell the
same are one, as the SDK's exporter has it. Source: opentelemetry-proto, `trace/v1/trace.proto`, ResourceSpans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from otel_run.export.encode_value import field, utf8, varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_run.export.encode_attributes import Attributes

_MOST_KEPT = 256


class _Owner(NamedTuple):
    """A resource or a scope."""

    # It lives for as long as its identity stands for it.
    given: Any
    # The same for two that say the same, in whatever order.
    meaning: bytes
    # As a field of ResourceSpans or ScopeSpans, and the schema URL as another.
    itself: bytes
    schema: bytes


class Owners:
    """Remembers resources and scopes from batch to batch."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._resources: dict[int, _Owner] = {}
        self._scopes: dict[int, _Owner] = {}

    def resource(self, given: Any) -> _Owner:
        """Return a resource, encoded if it was not before."""
        return self._resources.get(id(given)) or _kept(self._resources, self._encode(given, b"", b"\x0a"))

    def scope(self, given: Any) -> _Owner:
        """Return an instrumentation scope; a span that has none is under an empty one."""
        found = self._scopes.get(id(given))
        if found is not None:
            return found
        if not given:
            return _Owner(given, b"", b"\x0a\x00", b"")
        head = field(b"\x0a", utf8(given.name or "")) + field(b"\x12", utf8(given.version or ""))
        return _kept(self._scopes, self._encode(given, head, b"\x1a"))

    def _encode(self, given: Any, head: bytes, tag: bytes) -> _Owner:
        attributes = self._attributes.fields(tag, given.attributes)
        schema = field(b"\x1a", utf8(given.schema_url)) if given.schema_url else b""
        itself = field(b"\x0a", head + b"".join(attributes))
        return _Owner(given, b"".join((head, schema, *sorted(attributes))), itself, schema)


def _kept(known: dict[int, _Owner], owner: _Owner) -> _Owner:
    if len(known) >= _MOST_KEPT:
        known.clear()
    known[id(owner.given)] = owner
    return owner


class Batch:
    """The spans of one request, under their scopes, under their resources."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._resources: dict[bytes, tuple[_Owner, dict[bytes, tuple[_Owner, list[bytes]]]]] = {}
        self._held: list[_Owner] = []

    def place(self, resource: Any, scope: Any) -> Callable[[bytes], None]:
        """Return what takes the bytes of spans of this resource and scope."""
        whose, where = self._owners.resource(resource), self._owners.scope(scope)
        # The caller knows both by their identities until the batch is whole.
        self._held += whose, where
        _, scopes = self._resources.setdefault(whose.meaning, (whose, {}))
        return scopes.setdefault(where.meaning, (where, []))[1].append

    def request(self) -> bytes:
        """Return the ExportTraceServiceRequest."""
        return b"".join([_resource_spans(whose, scopes.values()) for whose, scopes in self._resources.values()])


def _resource_spans(resource: _Owner, scopes: Iterable[tuple[_Owner, list[bytes]]]) -> bytes:
    parts = [resource.itself]
    for scope, spans in scopes:
        length = len(scope.itself) + len(scope.schema) + sum(map(len, spans))
        parts += b"\x12", varint(length), scope.itself, *spans, scope.schema
    parts.append(resource.schema)
    return b"".join((b"\x0a", varint(sum(map(len, parts))), *parts))

"""The last gate: what is secret is masked in every span that leaves, whoever made it.

Our own instrumentors mask what they tell, so that samplers and processors of the program's see no secret
either. Contrib's do not, and neither do manual spans. Here every text of a span is masked once more (texts.py
says how); masking twice changes nothing. A span is never changed, since processors of the program's have it
too: what leaves is a copy, if anything had to be masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Status

from otel_run import report
from otel_run.boundary import contained
from otel_run.export import copied
from otel_run.export.texts import Texts
from otel_run.masking import error, hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.settings import Settings

_WHOSE = ("service.", "telemetry.")
_NO_TEXT = frozenset((int, float, bool, type(None)))


class Gate:
    """Masks spans, by the user's settings; `build` makes it."""

    def __init__(self, patterns: Iterable[str], masks_keys: bool) -> None:
        """Take regular expressions for values and, after `key:`, for names; `masks_keys` is for those of Redis."""
        self._texts = Texts(patterns, masks_keys)
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
        name = self._texts.mask_name(span._name, attributes)
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
        shown = self._texts.mask_name(name, around) if name != "exception" else name
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
        is_plain, known = self._texts.is_plain, self._texts.known
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
        if self._texts.hides(name):
            return hide.REDACTED if isinstance(value, (str, bytes, Mapping)) else type(value)([hide.REDACTED])
        if isinstance(value, str):
            return self._texts.mask(name, value, beside)
        if isinstance(value, bytes):
            # What is no text comes back as it was.
            text = value.decode("utf-8", "surrogateescape")
            return self._texts.mask(name, text, beside).encode("utf-8", "surrogateescape")
        if isinstance(value, (list, tuple)):
            parts = (self._mask_value(name, one, beside) for one in value)
            return list(parts) if isinstance(value, list) else tuple(parts)
        if isinstance(value, Mapping):
            is_known = self._texts.mask_of(name) is not None
            return {key: self._mask_value(name if is_known else key, one, beside) for key, one in value.items()}
        return value

    def _mask_description(self, text: str, span: ReadableSpan, attributes: Mapping[str, Any]) -> str:
        """Mask a status's description, which says what the last event about an exception says."""
        kind = next((one._attributes.get("exception.type") for one in span._events if one._attributes), None)
        # It begins with the short name of the class, as that of a class called so begins a message of the database's.
        beside = {**attributes, "exception.type": kind} if kind and error.is_database_error(str(kind)) else attributes
        return self._texts.mask_by_patterns(self._texts.mask_error(text, beside))


def build(found: Settings) -> Callable[[ReadableSpan], ReadableSpan]:
    """Return what every exporter's spans go through: a Gate, or nothing at all if the user has said `off`."""
    if found.redact is None:
        report.note("masking", "off", "OTEL_RUN_REDACT=off; SQL, URLs and headers leave as they are")
        return lambda span: span
    return Gate(found.redact, found.redis_keys == "mask")

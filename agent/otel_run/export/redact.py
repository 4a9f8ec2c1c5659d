"""The last gate: what is secret is masked in every span that leaves, whoever made it.

Our own instrumentors mask what they tell, so that samplers and processors of the program's see no secret
either. Contrib's do not, and neither do manual spans. Here every text of a span is masked once more (texts.py
says how); masking twice changes nothing. A span is never changed, since processors of the program's have it
too: what leaves is a copy, if anything had to be masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Status

from otel_run import report
from otel_run.boundary import contained
from otel_run.export import copied
from otel_run.export.texts import Texts
from otel_run.masking import error, hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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

    def _mask_span(self, given: ReadableSpan) -> ReadableSpan:
        # What is looked at is what leaves, also where reading it again would give something else.
        span = given if copied.is_direct[type(given)] else copied.plain(given)
        around = copied.inside(span._attributes)
        fresh: dict[str, Any] = {}
        changed = self._find_changes(around, around)
        if changed:
            fresh["_attributes"] = _with(span._attributes, changed)
        for name in ("_events", "_links"):
            # Where a span of ours has none, there is nothing until somebody looks.
            parts = vars(span).get(name)
            if parts:
                self._keep_if_changed(fresh, name, parts, around)
        description = span._status.description
        if description:
            shown = self._mask_description(description, span, around)
            if shown != description:
                fresh["_status"] = Status(span._status.status_code, shown)
        name = self._texts.mask_name(span._name, around)
        if name != span._name:
            fresh["_name"] = name
        seen, resource = self._resource
        if seen is not span._resource:
            resource = self._mask_resource(span._resource)
        if resource is not span._resource:
            fresh["_resource"] = resource
        return copied.with_fields(span, fresh) if fresh else span

    def _keep_if_changed(
        self, fresh: dict[str, Any], name: str, parts: Sequence[Any], around: Mapping[str, Any]
    ) -> None:
        """Put into `fresh` the masked copy of a span's events or links, if anything in them had to be masked."""
        masked = [self._mask_part(part, around) for part in parts]
        if any(one is not other for one, other in zip(masked, parts, strict=True)):
            fresh[name] = copied.like(parts, masked)

    def _mask_part(self, given: Any, around: Mapping[str, Any]) -> Any:
        part = copied.plain_part(given)
        attributes = copied.inside(part._attributes)
        changed = self._find_changes(attributes, around)
        name = getattr(part, "_name", "")  # links have none
        shown = self._texts.mask_name(name, around) if name != "exception" else name
        fresh: dict[str, Any] = {"_name": shown} if shown != name else {}
        if changed:
            fresh["_attributes"] = _with(part._attributes, changed)
        return copied.with_fields(part, fresh) if fresh else part

    def _mask_resource(self, resource: Any) -> Any:
        given = getattr(resource, "_attributes", None)
        attributes = copied.inside(given)
        changed = self._find_changes(attributes, attributes)
        masked = resource
        if changed:
            # Whose spans these are must be known; `key:name` is not meant for it.
            named = {name: value for name, value in changed.items() if not name.startswith(_WHOSE)}
            masked = copied.with_fields(resource, {"_attributes": _with(given, named)})
        self._resource = (resource, masked)
        return masked

    def _find_changes(self, attributes: Mapping[str, Any], around: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what leaves otherwise than it is; `around` are the attributes of the span itself."""
        changed: dict[str, Any] | None = None
        texts = self._texts
        unread, is_plain = texts.unread, texts.is_plain
        beside = attributes if attributes is around else None
        for name, value in attributes.items():
            kind = type(value)
            if kind is str:
                # Most texts are of no concern, and need no further look.
                if name in unread and "=" not in value and "@" not in value:
                    continue
            elif kind in _NO_TEXT:
                continue
            known_as = name if isinstance(name, str) else str(name)
            if beside is None:
                beside = {**around, **attributes}
            mask = texts.mask if kind is str and is_plain else self._mask_value
            shown = mask(known_as, value, beside)
            if shown is not value and shown != value:
                if changed is None:
                    changed = {}
                changed[name] = shown
        return changed

    def _mask_value(self, name: str, value: Any, beside: Mapping[str, Any]) -> Any:
        if self._texts.hides(name):
            return hide.REDACTED if isinstance(value, (str, bytes, Mapping)) else _like(value, [hide.REDACTED])
        if isinstance(value, str):
            return self._texts.mask(name, value, beside)
        if isinstance(value, bytes):
            # What is no text comes back as it was.
            text = value.decode("utf-8", "surrogateescape")
            return self._texts.mask(name, text, beside).encode("utf-8", "surrogateescape")
        if isinstance(value, (bytearray, memoryview, range)):
            return value  # told as numbers
        if isinstance(value, Sequence):
            return _like(value, [self._mask_value(name, one, beside) for one in value])
        if isinstance(value, Mapping):
            is_known = self._texts.mask_of(name) is not None
            return {key: self._mask_value(name if is_known else str(key), one, beside) for key, one in value.items()}
        return value

    def _mask_description(self, text: str, span: ReadableSpan, attributes: Mapping[str, Any]) -> str:
        """Mask a status's description, which says what the last event about an exception says."""
        kind = next((one._attributes.get("exception.type") for one in span._events if one._attributes), None)
        # It begins with the short name of the class, as that of a class called so begins a message of the database's.
        beside = {**attributes, "exception.type": kind} if kind and error.is_database_error(str(kind)) else attributes
        return self._texts.mask_by_patterns(self._texts.mask_error(text, beside))


def _with(attributes: Any, changed: dict[str, Any]) -> Any:
    masked = {**copied.inside(attributes), **changed}
    # Not by its constructor: it would count and check again what has been.
    return copied.with_fields(attributes, {"_dict": masked}) if copied.is_bounded[type(attributes)] else masked


def _like(values: Any, masked: list[Any]) -> Any:
    return masked if isinstance(values, list) else tuple(masked)


def build(found: Settings) -> Callable[[ReadableSpan], ReadableSpan]:
    """Return what every exporter's spans go through: a Gate, or nothing at all if the user has said `off`."""
    if found.redact is None:
        report.note("masking", "off", "OTEL_RUN_REDACT=off; SQL, URLs and headers leave as they are")
        return lambda span: span
    return Gate(found.redact, found.redis_keys == "mask")

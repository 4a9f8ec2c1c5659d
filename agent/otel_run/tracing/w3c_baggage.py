"""W3C Baggage: reading `baggage`, with what is malformed left out and nothing said.

The API's reading, which this agrees with, logs a warning for each, with the value in it: a stranger could fill the
program's stderr. Source: https://www.w3.org/TR/baggage/, "Header Content" and "Limits".
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_plus

from opentelemetry.baggage import _BAGGAGE_KEY, _is_valid_pair
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators import textmap

from otel_run.tracing import process_span

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_CHARACTERS = 8192
_MOST_OF_A_MEMBER = 4096
_MOST_MEMBERS = 180
# Three times this is within all of them.
_SHORT = 1000


def parse(header: str) -> dict[str, object]:
    """Return the entries of `header`, the value of one or of several joined by commas; a value has its properties."""
    if len(header) > _MOST_CHARACTERS:
        return {}
    found: dict[str, object] = {}
    left = _MOST_CHARACTERS
    for member in islice(_members(header), _MOST_MEMBERS):
        name, equals, value = member.partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not equals or not _is_valid_pair(name, value):
            continue
        name, value = unquote_plus(name).strip(), unquote_plus(value).strip()
        # Sent on, it is encoded anew, and may be three times as long: servers refuse what is above the limits.
        size = len(member) if len(header) < _SHORT else len(quote_plus(name)) + 1 + len(quote_plus(value))
        if name and size <= min(left, _MOST_OF_A_MEMBER):
            left -= size + 1
            found[name] = value
    return found


def _members(header: str) -> Iterator[str]:
    for member in header.split(","):
        stripped = member.strip(" \t")
        if stripped and stripped.isascii() and len(stripped) <= _MOST_OF_A_MEMBER:
            yield stripped


class Baggage(W3CBaggagePropagator):
    """The API's propagator, with this reading of the header in place of its own."""

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        """Return the context with the caller's baggage added to it, or as it was."""
        around = get_current() if context is None else context
        return with_baggage(",".join(getter.get(carrier, "baggage") or ()), around)

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Write the baggage into the carrier, with that which came with the process where that is at work."""
        around = get_current() if context is None else context
        super().inject(carrier, process_span.with_baggage(around), setter)


def with_baggage(header: str | None, around: Context) -> Context:
    """Return `around` with what `header` holds added to its baggage."""
    found = parse(header) if header else {}
    if not found:
        return around
    already = around.get(_BAGGAGE_KEY)
    kept = already if isinstance(already, dict) else {}
    return Context(around, **{_BAGGAGE_KEY: {**kept, **found}})

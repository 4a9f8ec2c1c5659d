"""What spans weigh: the characters of their long texts, which a bound on their number says nothing of.

Short ones are left out of account: a span holds 128 attributes at most, and most have a dozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.export.copied import inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan

_LONG = 1000  # characters


def weigh(span: ReadableSpan) -> int:
    """Return the number of characters in the long texts of a span that has ended, 0 for most."""
    found = _sum(inside(span._attributes).values())
    for parts in (vars(span).get("_events"), vars(span).get("_links")):
        for part in parts or ():
            found += _sum(inside(part._attributes).values())
    return found


def _sum(values: Iterable[Any]) -> int:
    found = 0
    for value in values:
        kind = type(value)
        if kind is str or kind is bytes:
            size = len(value)
            if size > _LONG:
                found += size
        elif kind is tuple:
            found += _sum(value)
    return found

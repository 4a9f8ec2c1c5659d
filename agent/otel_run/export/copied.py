"""Copies of ended spans and of their parts, for whoever must not change what the program's processors have too."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

# No slots, and nothing that a copy has to take care of. A subclass of anybody's is another matter.
_PLAIN = (ReadableSpan, BoundedAttributes)


def copy_of(given: T) -> T:
    """Return what `copy.copy` does, in a fifth of its time for what is copied most."""
    if type(given) not in _PLAIN:
        return copy.copy(given)
    made = object.__new__(type(given))
    vars(made).update(vars(given))
    return made


def like(parts: Sequence[Any], masked: list[Any]) -> Sequence[Any]:
    """Return `masked` as the sequence that `parts` is, which knows how many were dropped."""
    if not isinstance(parts, BoundedList):
        return masked
    bounded = BoundedList.from_seq(len(masked), masked)
    bounded.dropped = parts.dropped
    return bounded


def bare(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of `span` that holds no text of anybody's."""
    bare = copy_of(span)
    vars(bare).update(
        _name="(could not be masked)", _attributes={}, _events=(), _links=(), _status=Status(span._status.status_code)
    )
    return bare

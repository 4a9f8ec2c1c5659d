"""The attributes of a span, an event or a link: the SDK's, checked all at once where nothing is wrong with them.

The SDK takes each by itself through a lock, a chain of `isinstance` and a copy. Nearly all are plain values under
proper names, and that is seen by a few calls that run in C. Whatever is not goes the SDK's own way, with its outcome
and its warnings. What the program may change later (a list, an object that is told as text) is thus read at once.
"""

from __future__ import annotations

import copy
import threading
from types import NoneType
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.util.types import AnyValue, Attributes

# Types that are taken as they are. Not their subclasses: one of `str` may have more to it.
_PLAIN = frozenset((str, int, float, bool, bytes, NoneType))
_NAMES = frozenset((str,))
_NOTHING = object()
# So near to the limit one lock decides who is the last: threads that look first and add then would pass it together.
_MARGIN = 32


def are_plain(given: Mapping[str, Any]) -> bool:
    """Tell whether the SDK would take all of these as they are, if there is room."""
    return _PLAIN.issuperset(map(type, given.values())) and _NAMES.issuperset(map(type, given)) and "" not in given


class SpanAttributes(BoundedAttributes):
    """A `BoundedAttributes` whose usual case costs little."""

    # On the class, so that an object holds only what differs.
    dropped = 0
    _immutable = False

    def __init__(self, maxlen: int | None, given: Attributes, max_value_len: int | None = None) -> None:
        """Take what a span, event or link starts with; counts and lengths as the SDK has them."""
        self.maxlen = maxlen
        self.max_value_len = max_value_len
        self._dict: dict[str, AnyValue] = {}
        if given:
            self._set_items(given)

    @property
    def _lock(self) -> Any:  # type: ignore[override]
        """What the SDK's code takes. Reentrant: a signal handler may interrupt that, and set an attribute."""
        return vars(self).setdefault("_lock_of_ours", threading.RLock())

    def _set_items(self, attributes: Mapping[str, AnyValue]) -> None:
        kept = self._dict
        if (
            type(attributes) is dict
            and self.max_value_len is None
            and not self._immutable
            and (self.maxlen is None or len(kept) + len(attributes) + _MARGIN <= self.maxlen)
            # A name that comes again moves to the end.
            and kept.keys().isdisjoint(attributes)
            and are_plain(attributes)
        ):
            kept.update(attributes)
        else:
            super()._set_items(attributes)

    def take(self, plain: dict[str, Any]) -> None:
        """Set what `are_plain` is known to be true of, where nothing is set yet."""
        if self.max_value_len is None and (self.maxlen is None or len(plain) + _MARGIN <= self.maxlen):
            self._dict = plain.copy()
        else:
            super()._set_items(plain)

    def __setitem__(self, key: str, value: AnyValue) -> None:
        kept = self._dict
        if (
            type(value) in _PLAIN
            and type(key) is str
            and key
            and self.max_value_len is None
            and not self._immutable
            and (self.maxlen is None or len(kept) + _MARGIN < self.maxlen)
        ):
            if key in kept:
                kept.pop(key, None)
            kept[key] = value
        else:
            super().__setitem__(key, value)

    def _setitem_locked(self, key: str, value: AnyValue) -> None:
        kept = self._dict
        # Not `if key in`: others may set the same meanwhile, without the lock.
        is_new = kept.pop(key, _NOTHING) is _NOTHING
        if is_new and self.maxlen is not None and len(kept) >= self.maxlen:
            try:
                super()._setitem_locked(key, value)
            except KeyError:
                # The lock keeps out no signal handler, and that has dropped the one which was to go.
                self._setitem_locked(key, value)
        else:
            kept[key] = value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._dict))

    def __deepcopy__(self, memo: dict[int, Any]) -> SpanAttributes:
        made = copy.copy(self)
        made._dict = copy.deepcopy(self._dict, memo)
        return made

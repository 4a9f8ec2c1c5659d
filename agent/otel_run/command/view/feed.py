"""What open pages are told: of each trace its newest state, in the order of telling.

A page that reads slowly, or comes back, is sent what has changed since its last number: nothing is kept for it.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 128 << 20  # compressed; JSON becomes a tenth


class Feed:
    """The newest state of each trace; used by all threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Hold no more than so many bytes."""
        self._most_bytes = most_bytes
        self._size = 0
        # trace id -> (number, its state); numbers rise.
        self._states: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self._number = 0
        self._told = threading.Condition()
        self._is_closed = False

    def tell(self, trace_id: str, state: bytes, is_held: Callable[[str], bool]) -> None:
        """Tell the state of a trace; those that are not held any more make room."""
        packed = zlib.compress(state, 1)
        with self._told:
            self._remove(trace_id)
            self._number += 1
            self._states[trace_id] = self._number, packed
            self._size += len(packed)
            for oldest in list(self._states)[:4]:
                if not is_held(oldest):
                    self._remove(oldest)
            while self._size > self._most_bytes and len(self._states) > 1:
                self._remove(next(iter(self._states)))
            self._told.notify_all()

    def _remove(self, trace_id: str) -> None:
        _, packed = self._states.pop(trace_id, (0, b""))
        self._size -= len(packed)

    def after(self, number: int, patience: float) -> tuple[int, bytes] | None:
        """Return the first state after a number, with its own; None if none comes within so many seconds."""
        with self._told:
            self._told.wait_for(lambda: self._is_closed or self._number > number, patience)
            if self._is_closed or self._number <= number:
                return None
            found = 0, b""
            # From the newest on: most pages have seen nearly all.
            for state in reversed(self._states.values()):
                if state[0] <= number:
                    break
                found = state
        return found[0], zlib.decompress(found[1])

    def has_ended(self) -> bool:
        """Whether nothing more will be told."""
        return self._is_closed

    def close(self) -> None:
        """Let all go who wait."""
        with self._told:
            self._is_closed = True
            self._told.notify_all()

"""What is noted about a library's objects, for as long as they live.

By identity, which a WeakKeyDictionary does not go by: programs have cursors and connections of their own classes,
and one with an `__eq__` can't be hashed, or is equal to another.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from weakref import ref

Note = TypeVar("Note")


class Notes(Generic[Note]):
    """One note for each object."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[int, tuple[ref[Any], Note]] = {}

    def __setitem__(self, about: Any, note: Note) -> None:
        key, notes = id(about), self._notes

        def forget(gone: ref[Any]) -> None:
            # Another object may have come to be in its place.
            found = notes.get(key)
            if found is not None and found[0] is gone:
                notes.pop(key, None)

        notes[key] = (ref(about, forget), note)

    def get(self, about: Any) -> Note | None:
        """Return the note about an object."""
        found = self._notes.get(id(about))
        return found[1] if found is not None and found[0]() is about else None

    def pop(self, about: Any) -> Note | None:
        """Return the note about an object, and forget it."""
        found = self.get(about)
        self._notes.pop(id(about), None)
        return found

"""A word about a line: this file is about what a note is; notes.py says when there is one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Note:
    """What is worth a word about a line: the measured fact first, what follows from it after."""

    # Which kind of note: "slow", "cache miss", "N+1", "error" ...; the same word for the same reason.
    kind: str
    # The whole note, in the order in which it may be shortened from its end: parts are joined by ", ".
    parts: tuple[str, ...]
    # How much of the critical path it explains, in ns.
    explains: int = 0

"""What the user's patterns find is hidden, once: one may find nothing at all, or what is hidden already."""

from __future__ import annotations

import re
from bisect import bisect_right

REDACTED = "REDACTED"
_HIDDEN = re.compile(f"(?:{REDACTED})+")


def hide(pattern: re.Pattern[str], text: str) -> str:
    """Replace what `pattern` finds, unless it finds nothing at all or what has been replaced already."""
    hidden = [found.span() for found in _HIDDEN.finditer(text)]
    starts = [start for start, _ in hidden]

    def replacement(found: re.Match[str]) -> str:
        at = bisect_right(starts, found.start()) - 1
        return found[0] if not found[0] or (at >= 0 and found.end() <= hidden[at][1]) else REDACTED

    return pattern.sub(replacement, text)

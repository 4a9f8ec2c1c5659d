"""Durations as a person reads them: two or three figures and a unit."""

from __future__ import annotations

# Longer than any time that fits OTLP's 64 bits; a number of any length may come in a file.
_LONGEST = 2**64


def duration(nanoseconds: int) -> str:
    """Return a duration: two figures below 10 ms, no more than needed above."""
    milliseconds = min(nanoseconds, _LONGEST) / 1e6
    if milliseconds < 9.95:
        return f"{_two_figures(milliseconds)}ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1e3
    if seconds < 59.95:
        return f"{seconds:.2f}s" if seconds < 9.995 else f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes:02d}m"


def _two_figures(milliseconds: float) -> str:
    # Below a microsecond the clock tells nothing; without the rounding, `g` would write 1e-05.
    return f"{round(milliseconds, 3):.2g}"

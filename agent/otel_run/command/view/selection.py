"""Which traces are shown, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_run.command.view.flags import Wish
    from otel_run.command.view.store import Seen


def choose(seen: Mapping[str, Seen], wish: Wish) -> list[str]:
    """Return the ids of the traces that are asked for, in the order of time, or the slowest first."""
    found = [
        (trace, one)
        for trace, one in seen.items()
        if trace.startswith(wish.trace) and one.is_match and (one.is_failed or not wish.errors)
    ]
    found.sort(key=lambda pair: (pair[1].start, pair[0]))
    if wish.last is not None:
        found = found[-wish.last :]
    if wish.slowest is not None:
        found = sorted(found, key=lambda pair: pair[1].start - pair[1].end)[: wish.slowest]
    return [trace for trace, _ in found]

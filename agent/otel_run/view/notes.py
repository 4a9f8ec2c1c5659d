"""What is worth a word about a trace: this file is about which of all notes are kept.

What it is worth a word for stands in notes_of_*.py. A line has one note at most, a trace five: those that explain
most of the critical path. Errors are always told, in addition to these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.view.facts import Facts
from otel_run.view.note import Note
from otel_run.view.notes_of_calls import first_calls, retries, slow_calls, waits
from otel_run.view.notes_of_repeats import n_plus_ones, one_after_another
from otel_run.view.notes_of_spans import dropped, errors, in_parallel, late_ends, own_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_run.view.path import Segment
    from otel_run.view.tree import Node, Trace

# From how many ns on a call is slow, by category.
THRESHOLDS: dict[str, int] = {
    "http": 200_000_000,
    "database": 50_000_000,
    "cache": 5_000_000,
    "messaging": 100_000_000,
}
_MOST = 5

# Of notes about one line that explain as much, the one that says more is the first of these.
_KINDS: tuple[Callable[[Facts], Iterator[tuple[Node, Note]]], ...] = (
    retries,
    n_plus_ones,
    first_calls,
    waits,
    slow_calls,
    own_times,
    one_after_another,
    late_ends,
    in_parallel,
    dropped,
)


def take_notes(
    trace: Trace,
    path: list[Segment],
    own_on_path: Mapping[Node, int],
    groups: Mapping[Node | None, list[list[Node]]],
    thresholds: Mapping[str, int] = THRESHOLDS,
) -> dict[Node, Note]:
    """Return the notes of a trace, by the first node of the group that they stand beside."""
    facts = Facts(trace, path, own_on_path, groups, thresholds)
    best: dict[Node, Note] = {}
    for find in _KINDS:
        for node, note in find(facts):
            known = best.get(node)
            if known is None or note.explains > known.explains:
                best[node] = note
    told = dict(errors(facts))
    for node, error in told.items():
        known = best.pop(node, None)
        # What went wrong first, then what else is to be said of it.
        if known is not None and known.kind == "retry":
            told[node] = Note(error.kind, error.parts + known.parts, known.explains)
    ranked = sorted(best.items(), key=lambda found: -found[1].explains)
    return told | dict(ranked[:_MOST])

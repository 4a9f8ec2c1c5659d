"""Notes of traces that are made by hand: by what they stand beside, as texts."""

from __future__ import annotations

from typing import Any

import told

from otel_run.view.notes import THRESHOLDS, take_notes
from otel_run.view.path import critical_path
from otel_run.view.repeats import fold
from otel_run.view.span import Span
from otel_run.view.tree import Node, Trace, traces


def take(trace: Trace, thresholds: dict[str, int] = THRESHOLDS) -> dict[Node, Any]:
    """Take the notes of a trace as a story does."""
    path = critical_path(max(trace.roots, key=lambda node: node.span.duration))
    own: dict[Node, int] = {}
    for node, start, end in path:
        own[node] = own.get(node, 0) + end - start
    return take_notes(trace, path, own, groups_of(trace), thresholds)


def groups_of(trace: Trace) -> dict[Node | None, list[list[Node]]]:
    """Fold the siblings of a whole trace."""
    return {None: fold(trace.roots), **{node: fold(node.children) for node in trace.nodes()}}


def notes(spans: list[Span], **thresholds: int) -> dict[str, str]:
    """Return the notes of a trace by what their span is about."""
    taken = take(traces(spans)[0], {**THRESHOLDS, **thresholds})
    return {about(node.span): ", ".join(note.parts) for node, note in taken.items()}


def about(span: Span) -> str:
    """Return the text of a span's query, or its URL, else its name."""
    return str(span.attributes.get("db.query.text") or span.attributes.get("url.full") or span.name)


def within(duration: float) -> tuple[told.Spans, str]:
    """Return a trace of one function, and that span's id."""
    spans = told.Spans()
    return spans, spans.code("main", 0, duration)

"""Notes about any span, whatever it did: this file is about errors, time of its own, and how its children ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.view.conventions import error_type, is_failed
from otel_run.view.durations import duration
from otel_run.view.labels import failure, one_line
from otel_run.view.note import Note
from otel_run.view.path import interleaved, noise
from otel_run.view.self_time import covered, self_time
from otel_run.view.span import CLIENT, CONSUMER, PRODUCER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.view.facts import Facts
    from otel_run.view.span import Span
    from otel_run.view.tree import Node

_LONGEST_MESSAGE, _LONGEST_TYPE = 120, 60
_LEAST_OWN = _LEAST_SAVED = 10_000_000


def errors(facts: Facts) -> Iterator[tuple[Node, Note]]:
    """Note what went wrong beside the deepest span that failed; those above it only pass it on."""
    above: set[Node] = set()
    for node in reversed(facts.nodes):
        failed = is_failed(node.span)
        if node.parent is not None and (failed or node in above):
            above.add(node.parent)
    for group in facts.lines():
        node = group[0]
        if node not in above and is_failed(node.span):
            told = _told(node.span)
            # Not what the line says itself.
            if told and told != failure(node):
                yield node, Note("error", (told,))


def _told(span: Span) -> str:
    """Return the exception and the first line of what it says; empty if there is no more than that it failed."""
    raised = next((event.attributes for event in reversed(span.events) if event.name == "exception"), {})
    message = _first_line(raised.get("exception.message")) or _first_line(span.message)
    name = _first_line(raised.get("exception.type")) or one_line(error_type(span)[:1000])
    # A status code says nothing that the line does not.
    name = "" if name.isdigit() or name == "_OTHER" else name.rpartition(".")[2][:_LONGEST_TYPE]
    if not message:
        return name
    # Many put the name into the message too.
    return message if not name or message.startswith(name) else f"{name}: {message}"


def _first_line(value: object) -> str:
    if not isinstance(value, str):
        return ""
    line = one_line(value[:1000].strip().partition("\n")[0])
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"


def own_times(facts: Facts) -> Iterator[tuple[Node, Note]]:
    """Note time of a span that was waited for, and in which nothing below it ran."""
    for group in facts.lines():
        node = group[0]
        own = facts.own_on_path.get(node, 0)
        # What a call that goes elsewhere does beside what was recorded there is not this process's own.
        if len(group) > 1 or not node.children or node.span.kind in (CLIENT, PRODUCER):
            continue
        if own >= _LEAST_OWN and facts.is_share(own, 20):
            # While it was suspended, what used it ran: that is on the path for itself.
            time = min(own, self_time(node))
            if time >= _LEAST_OWN and facts.is_share(time, 20):
                yield node, Note("own time", (f"{duration(time)} of its own time", "no span covers it"), own)


def in_parallel(facts: Facts) -> Iterator[tuple[Node, Note]]:
    """Note what doing things side by side has saved."""
    for group in facts.lines():
        node = group[0]
        if len(group) > 1 or len(node.children) < 2:
            continue
        inner, latest = interleaved(node.children), node.span.end + noise(node.span)
        within = [child for child in node.children if child.span.end <= latest and child not in inner]
        spent, took = sum(child.span.duration for child in within), covered(within)
        saved = spent - took
        if saved >= _LEAST_SAVED and saved * 5 >= spent:
            yield node, Note("parallel", (f"{_most_at_once(within)} in parallel", f"saved {duration(saved)}"))


def _most_at_once(nodes: list[Node]) -> int:
    # At one moment the one that ends comes before the one that begins.
    moments = sorted(moment for node in nodes for moment in ((node.span.start, 1), (node.span.end, -1)))
    most = running = 0
    for _, change in moments:
        running += change
        most = max(most, running)
    return most


def late_ends(facts: Facts) -> Iterator[tuple[Node, Note]]:
    """Note what went on when its parent, of the same process, had ended: nobody waited for it."""
    for group in facts.lines():
        node, parent = group[0], group[0].parent
        if len(group) > 1 or parent is None or node.span.is_open or parent.span.is_open:
            continue
        over = node.span.end - max(parent.span.end, parent.span.start)
        if over > noise(parent.span) and _is_within(node.span, parent.span):
            yield node, Note("late end", (f"ended {duration(over)} after its parent",))


def _is_within(span: Span, parent: Span) -> bool:
    # Of two processes the clocks differ; and a message is read when it is read.
    same = (span.process, span.service) == (parent.process, parent.service)
    return same and not (parent.kind == PRODUCER or span.kind == CONSUMER)


def dropped(facts: Facts) -> Iterator[tuple[Node, Note]]:
    """Note what limits have left out of a span."""
    for group in facts.lines():
        count = sum(max(0, node.span.dropped) for node in group)
        if count:
            yield group[0], Note("dropped", (f"dropped {count} attributes or events",))

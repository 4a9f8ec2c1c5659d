"""Stories for the page, told by hand: what a page shows must not change with what is found worth a note."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from otel_run.view.path import critical_path
from otel_run.view.span import CLIENT, ERROR, INTERNAL, Event, Span
from otel_run.view.story import Note, Row, Story
from otel_run.view.tree import traces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_run.view.tree import Node

MS = 1_000_000
START = 1_795_155_200 * 1000 * MS + 123_456_789
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(name: str, start: float, end: float, number: int, parent: int = 0, **fields: Any) -> Span:
    """Make a span: its id is `number`, and so is that of its parent; 0 is for a root. Times are in ms."""
    known: dict[str, Any] = {"service": "orders", "process": "orders-1", "kind": INTERNAL, **fields}
    trace_id = known.pop("trace_id", TRACE)
    parent_id = f"{parent:016x}" if parent else ""
    times = START + round(start * MS), START + round(end * MS)
    return Span(trace_id, f"{number:016x}", parent_id, name, *times, **known)


def tell(spans: Sequence[Span], notes: Mapping[str, Note] | None = None) -> Story:
    """Tell a trace: names are labels, and siblings of one name that follow each other share a row."""
    (trace,) = traces(spans)
    path = critical_path(max(trace.roots, key=lambda node: node.span.duration))
    own: dict[Node, int] = {}
    for node, start, end in path:
        own[node] = own.get(node, 0) + end - start
    rows = _rows(trace.roots)
    every = list(rows)
    for row in every:
        row.children = _rows(row.node.children)
        every += row.children
    for row in reversed(every):
        row.own_on_path = sum(own.get(node, 0) for node in row.nodes)
        row.on_path = row.own_on_path + sum(child.on_path for child in row.children)
        row.note = (notes or {}).get(row.label)
    summary = sorted(((node.span.name, time) for node, time in own.items()), key=lambda part: -part[1])[:3]
    services = sorted({span.service for span in spans})
    failed = sum(span.is_failed for span in spans)
    return Story(trace, rows, path, summary, services, len(spans), failed)


def _rows(nodes: Sequence[Node]) -> list[Row]:
    return [_row(list(group)) for _, group in groupby(nodes, lambda node: node.span.name)]


def _row(nodes: list[Node]) -> Row:
    first = nodes[0].span
    duration = sum(node.span.duration for node in nodes)
    failure = str(first.attributes.get("error.type", "error")) if first.is_failed else ""
    below = sum(child.span.duration for node in nodes for child in node.children)
    return Row(nodes, first.name, duration, failure=failure, self_time=max(0, duration - below))


def order() -> Story:
    """Tell of an order: a cache that has not got it, a slow service to ask instead, and a slow write."""
    theirs = {"service": "reference-data", "process": "reference-data-1"}
    stack = 'Traceback (most recent call last):\n  File "cache.py", line 7, in get\nKeyError: "AAPL"'
    missing = Event("exception", START + 50 * MS, {"exception.type": "KeyError", "exception.stacktrace": stack})
    url = "http://reference-data/v1/instruments/AAPL"
    insert = "INSERT INTO orders (id, side, qty, px) VALUES (?, ?, ?, ?)"
    spans = [
        span("ProcessOrder", 0, 450, 1),
        span("validate", 1, 2, 2, 1),
        span("enrichOrder", 4, 384, 3, 1),
        span("SELECT counterparty FROM counterparties WHERE id = ?", 5, 7, 4, 3, kind=CLIENT),
        span("GET cache:instrument:AAPL", 8, 53, 5, 3, kind=CLIENT, events=[missing], status=ERROR),
        span(f"POST {url}", 53.5, 383.5, 6, 3, kind=CLIENT, attributes={"url.full": url}, links=[(TRACE, f"{2:016x}")]),
        span("POST /v1/instruments/{symbol}", 60, 380, 7, 6, **theirs),
        *(span("SELECT * FROM prices WHERE id = ?", 64 + 6 * n, 68 + 6 * n, 100 + n, 7, **theirs) for n in range(48)),
        span("executeOrder", 388, 448, 8, 1),
        span("BEGIN", 388, 389, 9, 8, kind=CLIENT),
        span(insert, 389, 444, 10, 8, kind=CLIENT, attributes={"db.system.name": "postgresql", "db.rows": 2**60}),
        span("COMMIT", 444, 448, 11, 8, kind=CLIENT),
    ]
    notes = {
        "GET cache:instrument:AAPL": Note("cache miss", ("cache miss", "slow", "10% of the trace"), 45 * MS),
        f"POST {url}": Note("slow", ("slow downstream", "73% of the trace"), 330 * MS),
        "SELECT * FROM prices WHERE id = ?": Note("N+1", ("N+1: 48 alike",), 192 * MS),
        insert: Note("slow", ("slow write", "12% of the trace"), 55 * MS),
    }
    return tell(spans, notes)


def small(number: int, name: str = "GET /healthz", **fields: Any) -> Story:
    """Tell of a trace of two spans, one of many; those of higher numbers are later."""
    at = 1000 * number
    trace_id = f"{number:032x}"
    spans = [
        span(f"{name} {number}", at, at + 10 + number, 1, trace_id=trace_id, **fields),
        span("work", at + 1, at + 5, 2, 1, trace_id=trace_id),
    ]
    return tell(spans)


def large(spans: int, depth: int = 1) -> Story:
    """Tell of a trace of many spans, in chains of `depth`; every hundredth has failed."""
    made = [span("root", 0, spans, 1)]
    for number in range(2, spans + 1):
        level = (number - 2) % depth
        parent = number - 1 if level else 1
        begin = number - 2 - level
        failed = ERROR if number % 100 == 0 else 0
        facts = {"number": number, "needle": f"needle-{number % 500}"}
        end = begin + depth - level * 1e-3
        made.append(span(f"step {number}", begin + level * 1e-3, end, number, parent, attributes=facts, status=failed))
    return tell(made)


SCRIPTS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>alert(3)",
    "<img src=x onerror=alert(4)>",
    "javascript:alert(5)",
    '"><svg onload=alert(6)>',
    "{{script}} ${alert(7)} \u2028alert(8)\u2029",
    "\u202egnp.exe \x1b]0;title\x07 \ud800",
    "https://example.invalid/'onmouseover='alert(9)",
)


def hostile() -> Story:
    """Tell of a trace of which every text is an attack."""
    every = {text: text for text in SCRIPTS} | {
        "__proto__": "x",
        "nested": [{SCRIPTS[1]: [SCRIPTS[0]]}],
        "nan": float("nan"),
    }
    spans = [
        span(
            text,
            number,
            100 - number,
            number + 1,
            number,
            service=text,
            process=text,
            scope=text,
            message=text,
            status=ERROR,
            trace_id=SCRIPTS[1],
            attributes={**every, "error.type": text, "otelrun.lane": text},
            events=[Event(text, START, {**every, "exception.stacktrace": text})],
            links=[(text, text), (SCRIPTS[1], text)],
        )
        for number, text in enumerate(SCRIPTS)
    ]
    for each in spans:
        each.id, each.parent_id = f"{each.id}'\"><b>", f"{each.parent_id}'\"><b>" if each.parent_id else ""
    return tell(spans, {text: Note(text, (text,)) for text in SCRIPTS})

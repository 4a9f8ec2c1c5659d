"""A story as JSON: what the page shows and `--json` prints.

Whatever a span holds becomes strict JSON that any parser reads as it was meant: no NaN, no half characters, no
number that a reader with doubles would round. What is too much for a browser is cut, and the cut is stated. Span data
is not trusted, but nothing is escaped here: that belongs to whoever writes it somewhere (page).
"""

from __future__ import annotations

import base64
import math
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_run.view.span import Event, Span
    from otel_run.view.story import Row, Story
    from otel_run.view.tree import Node

# More than these a browser draws, but no person reads.
MAX_SPANS = 20_000
# Of one text, in characters; less of each when there are many spans, so that a page stays a few dozen MB.
MAX_TEXT = 8_192
MIN_TEXT = 512
MAX_TEXTS = 16 * 1024 * 1024
# Of one span's attributes and events, and of one list's items.
MAX_ITEMS = 256
# Lists within lists.
MAX_NESTING = 8

# What a double still holds exactly (JavaScript's Number.MAX_SAFE_INTEGER).
_EXACT = 2**53 - 1
# The last moment of OTLP's fixed64, in the year 2554.
_LAST = 2**64 - 1
_KINDS = ("", "internal", "server", "client", "producer", "consumer")


def document(story: Story) -> dict[str, Any]:
    """Return the story as values that `json.dumps(..., allow_nan=False)` takes.

    Times are in ns, offsets from the start of the trace, which itself is text (`start_unix_nano`): as a number it
    would lose its last digits in JavaScript. `rows` are in the order of drawing, `parent` is an index into them;
    `path` has (row, start, end) in the order of time.
    """
    # Each is a walk over all nodes.
    start, duration = story.trace.start, story.duration
    shown = _breadth_first(story.rows)
    spans = sum(shown.values())
    rows, row_of = _rows(story.rows, shown, _Writer(start, _text_limit(spans)))
    return {
        "trace_id": _text(story.trace.id, MIN_TEXT),
        "start": _moment(start),
        "start_unix_nano": str(start),
        "duration_ns": _time(duration),
        "label": _text(story.label, MIN_TEXT),
        "services": [_text(service, MIN_TEXT) for service in story.services],
        "spans": story.spans,
        "cut_spans": len(row_of) - spans,
        "failed": story.failed,
        "summary": [{"label": _text(label, MIN_TEXT), "duration_ns": _time(time)} for label, time in story.summary],
        "rows": rows,
        "path": [
            [row, _time(segment.start - start), _time(segment.end - start)]
            for segment in story.path
            if (row := _row_of(segment.node, row_of)) >= 0
        ],
    }


def _text_limit(spans: int) -> int:
    return max(MIN_TEXT, min(MAX_TEXT, MAX_TEXTS // max(1, spans)))


def _breadth_first(roots: Sequence[Row]) -> dict[Row, int]:
    """Return the rows to show, and how many spans of each: what is near to the root says more than what is deep."""
    shown: dict[Row, int] = {}
    left = MAX_SPANS
    waiting = deque(roots)
    while waiting and left:
        row = waiting.popleft()
        shown[row] = min(left, len(row.nodes))
        left -= shown[row]
        waiting += row.children
    return shown


def _rows(
    roots: Sequence[Row], shown: Mapping[Row, int], writer: _Writer
) -> tuple[list[dict[str, Any]], dict[Node, int]]:
    """Return the rows, and which of them stands for each node: of one that is cut, the nearest above it."""
    rows: list[dict[str, Any]] = []
    row_of: dict[Node, int] = {}
    waiting = [(row, 0, -1) for row in reversed(roots)]
    while waiting:
        row, depth, parent = waiting.pop()
        index, cut = parent, len(row.nodes)
        if row in shown:
            index, cut = len(rows), cut - shown[row]
            rows.append({"depth": depth, "parent": parent, **writer.row(row, shown[row])})
        if index >= 0:
            rows[index]["cut_spans"] += cut
        row_of.update(dict.fromkeys(row.nodes, index))
        waiting += [(child, depth + 1, index) for child in reversed(row.children)]
    return rows, row_of


def _row_of(node: Node, row_of: Mapping[Node, int]) -> int:
    """Return the row that stands for a node; what is below spans that share a row has none of its own."""
    above: Node | None = node
    while above is not None and above not in row_of:
        above = above.parent
    return -1 if above is None else row_of[above]


class _Writer:
    """Writes the rows of one trace: they share its start and the room that there is for a text."""

    def __init__(self, start: int, limit: int) -> None:
        self._start, self._limit = start, limit

    def row(self, row: Row, spans: int) -> dict[str, Any]:
        return {
            "label": self._text(row.label),
            "service": self._text(row.node.span.service),
            "duration_ns": _time(row.duration),
            "self_ns": _time(row.self_time),
            "own_on_path_ns": _time(row.own_on_path),
            "on_path_ns": _time(row.on_path),
            "failure": self._text(row.failure),
            "note": self._text(", ".join(row.note.parts)) if row.note else "",
            "note_kind": self._text(row.note.kind) if row.note else "",
            "is_parallel": row.is_parallel,
            # Of this row and of those below it, left out because there are too many.
            "cut_spans": 0,
            "spans": [self._span(node) for node in islice(row.nodes, spans)],
        }

    def _span(self, node: Node) -> dict[str, Any]:
        span = node.span
        return {
            "id": self._text(span.id),
            "parent_id": self._text(span.parent_id),
            "name": self._text(span.name),
            "kind": _KINDS[span.kind] if span.kind in range(len(_KINDS)) else "",
            "start_ns": _time(span.start - self._start),
            "duration_ns": _time(span.duration),
            "is_failed": span.is_failed,
            "message": self._text(span.message),
            "is_open": span.is_open,
            "is_orphan": node.is_orphan,
            "scope": self._text(span.scope),
            "process": self._text(span.process),
            "lane": self._text(span.lane),
            "attributes": self._mapping(span.attributes),
            "events": [self._event(event) for event in islice(span.events, MAX_ITEMS)],
            "links": [[self._text(part) for part in link] for link in islice(span.links, MAX_ITEMS)],
            "dropped": span.dropped + _beyond(span),
        }

    def _event(self, event: Event) -> dict[str, Any]:
        return {
            "name": self._text(event.name),
            # A clock may be set back: before the trace is possible.
            "time_ns": _signed(event.time - self._start),
            "attributes": self._mapping(event.attributes),
        }

    def _mapping(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        return {self._text(key): self._value(value) for key, value in islice(attributes.items(), MAX_ITEMS)}

    def _value(self, value: Any, nesting: int = 0) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return value if abs(value) <= _EXACT else self._text(_digits(value))
        if isinstance(value, float):
            return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
        if isinstance(value, (bytes, bytearray)):
            return self._text(base64.b64encode(value[: self._limit]).decode())
        return self._several(value, nesting)

    def _several(self, value: Any, nesting: int) -> Any:
        if nesting == MAX_NESTING:
            return "…"
        if isinstance(value, Mapping):
            items: Iterable[tuple[Any, Any]] = islice(value.items(), MAX_ITEMS)
            return {self._text(str(key)): self._value(item, nesting + 1) for key, item in items}
        if isinstance(value, Sequence):
            return [self._value(item, nesting + 1) for item in islice(value, MAX_ITEMS)]
        # OTLP has no such value: its type is all that is sure to be printable.
        return f"<{type(value).__name__}>"

    def _text(self, text: str) -> str:
        return _text(text, self._limit)


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _text(text: str, limit: int) -> str:
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text)} characters)"
    # Half of a pair, which JSON can write and no UTF-8 can, stays to be seen as `\ud800`.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _digits(number: int) -> str:
    # Python refuses to write thousands of digits (sys.set_int_max_str_digits).
    return str(number) if number.bit_length() < 1_024 else hex(number)


def _beyond(span: Span) -> int:
    return sum(max(0, len(items) - MAX_ITEMS) for items in (span.attributes, span.events, span.links))


def _time(nanoseconds: int) -> int:
    return max(0, min(nanoseconds, _LAST))


def _signed(nanoseconds: int) -> int:
    return max(-_LAST, min(nanoseconds, _LAST))


def _moment(nanoseconds: int) -> str:
    """Return the time of day with all its digits, which a datetime does not hold."""
    seconds, rest = divmod(_time(nanoseconds), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"

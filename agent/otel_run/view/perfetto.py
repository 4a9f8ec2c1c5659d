"""Traces for Perfetto and Chrome's `about:tracing`: a track for each lane, each span where it has run.

There, complete events (`X`) of one track must lie within each other or follow each other, or they are shown wrongly. So
a span that overlaps with what its lane does already becomes an asynchronous one (`b`, `e`), and where no lane is known
as many tracks are made as it takes.
Source: "Trace Event Format" (Google, 2016); Perfetto documentation, "Other trace formats".
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_run.view.span import Event, Span
    from otel_run.view.tree import Trace

# Tracks of a process for spans whose lane is not known; more are no use to anybody, and cost time.
_MOST_TRACKS = 64
_STATUS = ("", "ok", "error")


def to_perfetto(traces: Sequence[Trace]) -> Iterator[str]:
    """Yield the pieces of a JSON file. Times in it are microseconds since the start of the first trace."""
    # The clock of a whole epoch would cost digits: in JSON, numbers are floats of 53 bits.
    origin = min((trace.start for trace in traces), default=0)
    yield f'{{"displayTimeUnit":"ms","otherData":{{"startTimeUnixNano":"{origin}"}},"traceEvents":['
    before = "\n"
    for event in _events(traces, origin):
        yield before + _encode(event)
        before = ",\n"
    yield "\n]}\n"


def _events(traces: Sequence[Trace], origin: int) -> Iterator[dict[str, Any]]:
    processes: dict[tuple[str, str], _Process] = {}
    for span in _by_start(traces):
        whose = span.service, span.process
        process = processes.get(whose)
        if process is None:
            process = processes[whose] = _Process(len(processes) + 1)
            yield _called("process_name", process.number, 0, " ".join(filter(None, whose)) or "unknown")
        track, nests = process.place(span)
        if track.is_new:
            track.is_new = False
            yield _called("thread_name", process.number, track.number, track.name)
        yield from _of_span(span, process.number, track.number, nests, origin)


def _by_start(traces: Sequence[Trace]) -> list[Span]:
    """Return all spans, each before what it may hold."""
    spans = [node.span for trace in traces for node in trace.nodes()]
    return sorted(spans, key=lambda span: (span.start, -_end(span)))


def _end(span: Span) -> int:
    return max(span.start, span.end)


class _Track:
    """What stands on one line: `ends` are those of the spans that last, each within the one before."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.is_new = True
        self._ends: list[int] = []

    def take(self, span: Span) -> bool:
        """Put a span there, if it nests; none comes that begins earlier than those before."""
        ends = self._ends
        while ends and ends[-1] <= span.start:
            ends.pop()
        if ends and ends[-1] < _end(span):
            return False
        ends.append(_end(span))
        return True


class _Process:
    """The tracks of a process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._lanes: dict[str, _Track] = {}
        self._others: list[_Track] = []
        # Where each span without a lane stands: its children are best below it.
        self._where: dict[tuple[str, str], _Track] = {}

    def place(self, span: Span) -> tuple[_Track, bool]:
        """Return a span's track, and whether it nests there."""
        if span.lane:
            track = self._lanes.get(span.lane)
            if track is None:
                track = self._lanes[span.lane] = self._new(span.lane)
            return track, track.take(span)
        above = self._where.get((span.trace_id, span.parent_id))
        for track in (*((above,) if above is not None else ()), *self._others):
            if track.take(span):
                break
        else:
            if len(self._others) >= _MOST_TRACKS:
                return self._others[-1], False
            track = self._new(f"lane {len(self._others) + 1}")
            self._others.append(track)
            track.take(span)
        self._where[span.trace_id, span.id] = track
        return track, True

    def _new(self, name: str) -> _Track:
        return _Track(len(self._lanes) + len(self._others) + 1, name)


def _called(what: str, process: int, track: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": track, "args": {"name": name}}


def _of_span(span: Span, process: int, track: int, nests: bool, origin: int) -> Iterator[dict[str, Any]]:
    begun = {
        "name": span.name,
        "cat": span.scope or "span",
        "pid": process,
        "tid": track,
        "ts": _microseconds(span.start - origin),
        "args": _arguments(span),
    }
    if nests:
        yield {**begun, "ph": "X", "dur": _microseconds(span.duration)}
    else:
        told = {**begun, "id": f"{span.trace_id}:{span.id}"}
        ended = {name: value for name, value in told.items() if name != "args"}
        yield {**told, "ph": "b"}
        yield {**ended, "ph": "e", "ts": _microseconds(_end(span) - origin)}
    for event in span.events:
        yield _of_event(event, process, track, origin)


def _of_event(event: Event, process: int, track: int, origin: int) -> dict[str, Any]:
    return {
        "ph": "i",
        "s": "t",
        "name": event.name,
        "cat": "event",
        "pid": process,
        "tid": track,
        "ts": _microseconds(event.time - origin),
        "args": _plain(event.attributes),
    }


def _microseconds(nanoseconds: int) -> float:
    return nanoseconds / 1000


def _arguments(span: Span) -> dict[str, Any]:
    about = {
        "trace id": span.trace_id,
        "span id": span.id,
        "parent span id": span.parent_id,
        "status": _STATUS[span.status] if span.status < len(_STATUS) else str(span.status),
        "message": span.message,
    }
    return {**_plain(span.attributes), **{name: text for name, text in about.items() if text}}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; bytes in hex, and what is no number as a text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode

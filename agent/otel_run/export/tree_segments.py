"""The spans of each trace that have ended here, until what they belong to has: then they are a segment, to be shown.

A segment begins with a span whose parent is not open in this process: a root, a request that somebody else has sent,
what a forked child does for its parent, or what goes on when its parent is over. It is due a moment after that has
ended, since what ran beside it may end right after it.
What is kept has bounds: beyond them the oldest trace is given out as far as it is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import time_ns
from typing import TYPE_CHECKING, Any, Protocol

from otel_run.export.tree_spans import still, to_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from otel_run.view.span import Span

GRACE = 0.1  # seconds
MOST_TRACES = 1_000
MOST_SPANS = 20_000
_MOST_REMEMBERED = 1_000


@dataclass(slots=True)
class Segment:
    """What is to be shown of a trace."""

    spans: list[Span]
    # The trace has been shown before; or its end has not come.
    is_late: bool = False
    is_incomplete: bool = False


@dataclass(slots=True)
class _Trace:
    """What has ended of a trace, and is not shown."""

    # By id.
    spans: dict[str, Span] = field(default_factory=dict)
    # Of each span that a segment begins with: when it came.
    tops: dict[str, float] = field(default_factory=dict)
    # Those of them that have their parent elsewhere.
    remote: set[str] = field(default_factory=set)


class Known(Protocol):
    """What is known of the spans of this process (tracing/started.py)."""

    # Those that have not ended, by id.
    open: dict[int, Any]
    # Ids of those that a parent process has begun.
    elsewhere: set[int]
    # Ids of those that have ended when their parent was over.
    outlasting: dict[int, None]


class Nothing:
    """What is known where nobody watches."""

    def __init__(self) -> None:
        self.open: dict[int, Any] = {}
        self.elsewhere: set[int] = set()
        self.outlasting: dict[int, None] = {}


class Arrival:
    """A span that has ended, and what it is to its trace."""

    __slots__ = ("is_remote", "is_top", "span")

    def __init__(self, given: ReadableSpan, known: Known) -> None:
        self.span = to_view(given)
        parent = given._parent
        self.is_remote = _is_elsewhere(parent, known)
        context: Any = given._context
        outlasts = known.outlasting.pop(context.span_id, self) is None
        # Of a span that nobody has watched, the parent may well be open.
        self.is_top = parent is None or self.is_remote or outlasts


def _is_elsewhere(parent: SpanContext | None, known: Known) -> bool:
    """Tell whether it is another process that shows the parent."""
    return parent is not None and (parent.is_remote or parent.span_id in known.elsewhere)


class Segments:
    """All traces of this process that are not shown yet."""

    def __init__(self, known: Known, mask: Callable[[ReadableSpan], ReadableSpan]) -> None:
        """`mask` gives what may be shown of a span that is open."""
        self._known = known
        self._mask = mask
        self._traces: dict[str, _Trace] = {}
        self._count = 0
        # Ids of traces that were shown, the oldest first.
        self._shown: dict[str, None] = {}

    @property
    def has_ended(self) -> bool:
        """Whether a trace is to be shown soon."""
        return any(trace.tops for trace in self._traces.values())

    def add(self, arrivals: Iterable[Arrival], now: float) -> Iterator[Segment]:
        """Take spans; yield what there is no room for any more. `now` in seconds, of any clock."""
        for one in arrivals:
            span = one.span
            trace = self._traces.setdefault(span.trace_id, _Trace())
            self._count += span.id not in trace.spans
            trace.spans[span.id] = span
            if one.is_top and span.parent_id not in trace.spans:
                trace.tops[span.id] = now
            if one.is_remote:
                trace.remote.add(span.id)
            while self._count > MOST_SPANS or len(self._traces) > MOST_TRACES:
                oldest = next(iter(self._traces))
                yield self._take_all(oldest, self._open_by_trace([oldest]))

    def due(self, now: float) -> Iterator[Segment]:
        """Yield the segments whose time has come."""
        ripe = [
            trace_id
            for trace_id, trace in self._traces.items()
            if trace.tops and now - next(iter(trace.tops.values())) >= GRACE
        ]
        if not ripe:
            return
        opened = self._open_by_trace(ripe)
        for trace_id in ripe:
            trace = self._traces[trace_id]
            # What came a moment before its parent is none.
            tops = [top for top in trace.tops if trace.spans[top].parent_id not in trace.spans]
            trace.tops.clear()
            if tops:
                yield self._take_below(trace_id, trace, tops, opened.get(trace_id, []))

    def rest(self) -> Iterator[Segment]:
        """Yield all that is left, what has not ended included."""
        begun = dict.fromkeys(f"{span._context.trace_id:032x}" for span in list(self._known.open.values()))
        ended = list(self._traces)
        # There may be no time for all. Of those in which nothing has ended there may be thousands.
        for trace_ids in (ended, [one for one in begun if one not in self._traces][:MOST_TRACES]):
            opened = self._open_by_trace(trace_ids)
            for trace_id in trace_ids:
                if trace_id in self._traces or trace_id in opened:
                    yield self._take_all(trace_id, opened)

    def _take_all(self, trace_id: str, opened: dict[str, list[Span]]) -> Segment:
        trace = self._traces.pop(trace_id, None) or _Trace()
        self._count -= len(trace.spans)
        spans = [*trace.spans.values(), *opened.get(trace_id, ())]
        return self._segment(trace_id, trace, spans, is_incomplete=not trace.tops or trace_id in opened)

    def _take_below(self, trace_id: str, trace: _Trace, tops: list[str], opened: list[Span]) -> Segment:
        """Take what is below `tops`, that which goes on included; the rest waits for what it belongs to."""
        below: dict[str, list[Span]] = {}
        for span in (*trace.spans.values(), *opened):
            below.setdefault(span.parent_id, []).append(span)
        found = [trace.spans[top] for top in tops]
        seen = set(tops)
        for span in found:
            fresh = [child for child in below.get(span.id, ()) if child.id not in seen]
            seen.update(child.id for child in fresh)
            found.extend(fresh)
        for span in found:
            self._count -= trace.spans.pop(span.id, None) is not None
        segment = self._segment(trace_id, trace, found, is_incomplete=False)
        if not trace.spans:
            del self._traces[trace_id]
        return segment

    def _segment(self, trace_id: str, trace: _Trace, spans: list[Span], is_incomplete: bool) -> Segment:
        there = {span.id for span in spans}
        is_late = False
        for span in spans:
            if span.parent_id and span.parent_id not in there:
                is_elsewhere = span.id in trace.remote
                is_late |= not is_elsewhere and trace_id in self._shown
                if is_elsewhere or trace_id in self._shown:
                    span.parent_id = ""  # it was seen, or never will be
        self._shown.pop(trace_id, None)
        self._shown[trace_id] = None
        if len(self._shown) > _MOST_REMEMBERED:
            del self._shown[next(iter(self._shown))]
        return Segment(spans, is_late, is_incomplete)

    def _open_by_trace(self, trace_ids: Iterable[str]) -> dict[str, list[Span]]:
        """Return the spans of these traces that are open."""
        found: dict[str, list[Span]] = {}
        # Of all there may be thousands, each of which takes its time to be masked.
        wanted = {int(trace_id, 16) for trace_id in trace_ids}
        now = time_ns()
        for given in list(self._known.open.values()):
            context = given._context
            if context.trace_flags.sampled and context.trace_id in wanted:
                span = to_view(self._mask(still(given)), now)
                if _is_elsewhere(given._parent, self._known):
                    span.parent_id = ""
                found.setdefault(span.trace_id, []).append(span)
        return found

"""Trees of any shape, for what must hold for all of them: times may cross, clocks differ, spans outlive parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from otel_run.view.span import CLIENT, CONSUMER, INTERNAL, LANE, PRODUCER, SERVER, Span
from otel_run.view.tree import traces

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from otel_run.view.tree import Trace

_TIMES = st.integers(0, 40) | st.integers(0, 3_000)
_KINDS = st.sampled_from([INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER])


@st.composite
def any_trace(draw: DrawFn) -> Trace:
    """Return a trace of nanoseconds, microseconds or milliseconds: with room for noise of the timer, and without."""
    unit = draw(st.sampled_from([1, 1_000, 1_000_000]))
    spans = []
    for number in range(draw(st.integers(1, 25))):
        parent = draw(st.integers(0, number - 1)) if number else None
        start, length = draw(_TIMES), draw(_TIMES)
        spans.append(
            Span(
                "t",
                str(number),
                "" if parent is None else str(parent),
                f"n{number % 5}",
                start * unit,
                (start + length - draw(st.sampled_from([0, 0, 0, 50]))) * unit,
                kind=draw(_KINDS),
                attributes={LANE: draw(st.sampled_from(["a", "b", "c"]))} if draw(st.booleans()) else {},
                process=draw(st.sampled_from(["p", "p", "p", "q"])),
            )
        )
    return traces(spans)[0]


@st.composite
def one_after_another(draw: DrawFn) -> Trace:
    """Return a trace of one lane, in which each span is over before the next one below the same parent begins."""
    spans = [Span("t", "0", "", "root", 0, 1_000_000_000)]
    for number in range(1, draw(st.integers(1, 20))):
        parent = spans[draw(st.integers(0, len(spans) - 1))]
        begin = max([parent.start, *(span.end for span in spans if span.parent_id == parent.id)])
        gap = draw(st.sampled_from([0, (parent.end - begin) // 7]))
        length = draw(st.integers(0, parent.end - begin - gap))
        spans.append(Span("t", str(number), parent.id, f"n{number}", begin + gap, begin + gap + length))
    return traces(spans)[0]

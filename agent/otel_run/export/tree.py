"""Traces as trees on stderr, from within the process that makes them: each when its root has ended.

It is a sender as any other, so all that holds for those holds here: spans are masked before they come, forks, signals
and the end of the process are taken care of, and it all happens in a thread that the program never waits for. What
can't be written is gone: it fails for nobody, and says no more than how much that was.
"""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from otel_run import settings
from otel_run.boundary import contained
from otel_run.export.sender import DELIVERED, Outcome
from otel_run.export.tree_segments import Arrival, Nothing, Segments
from otel_run.export.tree_status import EVERY, Status
from otel_run.export.tree_volume import Volume
from otel_run.view import draw, shapes, story, terminal, totals, tree
from otel_run.view.cells import ascii_only
from otel_run.view.labels import label

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.export.tree_segments import Known, Segment
    from otel_run.export.tree_stream import Stream
    from otel_run.settings import Settings
    from otel_run.view.story import Story
    from otel_run.view.tree import Node, Trace

_UNIT = "exporter tree"
_PATIENCE = 0.5  # seconds for whoever reads to make room
_MOST_LINES = 500
_MOST_HELD = 100
# Traces in a second that are told only for the table at the end: to find out what took the time costs most.
_TOLD_UNSHOWN = 10
_HINT = (
    "otel-run: traces are shown here, as no receiver is set. "
    "hint: OTEL_EXPORTER_OTLP_ENDPOINT=URL sends them, OTEL_TRACES_EXPORTER=none stops this"
)


class TreeSender:
    """Files spans by trace; shows the traces that are over each time the thread has nothing else to do."""

    destination = "stderr"

    def __init__(
        self, found: Settings, known: Known | None, mask: Callable[[ReadableSpan], ReadableSpan], stream: Stream
    ) -> None:
        self._slow = found.slow
        self._is_default = found.shows_by_default
        self._known: Known = known or Nothing()
        self._stream = stream
        self._segments = Segments(self._known, mask)
        self._volume = Volume(found.show)
        self._status = Status(self._known, mask)
        self._totals = totals.Totals()
        self._told_unshown = (0, 0)
        # Traces that were shown, that are over, and that are in the table that was written.
        self._shown = self._ended = self._summed = 0
        # How often nobody has read.
        self._unwritten = 0
        # What waits for the program to give its terminal back.
        self._held: list[str] = []
        # Since the last rest.
        self._has_come = False
        # A forked child has a copy, and nothing to say about it.
        self._pid = os.getpid()

    def pack(self, spans: Iterable[ReadableSpan]) -> list[Arrival]:
        """Take a batch."""
        return [Arrival(span, self._known) for span in spans]

    def send(self, parcel: list[Arrival], timeout: float) -> Outcome:  # noqa: ARG002 - it is never long
        """File them, and show what is due."""
        now = time.monotonic()
        self._has_come = True
        self._show(self._segments.add(parcel, now))
        # Others may come without pause.
        self._show(self._segments.due(now))
        return DELIVERED

    def record(self, parcel: list[Arrival]) -> bytes | None:  # noqa: ARG002 - there is no receiver to be away
        """Return None."""
        return None

    def send_record(self, record: bytes, timeout: float) -> Outcome:  # noqa: ARG002 - there are none
        """Refuse."""
        return Outcome(False, "stderr takes no records")

    def rest(self) -> float:
        """Show what is due; return for how many seconds nothing will be. Called again and again, without spans too."""
        now = time.monotonic()
        self._show(self._segments.due(now))
        self._write_lines(self._volume.more(now))
        is_taken = self._stream.is_taken()
        if not is_taken:
            self._write_held()
        line = self._status.line(now, self._stream.is_terminal)
        # It tells of a moment.
        if line and not is_taken:
            self._write_lines([line])
        has_come, self._has_come = self._has_come, False
        is_waiting = has_come or self._held or self._segments.has_ended or self._volume.has_more
        return 0.0 if is_waiting else EVERY

    def close(self) -> None:
        """Show all that is left, and the table."""
        if self._pid != os.getpid():
            return
        self._show(self._segments.rest(), is_last=True)
        self._write_lines(self._volume.more(time.monotonic(), is_last=True))
        contained(_UNIT, self._sum_up)
        self._write_held()

    def _show(self, segments: Iterable[Segment], is_last: bool = False) -> None:
        for segment in segments:
            # Whatever a span holds that nobody has thought of, costs its own trace.
            contained(_UNIT, self._show_one, segment, is_last)

    def _show_one(self, segment: Segment, is_last: bool) -> None:
        now = time.monotonic()
        for trace in tree.traces(segment.spans):
            top = max(trace.roots, key=lambda node: node.span.duration)
            name, took = label(top.span), top.span.duration
            has_failed = any(span.is_failed for span in segment.spans)
            is_shown = self._volume.takes(name, took, has_failed, partial(_form, top, name), now)
            if is_shown or self._is_worth_telling(now):
                told = story.tell(trace, self._slow)
            else:
                told = _in_short(trace, top, name, has_failed)
            if not (segment.is_late or segment.is_incomplete):
                self._totals.add(told)
                self._ended += 1
            if is_shown:
                self._draw(segment, told, has_header=bool(self._shown) or not is_last)

    def _is_worth_telling(self, now: float) -> bool:
        second, count = self._told_unshown
        if int(now) != second:
            second, count = int(now), 0
        self._told_unshown = (second, count + 1)
        return count < _TOLD_UNSHOWN

    def _draw(self, segment: Segment, told: Story, has_header: bool) -> None:
        style = self._style()
        drawn = draw.lines(told, style, has_header)
        lines = list(islice(drawn, _MOST_LINES))
        more = sum(1 for _ in drawn)
        if more:
            lines.append(f"… {more} more lines. hint: OTEL_TRACES_EXPORTER=file keeps all, `otel-run view` shows them")
        if segment.is_late:
            lines.insert(0, "… later, of a trace that was shown before:")
        elif segment.is_incomplete:
            lines.insert(0, "… not over yet, and shown as far as it is known:")
        self._shown += 1
        self._write_lines(lines)

    def _sum_up(self) -> None:
        """Write the table, if it tells more than what is there already, and more than the last one did."""
        if self._ended > self._summed and (self._ended > 1 or self._volume.unshown):
            self._summed = self._ended
            self._write_lines(draw.table(self._totals.rows(), self._style()))

    def _style(self) -> draw.Style:
        stream = self._stream
        here = time.localtime().tm_gmtoff
        known = settings.terminal()
        return terminal.style(stream.is_terminal(), stream.encoding, stream.columns(), known, utc_offset=here)

    def _write_lines(self, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if not text:
            return
        if self._unwritten:
            text = f"… {self._unwritten} times before this nobody read what was to be shown\n{text}"
        if self._is_default and settings.is_first_to_say("tree"):
            text = f"{_HINT}\n{text}"
        self._is_default = False
        if self._style().is_ascii:
            text = ascii_only(text)
        self._held.append(text)
        if not self._stream.is_taken():
            self._write_held()
        elif len(self._held) > _MOST_HELD:
            del self._held[0]
            self._unwritten += 1

    def _write_held(self) -> None:
        text = "".join(self._held)
        self._held = []
        if text:
            self._unwritten = 0 if self._stream.write(text, _PATIENCE) else self._unwritten + 1


def _in_short(trace: Trace, top: Node, name: str, has_failed: bool) -> Story:
    """Return what the table needs of a trace that nobody reads."""
    row = story.Row([top], name, top.span.duration, failure="error" if has_failed else "")
    return story.Story(trace, [row], [], [], [], 1, int(has_failed))


def _form(top: Node, name: str) -> Hashable:
    return name, frozenset(shapes.shape(child.span) for child in top.children)

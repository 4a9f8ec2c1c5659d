"""A story as lines of text: `├── label [2ms]  ← note`, in ASCII where the stream can't write these characters.

Colour says how much of the critical path a span and all below it have, as statistical profilers show it, and it never
says what the text does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_run.view import bars, branches, line
from otel_run.view.branches import Left
from otel_run.view.cells import ascii_only, head, printable, shortened, width
from otel_run.view.durations import duration as duration  # where others look for it
from otel_run.view.span import CONSUMER, SERVER
from otel_run.view.table import table as table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_run.view.story import Row, Story

# What is narrower is drawn as if it had these, and wrapped: no tree would be left.
NARROWEST = 40
_NAMED = 30


@dataclass(frozen=True, slots=True)
class Style:
    """How to draw: `width` in cells (None: nothing is cut), in colour or not, with what characters."""

    width: int | None = None
    is_coloured: bool = False
    is_ascii: bool = False
    # A column before each line with the place of its span in the trace.
    has_bars: bool = False
    # Seconds east of Greenwich, for the time of day; None: it is told in UTC, and says so.
    utc_offset: int | None = None


def lines(story: Story, style: Style = Style(), header: bool = False) -> Iterator[str]:
    """Yield the lines, without line ends; `header` is for where several traces follow each other."""
    room = None if style.width is None else max(NARROWEST, style.width)
    if header:
        yield _fitted(_header(story, style), room, style)
    yield from _tree(story, style, room)
    if story.spans > 1 and story.summary:
        yield _footer(story, style, room)


def encoded(drawn: Iterable[str], encoding: str | None) -> bytes:
    """Return lines as one piece for one write, whatever they contain; in ASCII if there is no such encoding."""
    text = "".join(f"{one}\n" for one in drawn)
    try:
        return text.encode(encoding or "ascii", "backslashreplace")
    except (LookupError, ValueError):
        return text.encode("ascii", "backslashreplace")


def _tree(story: Story, style: Style, room: int | None) -> Iterator[str]:
    start, end = story.trace.start, story.trace.end
    whole = max(1, sum(segment.end - segment.start for segment in story.path))
    words = line.ASCII if style.is_ascii else line.UNICODE
    signs = branches.ASCII if style.is_ascii else branches.UNICODE
    room = room - bars.WIDTH if room is not None and style.has_bars else room
    names_services = len(story.services) > 1
    roots, orphans = _sorted_out(story.rows)
    for prefix, subject in branches.place(roots, orphans, signs, room):
        if isinstance(subject, (str, Left)):
            text = prefix + (subject if isinstance(subject, str) else _left(subject, words.more))
            before = bars.BLANK if style.has_bars else ""
            yield before + (text if room is None else head(text, room))
            continue
        share = subject.on_path / whole if style.is_coloured else None
        text = line.Line(subject, words, names_services).text(prefix, room, share)
        yield (bars.bar(subject, start, end, style.is_ascii) if style.has_bars else "") + text


def _sorted_out(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return roots, and those that would stand below something that was not seen."""
    if len(rows) == 1 and rows[0].node.span.kind in (SERVER, CONSUMER):
        # It began elsewhere: nothing is missing of what was done here.
        return rows, []
    return [row for row in rows if not row.node.is_orphan], [row for row in rows if row.node.is_orphan]


def _left(left: Left, more: str) -> str:
    if not left.levels:
        return more
    levels = f"{more} {left.levels} level{'s' if left.levels > 1 else ''}"
    return levels if left.spans == left.levels else f"{levels}, {left.spans} spans"


def _header(story: Story, style: Style) -> str:
    seconds = (story.trace.start // 1_000_000_000 + (style.utc_offset or 0)) % 86_400
    time = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{'Z' if style.utc_offset is None else ''}"
    services = ", ".join(service[:_NAMED] for service in story.services if service)
    return "  ".join(filter(None, (time, story.trace.id[:8], services[: line.LONGEST])))


def _footer(story: Story, style: Style, room: int | None) -> str:
    """Return what the path consists of; where there is no room for all, more of it is "other", then not told."""
    whole = sum(segment.end - segment.start for segment in story.path)
    beginning = f"critical path {duration(whole)}: "
    between = ", " if style.is_ascii else " · "
    parts = [(_clean(name[:_NAMED], style), time) for name, time in story.summary if name != "other"]
    rest = max(0, sum(time for name, time in story.summary if name == "other"))
    for count in range(len(parts), -1, -1):
        other = rest + sum(time for _, time in parts[count:])
        told = [f"{name} {duration(time)}" for name, time in [*parts[:count], *([("other", other)] if other else [])]]
        text = beginning + between.join(told)
        if room is None or width(text) <= room:
            return text
        if count == 1:
            # The longest part alone says more than all as "other".
            name, took = parts[0][0], f" {duration(parts[0][1])}"
            more = "..." if style.is_ascii else "…"
            return _fitted(beginning + shortened(name, room - len(beginning) - len(took), more) + took, room, style)
    return _fitted(beginning.rstrip(": "), room, style)


def _clean(text: str, style: Style) -> str:
    return ascii_only(printable(text)) if style.is_ascii else printable(text)


def _fitted(text: str, room: int | None, style: Style) -> str:
    text = _clean(text, style)
    return text if room is None else shortened(text, room, "..." if style.is_ascii else "…")

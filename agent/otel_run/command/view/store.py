"""What was read: the spans themselves as long as there are not many, else where to find them.

Of each trace it is known when it began and ended, whether it failed, and in which lines its spans are. So of files
larger than the memory those traces can be shown that were chosen, one after another.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from otel_run.command.view import sources
from otel_run.view import conventions, labels
from otel_run.view.reading import read_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.view.span import Span

    Spans = dict[str, list[Span]]

_MOST_KEPT = 64 * 1024 * 1024  # bytes of lines
_MOST_READ_AGAIN = 16  # lines that were read again, and may be needed for the next trace too


class Seen:
    """What is known of a trace."""

    __slots__ = ("end", "is_failed", "is_match", "lines", "start")

    def __init__(self, span: Span) -> None:
        self.start = span.start
        self.end = span.end
        self.is_failed = False
        # Whether there is in it what is looked for.
        self.is_match = False
        # Their numbers in the store.
        self.lines: list[int] = []


class Store:
    """All that was read."""

    def __init__(self, trace: str = "", text: str = "", most_kept: int = _MOST_KEPT) -> None:
        """`trace` is how the ids of the traces begin that are kept at all; `text` makes a trace a match."""
        self.seen: dict[str, Seen] = {}
        # Lines that can't be read, and where and why for the first of them.
        self.unreadable = 0
        self.first_unreadable = ""
        # How often a line was not where it had been when it was to be read again.
        self.moved = 0
        self._prefix = trace
        self._text = text.casefold()
        self._left = most_kept
        # Of each line its spans by trace, or where it is.
        self._lines: list[Spans | tuple[str, int, int]] = []
        self._read_again: OrderedDict[int, Spans] = OrderedDict()

    def read(self, path: str) -> str:
        """Read a file; return in a few words what is wrong with it, empty if nothing is."""
        trouble: list[str] = []
        spans = 0
        try:
            for number, (at, line) in enumerate(sources.lines(path), 1):
                if not line.isspace() and self._may_hold(line):
                    found, why = _grouped(line, self._prefix)
                    trouble += [f"{path}, line {number}: {why}"] if why else []
                    spans += self._add(found, path, at, len(line))
            if trouble and not spans and sources.can_be_read_again(path):
                # One object that is spread over many lines, as people write it.
                found, why = _grouped(sources.whole(path), self._prefix)
                if not why:
                    trouble.clear()
                    self._add(found, "", 0, 0)
        except (OSError, EOFError, zlib.error) as error:
            return getattr(error, "strerror", None) or str(error)
        finally:
            self.unreadable += len(trouble)
            self.first_unreadable = self.first_unreadable or next(iter(trouble), "")
        return ""

    def spans_of(self, trace: str) -> Iterator[Span]:
        """Yield the spans of a trace."""
        for number in self.seen[trace].lines:
            found = self._spans_in(number).get(trace, ())
            self.moved += not found
            yield from found

    def _may_hold(self, line: bytes) -> bool:
        """Tell whether a line is worth reading: most that are not asked for are passed over by their bytes."""
        if not self._prefix:
            return True
        # Ids in base64, as protobuf's own JSON has them, end so.
        return self._prefix.encode() in line.lower() or b'=="' in line

    def _add(self, found: Spans, path: str, at: int, size: int) -> int:
        if not found:
            return 0
        number = len(self._lines)
        if self._left > 0 or not (path and sources.can_be_read_again(path)):
            self._left -= size
            self._lines.append(found)
        else:
            self._lines.append((path, at, size))
        for trace, spans in found.items():
            self._note(trace, spans).lines.append(number)
        return sum(map(len, found.values()))

    def _note(self, trace: str, spans: list[Span]) -> Seen:
        seen = self.seen.get(trace)
        if seen is None:
            seen = self.seen[trace] = Seen(spans[0])
        for span in spans:
            seen.start = min(seen.start, span.start)
            seen.end = max(seen.end, span.end)
            seen.is_failed = seen.is_failed or conventions.is_failed(span)
            seen.is_match = seen.is_match or not self._text or _holds(span, self._text)
        return seen

    def _spans_in(self, number: int) -> Spans:
        line = self._lines[number]
        if isinstance(line, dict):
            return line
        found = self._read_again.get(number)
        if found is None:
            path, at, size = line
            try:
                found = _grouped(sources.read_at(path, at, size), self._prefix)[0]
            except OSError:
                found = {}  # moved meanwhile
            self._read_again[number] = found
            if len(self._read_again) > _MOST_READ_AGAIN:
                self._read_again.popitem(last=False)
        self._read_again.move_to_end(number)
        return found


def _grouped(line: bytes, prefix: str) -> tuple[Spans, str]:
    """Return the spans of a line by trace, and what is wrong with it."""
    found: Spans = {}
    try:
        for span in read_line(line):
            if span.trace_id.startswith(prefix):
                found.setdefault(span.trace_id, []).append(span)
    except ValueError as error:
        return found, str(error)
    return found, ""


def _holds(span: Span, text: str) -> bool:
    """Tell whether `text` is anywhere in what a person sees of a span."""
    shown = [span.name, span.message, labels.label(span), span.service, *span.attributes.values()]
    for event in span.events:
        shown += [event.name, *event.attributes.values()]
    return any(text in str(one).casefold() for one in shown)

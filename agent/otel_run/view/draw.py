"""A tree as lines of text: `├── label [2ms]`, in ASCII where the stream can't write these characters.

Everything goes out in one write, so that the trees of several processes don't mix, and nothing that a
label holds can move the cursor: labels come from requests, which anybody can send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_run.view.tree import Node


class Branches(NamedTuple):
    """The strings before a label: its own line's, and what stands under it in the lines of its children."""

    branch: str
    last: str
    under_branch: str
    under_last: str


UNICODE = Branches("├── ", "└── ", "│   ", "    ")
ASCII = Branches("|-- ", "`-- ", "|   ", "    ")


def draw(roots: Iterable[Node], stream: TextIO) -> None:
    """Write the trees to `stream`, whatever its encoding."""
    encoding = stream.encoding or "ascii"
    text = "".join(f"{line}\n" for line in lines(roots, _branches_for(encoding)))
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def lines(roots: Iterable[Node], branches: Branches = UNICODE) -> Iterator[str]:
    """Yield the lines, without line ends. A service is named where it begins."""
    # A stack, and not recursion: a trace may be deeper than Python's recursion limit.
    waiting = [(root, "", "", "") for root in reversed(list(roots))]
    while waiting:
        node, prefix, under, where = waiting.pop()
        service = f"{_plain(node.where)}: " if node.where and node.where != where else ""
        yield f"{prefix}{service}{_plain(node.label)} [{duration(node.duration)}]"
        for child in reversed(node.children):
            is_last = child is node.children[-1]
            own, below = branches[1::2] if is_last else branches[0::2]
            waiting.append((child, under + own, under + below, node.where))


def duration(nanoseconds: int) -> str:
    """Return a duration as a person reads it: two figures below 10 ms, no more than needed above."""
    milliseconds = nanoseconds / 1e6
    if milliseconds < 9.95:
        return f"{_two_figures(milliseconds)}ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1e3
    if seconds < 59.95:
        return f"{seconds:.2f}s" if seconds < 9.995 else f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s"


def _two_figures(milliseconds: float) -> str:
    # Below a microsecond the clock tells nothing; without the rounding, `g` would write 1e-05.
    return f"{round(milliseconds, 3):.2g}"


def _branches_for(encoding: str) -> Branches:
    try:
        "".join(UNICODE).encode(encoding)
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


def _plain(label: str) -> str:
    """Return `label` on one line, with what is not printable shown by its number."""
    on_one_line = " ".join(label.split())
    if on_one_line.isprintable():
        return on_one_line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in on_one_line)

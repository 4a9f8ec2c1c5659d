"""Text on a terminal: this file is about how many cells it takes, where it is cut, and what of it may be printed.

A width is never less than what a terminal uses, but may be more: terminals do not agree on sequences of emoji, and a
line that is a little short harms nobody, while one that is wrapped breaks the tree.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category, east_asian_width

# They join letters or emoji to one, and are no more than that.
_JOINERS = "\u200c\u200d"
_EMOJI_STYLE = "\ufe0f"
_INVISIBLE = ("Mn", "Me")
# More marks on one letter than any language needs reach into the lines above.
_MOST_MARKS = 4
# What our own words contain, the path of a URL among them.
_IN_ASCII = {ord("…"): "...", ord("×"): "x", ord("·"): "-", ord("→"): "->", ord("←"): "<-", ord("≥"): ">="}  # noqa: RUF001


def printable(text: str) -> str:
    r"""Return `text` with nothing in it that does more than stand in its cells.

    Control characters, escape sequences, what turns the direction of writing, halves of characters and what this
    Python does not know (nobody knows its width) become visible as `\x1b`, `\u202e`; all white space is a blank.
    """
    if text.isprintable():
        return text if text.isascii() else _with_few_marks(text)
    return _with_few_marks("".join(map(_printable, text)))


def ascii_only(text: str) -> str:
    r"""Return a printable text in ASCII: signs of ours as what resembles them, all else as `\xe9`."""
    return text if text.isascii() else text.translate(_IN_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def width(text: str) -> int:
    """Return how many cells a printable text takes, at most."""
    return len(text) if text.isascii() else sum(map(_width, text))


def head(text: str, room: int) -> str:
    """Return as much of the beginning as goes into `room` cells."""
    if text.isascii():
        return text[: max(0, room)]
    for at, character in enumerate(text):
        room -= _width(character)
        if room < 0:
            return text[:at]
    return text


def tail(text: str, room: int) -> str:
    """Return as much of the end as goes into `room` cells; it does not begin with what belongs to a letter before."""
    if text.isascii():
        return text[max(0, len(text) - max(0, room)) :]
    start = len(text)
    for at in range(len(text) - 1, -1, -1):
        room -= _width(text[at])
        if room < 0:
            break
        start = at
    while start < len(text) and start and _belongs_to_the_last(text[start]):
        start += 1
    return text[start:]


def shortened(text: str, room: int, more: str = "…") -> str:
    """Return `text` if it goes into `room` cells, else its beginning and `more`."""
    if len(text) * 2 <= room or width(text) <= room:
        return text
    return head(text, room - len(more)).rstrip(" ") + more if room > len(more) else head(text, room)


def shortened_label(text: str, room: int, more: str = "…") -> str:
    """Return a label shortened to `room` cells: a URL in its middle, all else (a query, a key) at its end.

    Of a URL the host and the last part of the path stay as long as both go in, then as much as does.
    """
    if len(text) * 2 <= room or width(text) <= room:
        return text
    before, mark, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    if not mark or not slash or " " in rest:
        return shortened(text, room, more)
    method, blank, scheme = before.rpartition(" ")
    return _shortened_url(method + blank, f"{scheme}://", host, slash + path, room, more)


def _shortened_url(method: str, scheme: str, host: str, path: str, room: int, more: str) -> str:
    at = path.rstrip("/").rfind("/")
    # Both have the slash between them: it is there, whatever of the middle is not.
    middle, last = path[: at + 1], path[at:]
    for beginning in (f"{method}{scheme}{host}", f"{method}{host}"):
        if width(beginning) + width(path) <= room:
            return beginning + path
        left = room - width(beginning) - len(more) - width(last)
        if left >= 0:
            return f"{beginning}{head(middle, left)}{more}{last}"
    left = room - width(method) - len(more)
    if left < 8:
        return shortened(f"{method}{host}", room, more)
    # Both do not go in: of the host its beginning, of the path its end.
    kept = tail(last, max(left // 2, left - width(host)))
    return f"{method}{head(host, left - width(kept))}{more}{kept}"


def _with_few_marks(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if _belongs_to_the_last(character) else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


@lru_cache(maxsize=4096)
def _printable(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")


@lru_cache(maxsize=4096)
def _width(character: str) -> int:
    if character in _JOINERS:
        return 0
    if character == _EMOJI_STYLE:
        # What stands before it is now as wide as an emoji.
        return 1
    if category(character) in _INVISIBLE:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


@lru_cache(maxsize=4096)
def _belongs_to_the_last(character: str) -> bool:
    return character in _JOINERS or category(character) in _INVISIBLE

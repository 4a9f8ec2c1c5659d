"""Commands of Redis and its like in a few words: this file is about what of a command, or of many, is shown.

The command and its key; not the `?` that stand for values, and of many keys the first and their number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_run.view import conventions

if TYPE_CHECKING:
    from otel_run.view.span import Span

# A name with blanks stands in quotes. Text is cut before it is searched: an open quote is looked for to its end.
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_COMMAND = re.compile(r"[A-Z][A-Z0-9._]{1,30}")
_BETWEEN = re.compile(r"; |\r?\n")
_LONGEST = 2_000
# All that follow are keys.
_OF_KEYS = frozenset(("MGET", "DEL", "UNLINK", "EXISTS", "TOUCH", "SUNION", "SINTER", "SDIFF", "PFCOUNT", "WATCH"))
_TIMES = "\N{MULTIPLICATION SIGN}"


def command(span: Span) -> str:
    """Return `GET key`, `MGET key … 3 keys` or what a pipeline is of; empty without a text."""
    statement = conventions.statement(span)[:_LONGEST]
    size = conventions.batch_size(span)
    if size is not None:
        return _pipeline(conventions.operation(span), size, statement)
    words = [word for word in _WORD.findall(statement) if word != "?"]
    if not words:
        return ""
    name, names = words[0].upper(), words[1:]
    if len(names) <= 2:
        return " ".join([name, *names])
    return f"{name} {names[0]} … {len(names)} keys" if name in _OF_KEYS else f"{name} {names[0]}"


def short_command(span: Span) -> str:
    """Return the command and the first part of its key, or the system where the key has no parts: `GET cache`."""
    if conventions.batch_size(span) is not None:
        return conventions.operation(span).partition(" ")[0] or "PIPELINE"
    words = _WORD.findall(conventions.statement(span)[:_LONGEST])
    if not words:
        return ""
    prefix, colon, _ = words[1].strip('"').partition(":") if len(words) > 1 else ("", "", "")
    is_telling = colon and prefix and not any(map(str.isdigit, prefix))
    return f"{words[0].upper()} {prefix if is_telling else conventions.system(span)}"


def _pipeline(operation: str, size: int, statement: str) -> str:
    kind = "MULTI" if operation.startswith("MULTI") else "PIPELINE"
    texts = [text for text in _BETWEEN.split(statement) if text.strip()]
    counts: dict[str, int] = {}
    for text in texts:
        name = text.split(None, 1)[0].upper()
        if _COMMAND.fullmatch(name):
            counts[name] = counts.get(name, 0) + 1
    told = ""
    if len(counts) == 1 and "..." not in texts:
        told = f"{next(iter(counts))}{_TIMES}{size}"
    elif sum(counts.values()) == size:
        told = " ".join(f"{name}{_TIMES}{count}" for name, count in counts.items())
    elif counts:
        # Alike ones are told once, so how many there are of each is not known.
        told = " ".join([*counts, *(["…"] if "..." in texts else [])])
    return f"{kind} {size} ({told})" if told else f"{kind} {size}"

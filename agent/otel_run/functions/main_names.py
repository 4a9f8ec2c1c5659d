"""What the script's top level defines, as it goes along: by which names patterns mean it, and what of it is new.

A script may call thousands of times. So a call before which nothing was defined costs a look at the last name, and what
no pattern can mean (numbers, texts, imported modules) is left out before anybody searches it.
"""

from __future__ import annotations

import os
from itertools import islice
from types import FunctionType, ModuleType

from otel_run.functions import search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from otel_run.function_patterns import Pattern

MAIN = "__main__"
# The other is multiprocessing's, for the script that it runs again in a child.
_MAINS = (MAIN, "__mp_main__")
_MISSING = object()
# Names are taken away, too (the `error` of an except clause), so that as many as have been added may not be all.
_MARGIN = 8
_NO_FUNCTIONS = frozenset((ModuleType, type(None), bool, int, float, complex, str, bytes, tuple, list, dict, set))


def names_of(entries: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that patterns may have for the script with these globals: its own, then `__main__`.

    Its own is the one that would import it: a reader of the trace knows where `app.main` is.
    """
    name = getattr(entries.get("__spec__"), "name", None)
    if not isinstance(name, str) or name == MAIN:
        # A console script has no such ending: `bin/gunicorn` is not the module `gunicorn`.
        name, ending = os.path.splitext(os.path.basename(str(entries.get("__file__") or "")))
        name = name if ending in (".py", ".pyw") else MAIN
    return (MAIN,) if name == MAIN else (name, MAIN)


def wanted(patterns: Sequence[Pattern], names: Sequence[str]) -> list[Pattern]:
    """Return the patterns that mean a module of one of these names."""
    return [pattern for pattern in patterns if any(map(pattern.matches_module, names))]


def _is_stub(value: object) -> bool:
    """Tell whether this is what typing gives for every overload of a function, before its definition."""
    return type(value) is FunctionType and value.__module__ == "typing"


class NewNames:
    """The names in the script's globals that a pattern may mean, each handed out once, and again if it changes."""

    def __init__(self, entries: dict[str, Any], patterns: Sequence[Pattern]) -> None:
        self._entries = entries
        self._names = [name for name in names_of(entries) if wanted(patterns, [name])]
        self._patterns = wanted(patterns, self._names)
        # What they begin with; None: any name may be one.
        heads = [pattern.qualname.partition(".")[0] for pattern in self._patterns]
        self._heads = None if any("*" in head for head in heads) else frozenset(heads)
        self._watched = tuple({head for head in heads if "*" not in head})
        self._seen: dict[str, object] = {}
        self._length = 0
        self._last: object = None

    def is_any(self) -> bool:
        """Tell, in little time, whether there may be something to `take`."""
        entries, seen = self._entries, self._seen
        for name in self._watched:
            if entries.get(name, _MISSING) is not seen.get(name, _MISSING):
                return True
        return self._heads is None and next(reversed(entries), None) is not self._last

    def take(self) -> list[str]:
        """Return what has been added since, and what is new under a name that a pattern has."""
        entries = self._entries
        if self._heads is not None:
            return self._choose(self._watched)
        grown = max(len(entries) - self._length, 0)
        last = list(islice(reversed(entries), grown + _MARGIN))
        chosen = self._choose((*reversed([name for name in last if name not in self._seen]), *self._watched))
        self._length = len(entries)
        # A stub is to be looked at again.
        self._last = last[0] if last and last[0] in self._seen else None
        return chosen

    def take_changed(self) -> list[str]:
        """Return all that has not been handed out, or has another value by now."""
        return self._choose(list(self._entries) if self._heads is None else self._watched)

    def _choose(self, names: Sequence[str]) -> list[str]:
        found = []
        for name in names:
            value = self._entries.get(name, _MISSING)
            if value is _MISSING or value is self._seen.get(name, _MISSING) or _is_stub(value):
                continue
            self._seen[name] = value
            if type(value) not in _NO_FUNCTIONS:
                found.append(name)
        return found

    def is_complete(self) -> bool:
        """Tell whether each pattern names one function, and all of these are there."""
        return self._heads is not None and all(
            pattern.names_function and any(search.meant(self._part(self._watched), pattern))
            for pattern in self._patterns
        )

    def parts(self, found: Sequence[str]) -> Iterator[tuple[ModuleType, str]]:
        """Give a module of what is `found` for each name by which patterns mean the script, and this name."""
        for name in self._names if found else ():
            # `__main__:main` is meant for one script. Every other console script of the process tree has imported a
            # `main`: of those whose module nobody has named, nothing is traced.
            mine = found if name != MAIN else [each for each in found if not _is_imported(self._entries.get(each))]
            if mine:
                yield self._part(mine), name

    def _part(self, names: Sequence[str]) -> ModuleType:
        # Under the name that its functions have as their __module__.
        part = ModuleType(str(self._entries.get("__name__", MAIN)))
        # A program that comes by standard input is in no file, but it says so in `__file__`.
        file = str(self._entries.get("__file__") or "<")
        if not file.startswith("<"):
            part.__file__ = file
        for name in names:
            if name in self._entries:
                vars(part)[name] = self._entries[name]
        return part


def _is_imported(value: object) -> bool:
    return type(value) is FunctionType and value.__module__ not in _MAINS

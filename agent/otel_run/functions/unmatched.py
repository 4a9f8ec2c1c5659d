"""Patterns that have meant no function, said once when the process ends: why, and what may have been meant.

A misspelt name is the one mistake that everybody makes, and silence would be all there is to see of it. But whoever
gets a line should have made a mistake: of a process that has children, or is one, nobody can say from inside that a
module was not imported by the program as a whole; nor from inside of one of many that a shell has started.
"""

from __future__ import annotations

import atexit
import os
import sys

from otel_run import report, settings
from otel_run.boundary import contained
from otel_run.functions import looking, main_module, search
from otel_run.grammar import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from otel_run.function_patterns import Pattern
    from otel_run.functions.watching import Watch

# How much a process knows of the program as a whole: another traced one has started it; it has started others; it has
# not, but some may stand beside it; it is all that there is.
_CHILD, _PARENT, _ALONE, _WHOLE = range(4)


def say_at_exit(watch: Watch) -> None:
    """Say it when the interpreter ends in this process, which is not one that it forks."""
    is_first = settings.is_first_to_say("OTEL_RUN_TRACE:unmatched")
    atexit.register(_end, watch, os.getpid(), is_first, _time_of_children())


def _end(watch: Watch, pid: int, is_first: bool, before: float) -> None:
    if os.getpid() == pid and not report.quiet:
        contained("unmatched patterns", _say, watch, _knowledge(is_first, before))


def _knowledge(is_first: bool, before: float) -> int:
    if report.debug:
        return _WHOLE
    if not is_first:
        return _CHILD
    if _time_of_children() != before:
        return _PARENT
    return _ALONE if settings.is_started_by_traced() else _WHOLE


def _time_of_children() -> float:
    """Return the seconds of computing of all children that have ended, those of what it was before `exec` too."""
    times = os.times()
    return times.children_user + times.children_system


def _say(watch: Watch, knowledge: int) -> None:
    for pattern in watch.patterns:
        if pattern in watch.matched or main_module.is_refused(pattern):
            continue
        why = reason(pattern, watch.searched, knowledge)
        if why:
            report.warn(f"OTEL_RUN_TRACE {pattern}", "matched nothing", why)


def reason(pattern: Pattern, searched: set[str], knowledge: int) -> str:
    """Return why a pattern has meant nothing, with a hint; empty if there are other processes that may know better."""
    explained = main_module.explains(pattern)
    if explained:
        return explained
    known = _modules_of(pattern)
    untold = [name for name, module in known.items() if name not in searched and any(search.meant(module, pattern))]
    if untold:
        return f"nothing told of the import of {untold[0]}, which came past the import system or by another's hook"
    if main_module.means_script(pattern):
        # What it defines is searched only where a pattern may mean it.
        known[pattern.module] = sys.modules[main_module.MAIN]
    if known:
        # `__main__` is another script in the next process.
        knows = knowledge >= _WHOLE or pattern.module != main_module.MAIN
        return _no_such_function(pattern, known) if knows else ""
    without_colon = "" if ":" in pattern.text else _with_colon(pattern.module)
    if without_colon:
        return _with_hint(f"there is no module {pattern.module}", f"did you mean {without_colon} ?")
    return _never_imported(pattern, knowledge)


def _modules_of(pattern: Pattern) -> dict[str, ModuleType]:
    """Return the modules that have been executed, and that a pattern means; not the script."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if type(name) is str
        and name != main_module.MAIN
        and pattern.matches_module(name)
        and module is not None
        and not looking.is_lazy(module)
        and (search.is_own(module) or not pattern.means_own_modules)
    }


def _no_such_function(pattern: Pattern, looked: dict[str, ModuleType]) -> str:
    (name, module), *others = looked.items()
    if pattern.names_function and not others:
        what = _what_it_is(pattern, name, module)
        if what:
            return what
    kind = "function of that name" if pattern.names_function else "function of such a name"
    why = f"none of {len(looked)} modules has a {kind}" if others else f"{name} has no {kind}"
    return _with_hint(why, "" if pattern.qualname == "*" else _nearest(pattern, looked))


def _nearest(pattern: Pattern, looked: dict[str, ModuleType]) -> str:
    places: dict[str, str] = {}
    for module in looked:
        for qualname, _ in search.defined(looked[module]):
            of_class = f"{qualname.rpartition('.')[0]}.*".lstrip(".")
            places.setdefault(qualname if pattern.names_function else of_class, module)
    written = {place.lower(): place for place in places}
    name = written.get(nearest(pattern.qualname, written) or "")
    return f"did you mean {places[name]}:{name} ?" if name else ""


def _what_it_is(pattern: Pattern, name: str, module: ModuleType) -> str:
    """Return what the named thing is, if there is one that can't be traced where it was named."""
    holder, last = search.holder_of(module, pattern.qualname)
    if looking.is_class(holder):
        for cls in looking.mro(holder)[1:]:
            if last in looking.class_namespace(cls):
                place = f"{looking.class_namespace(cls).get('__module__')}:{looking.class_qualname(cls)}.{last}"
                return _with_hint("it is inherited, and would be traced for all others", f"did you mean {place} ?")
    value: Any = search.own(holder, last)
    if value is None:
        return ""
    if looking.is_class(value):
        return _with_hint("it is a class", f"did you mean {name}:{pattern.qualname}.* ?")
    kind = looking.class_qualname(type(value))
    if kind == "function":
        # Of the script, under the name `__main__`, only what it defines is meant.
        return _with_hint("it is imported", f"did you mean {value.__module__}:{value.__qualname__} ?")
    return f"it is no function written in Python; its type is {kind}"


def _never_imported(pattern: Pattern, knowledge: int) -> str:
    if "*" in pattern.module:
        whose = " of the program's own" if pattern.means_own_modules else ""
        return f"no module{whose} was imported whose name is like {pattern.module}" if knowledge >= _WHOLE else ""
    others = [name for name in map(str, list(sys.modules)) if not name.startswith("_") and name != pattern.module]
    near = nearest(pattern.module, others, 0.7)
    hint = f"did you mean {near}{pattern.text[len(pattern.module) :]} ?" if near else ""
    if _exists(pattern.module):
        return _with_hint(f"this process has not imported {pattern.module}", hint) if knowledge >= _WHOLE else ""
    # A child may find modules elsewhere; but hardly one that is called so much like one of the parent's.
    is_misspelt = near is not None and knowledge >= _PARENT and search.is_own(sys.modules[near])
    return _with_hint(f"there is no module {pattern.module}", hint) if knowledge >= _ALONE or is_misspelt else ""


def _with_colon(dotted: str) -> str:
    """Return `orders:Order.total` for `orders.Order.total`, if that is a name in an imported module."""
    segments = dotted.split(".")
    for count in range(len(segments) - 1, 0, -1):
        module = ".".join(segments[:count])
        if module in sys.modules:
            qualname = ".".join(segments[count:])
            is_there = search.own(*search.holder_of(sys.modules[module], qualname)) is not None
            return f"{module}:{qualname}" if is_there else ""
    return ""


def _exists(dotted: str) -> bool:
    """Tell whether a module could be imported, without the code of any package around it."""
    finder = sys.modules["_frozen_importlib_external"].PathFinder
    path: Any = None
    segments = dotted.split(".")
    for count in range(1, len(segments) + 1):
        name = ".".join(segments[:count])
        if name in sys.modules:
            path = looking.names(sys.modules[name]).get("__path__", ())
            continue
        spec = finder.find_spec(name, path)
        if spec is None:
            return False
        path = spec.submodule_search_locations or ()
    return True


def _with_hint(why: str, hint: str) -> str:
    return f"{why}. hint: {hint}" if hint else why

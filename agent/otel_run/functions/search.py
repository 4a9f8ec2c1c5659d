"""Which functions of an imported module a pattern means.

An exact name means what a reader of the source would say: of a property its getter, of a decorated function the one
that was written there. `*` means the functions and methods that are defined in the module, and neither properties
(reading an attribute is seldom a step of anything) nor what it has imported.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

from otel_run.functions import looking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, TypeGuard

    from otel_run.function_patterns import Pattern

# What decorators call the function that they were given: functools.wraps and pydantic; classmethod, staticmethod
# and bound methods; partial, partialmethod and cached_property; property; click.
_WITHIN = ("__wrapped__", "__func__", "func", "fget", "callback")
_DEEPEST = 20
_PLAIN = (FunctionType, staticmethod, classmethod)
# How many objects that another one holds are looked at for the function that was written there.
_MOST = 60
# A script's functions know themselves by these names, whatever the script is called; the second in worker processes.
_MAINS = ("__main__", "__mp_main__")


def found(
    module: ModuleType, patterns: Sequence[Pattern], meaning: set[Pattern] | None = None
) -> Iterator[tuple[Pattern, str, FunctionType]]:
    """Yield each function that one of the `patterns` means, once: for an exact one before a `*`, then for the first.

    `meaning` receives all patterns that mean something, those too whose functions another one has.
    """
    taken: set[int] = set()
    for pattern in sorted(patterns, key=lambda pattern: (not pattern.is_exact, not pattern.names_function)):
        for qualname, function in meant(module, pattern):
            if meaning is not None:
                meaning.add(pattern)
            if id(function) not in taken:
                taken.add(id(function))
                yield pattern, qualname, function


def meant(module: ModuleType, pattern: Pattern) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions of `module`, with their names, that one pattern means."""
    name = name_of(module)
    if pattern.means_own_modules and not is_own(module):
        return
    if not pattern.names_function:
        for qualname, function in defined(module):
            if pattern.matches_qualname(qualname):
                yield qualname, function
        return
    holder, last = holder_of(module, pattern.qualname)
    named = written(own(holder, last), name, pattern.qualname)
    # Found in any of many modules it is the module's own, not what they have all imported.
    if named is not None and (pattern.is_exact or is_from(named, name)):
        yield pattern.qualname, named


def name_of(module: ModuleType) -> str:
    """Return the name by which a module's functions know it."""
    name = looking.names(module).get("__name__")
    return name if type(name) is str else ""


def is_own(module: ModuleType) -> bool:
    """Tell whether a module belongs to the program, and not to Python, to what is installed, or to us."""
    held = looking.names(module)
    top = name_of(module).partition(".")[0]
    file = held.get("__file__")
    parts = file.replace("\\", "/").split("/") if type(file) is str else ()
    foreign = top in sys.stdlib_module_names or top in ("otel_run", "opentelemetry", "sitecustomize", "usercustomize")
    return not foreign and "site-packages" not in parts and "dist-packages" not in parts


def defined(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Yield the functions and methods that were written in a module, by qualified name."""
    held = looking.names(module)
    for qualname, function in _defined(held, name_of(module), "", set()):
        # A dataclass's __init__ and its like stand in no file.
        if not (function.__code__.co_filename.startswith("<") and type(held.get("__file__")) is str):
            yield qualname, function


def _defined(held: dict[str, Any], module: str, within: str, seen: set[int]) -> Iterator[tuple[str, FunctionType]]:
    for key, value in held.items():
        if type(key) is not str or id(value) in seen:
            continue
        qualname = f"{within}.{_unmangled(key, within)}" if within else key
        if looking.is_class(value):
            deeper = looking.class_namespace(value)
            if deeper.get("__module__") in (module, *_MAINS):
                seen.add(id(value))
                yield from _defined(deeper, module, qualname, seen)
        elif not _is_property(value):
            function = written(value, module, qualname)
            # A worker that was given a function is no function.
            is_it = function is not None and (type(value) in _PLAIN or function.__qualname__ == qualname)
            if function is not None and is_it and is_from(function, module) and id(function) not in seen:
                seen.add(id(function))
                yield qualname, function


def _mangled(name: str, cls: str) -> str:
    """Return a private name as the compiler writes it within a class."""
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{cls.rpartition('.')[2].lstrip('_')}{name}" if is_private else name


def _unmangled(key: str, cls: str) -> str:
    name = key.removeprefix("_" + cls.rpartition(".")[2].lstrip("_"))
    return name if _mangled(name, cls) == key else key


def identity(module: str, qualname: str, function: FunctionType) -> tuple[str, str]:
    """Return the names of a function's module and of itself there, which for an imported one are others."""
    if is_from(function, module) or type(function.__module__) is not str:
        return module, qualname
    return function.__module__, function.__qualname__


def is_from(function: FunctionType, module: str) -> bool:
    """Tell whether a function was written in the module of that name."""
    return type(function.__module__) is str and function.__module__ in (module, *_MAINS)


def _is_property(value: object) -> bool:
    # Libraries have their own kinds: cached_property, hybrid_property, classproperty, enum.property.
    return any("property" in looking.class_qualname(cls) for cls in looking.mro(type(value)))


def holder_of(module: object, qualname: str) -> tuple[object, str]:
    """Return the class or module in which the last part of a qualified name is looked up, None if there is none."""
    holder: object = module
    *before, last = qualname.split(".")
    for name in before:
        holder = own(holder, name)
        if not looking.is_class(holder):
            return None, last
    return holder, last


def own(holder: object, name: str) -> object:
    """Return what a class or a module itself has by that name, as far as it has not to be computed."""
    if looking.is_class(holder):
        return looking.class_namespace(holder).get(_mangled(name, looking.class_qualname(holder)))
    return looking.names(holder).get(name) if holder is not None else None


def written(value: object, module: str, qualname: str) -> FunctionType | None:
    """Return the function that stands in the source where `value` is now, behind all decorators."""
    inner = _innermost(value)
    if not _is_written_as(inner, module, qualname):
        # Decorators without functools.wraps; tasks, commands and the like, which keep the function somewhere.
        kept = _kept(inner, module, qualname)
        inner = inner if kept is None else _innermost(kept)
    # What is only overloaded is one stub, which all of these share.
    return inner if type(inner) is FunctionType and inner.__module__ != "typing" else None


def _innermost(value: object) -> object:
    for _ in range(_DEEPEST):
        deeper = None if _is_dispatcher(value) else _within(value)
        if deeper is None:
            break
        value = deeper
    return value


def _within(value: object) -> object:
    return next((deeper for name in _WITHIN if (deeper := looking.held(value, name)) is not None), None)


def _is_dispatcher(value: object) -> bool:
    """Tell whether it is functools.singledispatch's: the call of any of its functions is a call of that."""
    return type(value) is FunctionType and "registry" in value.__dict__ and "dispatch" in value.__dict__


def _is_written_as(value: object, module: str, qualname: str) -> TypeGuard[FunctionType]:
    return type(value) is FunctionType and value.__qualname__ == qualname and is_from(value, module)


def _kept(value: object, module: str, qualname: str) -> FunctionType | None:
    """Return the function of that name that an object keeps, at whatever place; the nearest ones first."""
    near, seen = [value], {id(value)}
    for part in near:
        if _is_written_as(part, module, qualname):
            return part
        for further in _parts(part):
            if len(near) < _MOST and id(further) not in seen:
                seen.add(id(further))
                near.append(further)
    return None


def _parts(value: object) -> list[object]:
    if type(value) is tuple:
        return list(value)
    if type(value) is FunctionType:
        return [*value.__dict__.values(), *map(_content, value.__closure__ or ())]
    if value is None or looking.is_class(value) or issubclass(type(value), ModuleType):
        return []
    return [*looking.namespace(value).values(), *looking.slots(value)]


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None

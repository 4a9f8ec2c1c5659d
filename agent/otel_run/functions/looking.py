"""Looking into the program's objects without running any of its code.

A `getattr` would wake what is lazy (Django's settings, werkzeug's `current_app`, celery's tasks), load modules, call
properties, and have a Mock invent whatever is asked for. So only what C keeps is read: namespaces, slots, the order
of resolution; and of what an object is only its type is asked, never `isinstance`, which asks `__class__`.
"""

from __future__ import annotations

import sys
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_module_namespace: Any = vars(ModuleType)["__dict__"].__get__
_class_namespace: Any = vars(type)["__dict__"].__get__
_mro: Any = vars(type)["__mro__"].__get__
_qualname: Any = vars(type)["__qualname__"].__get__


def is_class(value: object) -> bool:
    """Tell whether `value` is a class."""
    return issubclass(type(value), type)


def is_lazy(value: object) -> bool:
    """Tell whether `value` is a module of importlib's LazyLoader that nobody has looked into."""
    lazy = sys.modules.get("importlib.util")
    return lazy is not None and type(value) is namespace(lazy).get("_LazyModule")


def class_namespace(cls: object) -> dict[str, Any]:
    """Return what a class itself defines."""
    return dict(_class_namespace(cls))


def mro(cls: object) -> tuple[type, ...]:
    """Return the classes in which attributes of a class's instances are looked up."""
    found: tuple[type, ...] = _mro(cls)
    return found


def class_qualname(cls: object) -> str:
    """Return the qualified name of a class."""
    return str(_qualname(cls))


def namespace(value: object) -> dict[str, Any]:
    """Return what an instance or a module itself holds, a copy."""
    if issubclass(type(value), ModuleType):
        return dict(_module_namespace(value))
    for cls in mro(type(value)):
        own = _class_namespace(cls).get("__dict__")
        if own is not None:
            # A proxy puts a property of its own in that place.
            if type(own) is not GetSetDescriptorType or own.__objclass__ is not cls:
                return {}
            try:
                return dict(own.__get__(value) or ())
            except (AttributeError, ValueError):
                # wrapt's proxies are written in C, and give that of what they stand for, which may have none.
                return {}
    return {}


def names(value: object) -> dict[str, Any]:
    """Return what a module has by name; for an object that stands in the place of one also what its class defines."""
    found: dict[str, Any] = {}
    if not issubclass(type(value), ModuleType):
        for cls in reversed(mro(type(value))[:-1]):
            found.update(_class_namespace(cls))
    return {**found, **namespace(value)}


def held(value: object, name: str) -> object:
    """Return the attribute that an instance holds in its namespace or a slot, None for anything that is computed."""
    slot = next((found for cls in mro(type(value)) if (found := _class_namespace(cls).get(name)) is not None), None)
    if type(slot) is MemberDescriptorType:
        return _slot(slot, value)
    return namespace(value).get(name)


def slots(value: object) -> list[object]:
    """Return what an instance holds in slots."""
    found = [slot for cls in mro(type(value)) for slot in _class_namespace(cls).values()]
    return [_slot(slot, value) for slot in found if type(slot) is MemberDescriptorType]


def _slot(slot: MemberDescriptorType, value: object) -> object:
    try:
        return slot.__get__(value)
    except AttributeError:  # it is empty
        return None

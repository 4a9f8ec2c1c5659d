"""Calling back when a module has been imported: after it has run, before the program sees it.

A finder in front of the others lets them find the module and then has its loader tell us when it has
executed it. Nothing about the module is different afterwards: the spec, its loader and the traceback of
an import that fails are the ones that a bare interpreter makes.
"""

from __future__ import annotations

import sys

from otel_run.boundary import contained, without_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

_ModuleType = type(sys)
_namespace_of: Any = vars(_ModuleType)["__dict__"].__get__

# Frames of this file name are cut out of tracebacks by the interpreter (import.c,
# remove_importlib_frames); with our own name there, a failing import would show our frame and,
# worse, importlib's around it.
_IMPORTLIB = "<frozen importlib._bootstrap_external>"


def _unseen(function: F) -> F:
    """Return `function`, changed so that tracebacks show it no more than they show importlib."""
    changed: Any = function
    changed.__code__ = changed.__code__.replace(co_filename=_IMPORTLIB)
    return function


class Finder:
    """The first finder on `sys.meta_path`: finds nothing itself, and watches the modules that are waited for."""

    def __init__(
        self, discover: Callable[[], None], wakes: Callable[[str], bool], needs: str = "opentelemetry"
    ) -> None:
        """`discover()` runs once, before the first import of a name for which `wakes(name)` is true.

        `needs` is the package that callbacks use: while one of its modules is being executed, and so is
        only half there, they wait for it.
        """
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._waiting_for_some: list[tuple[Callable[[str], bool], Callable[[str], None]]] = []
        self._discover: Callable[[], None] | None = discover
        self._wakes = wakes
        self._needs = needs + "."
        # The module of that package which the program imports; others that it imports are nested in it.
        self._outermost = ""
        self._postponed: list[Callable[[], None]] = []
        # Modules that have run and are told of just now: importlib counts them as being executed still.
        self._told: list[str] = []

    def wait_for(self, name: str, callback: Callable[[], None]) -> None:
        """Call `callback()` each time the module `name` has been executed; now, if it has been."""
        self._waiting.setdefault(name, []).append(callback)
        if name in sys.modules and (name in self._told or not _is_being_executed(name)):
            self._call([callback])

    def wait_for_some(self, matches: Callable[[str], bool], callback: Callable[[str], None]) -> None:
        """Call `callback(name)` each time a module has been executed for which `matches(name)` is true."""
        self._waiting_for_some.append((matches, callback))
        for name in list(sys.modules):
            if matches(name) and (name in self._told or not _is_being_executed(name)):
                self._call([_with_name(callback, name)])

    def _some_for(self, name: str) -> list[Callable[[], None]]:
        waiting = self._waiting_for_some
        wait = "what waits for imports"
        return [_with_name(callback, name) for matches, callback in waiting if contained(wait, matches, name)]

    @_unseen
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the finders behind this one find the module, if it is one of those waited for."""
        if self._discover is not None and self._wakes(fullname):
            self.discover()
        if self._postponed:
            self._call([])
        if fullname.startswith(self._needs) and not _is_being_executed(self._outermost):
            self._outermost = fullname
        elif fullname not in self._waiting and not (self._waiting_for_some and self._some_for(fullname)):
            return None
        # Not contained: what their finders raise is what a bare import would have raised.
        spec = self._find_behind(fullname, path, target)
        if spec is not None:
            contained(f"import of {fullname}", self._watch, spec)
        return spec

    def discover(self) -> None:
        """Find out what to wait for, once."""
        discover, self._discover = self._discover, None
        if discover is not None:
            contained("discovery of instrumentors", discover)

    @_unseen
    def _find_behind(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        finders = list(sys.meta_path)
        behind = finders[finders.index(self) + 1 :] if self in finders else finders
        for finder in behind:
            if hasattr(finder, "find_spec"):
                spec: ModuleSpec | None = finder.find_spec(fullname, path, target)
            else:
                spec = _find_as_of_old(finder, fullname, path)
            if spec is not None:
                return spec
        return None

    def _watch(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        if loader is None:
            loader = spec.loader = _namespace_loader(spec)
        lazily = getattr(sys.modules.get("importlib.util"), "LazyLoader", None)
        if lazily is not None and type(loader) is lazily:
            loader = loader.loader  # it has the module executed when somebody first looks into it
        if isinstance(loader, type) or not hasattr(loader, "exec_module"):
            # Built-in and frozen modules have a class for a loader, and it would be changed for all of
            # them; a loader of old has only `load_module`.
            return
        # On the instance: another type in place of the loader would be seen by whoever asks for
        # `spec.loader`, its `get_data`, its class.
        telling = loader.__dict__.get("exec_module")
        if not hasattr(telling, "watched"):
            telling = loader.exec_module = _telling(loader, loader.exec_module, self._executed)
        telling.watched.add(spec.name)

    def _executed(self, name: str) -> None:
        if name == self._outermost:
            self._outermost = ""
        self._told.append(name)
        try:
            self._call([*self._waiting.get(name, ()), *self._some_for(name)])
        finally:
            self._told.remove(name)

    def _call(self, callbacks: list[Callable[[], None]]) -> None:
        self._postponed += callbacks
        if _is_being_executed(self._outermost):
            return
        ready, self._postponed = self._postponed, []
        for callback in ready:
            contained("what waits for an import", without_exit, callback)


def in_place() -> Finder | None:
    """Return the finder that watches the imports of this process, for what is known only after the start."""
    return next((finder for finder in sys.meta_path if isinstance(finder, Finder)), None)


def _is_being_executed(name: str) -> bool:
    module = sys.modules.get(name)
    if not issubclass(type(module), _ModuleType):
        return False
    # Not by an attribute of the module, which would have one execute that is loaded lazily.
    return bool(getattr(_namespace_of(module).get("__spec__"), "_initializing", False))


def _with_name(callback: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: callback(name)


def _telling(loader: Any, execute: Callable[[ModuleType], None], tell: Callable[[str], None]) -> Any:
    # All modules of one zip file share their loader, so more than one may be on its way.
    watched: set[str] = set()

    @_unseen
    def exec_module(module: ModuleType) -> None:
        name = module.__name__  # the module may rename itself
        execute(module)
        if name in watched:
            watched.discard(name)
            if not watched:
                loader.__dict__.pop("exec_module", None)
            tell(name)

    telling: Any = exec_module
    telling.watched = watched
    return telling


def _find_as_of_old(finder: Any, fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Ask a finder that has no `find_spec`, as importlib does up to Python 3.11; later it passes over them."""
    ask = getattr(sys.modules["_frozen_importlib"], "_find_spec_legacy", None)
    spec: ModuleSpec | None = ask(finder, fullname, path) if ask is not None else None
    return spec


def _namespace_loader(spec: ModuleSpec) -> Any:
    """Return the loader that importlib would give a namespace package a moment later."""
    external = sys.modules["_frozen_importlib_external"]
    cls: Any = getattr(external, "NamespaceLoader", None) or external._NamespaceLoader
    loader = cls.__new__(cls)
    loader._path = spec.submodule_search_locations

    def exec_module(module: ModuleType) -> None:
        module.__file__ = None  # as importlib does where a spec has no loader

    loader.exec_module = exec_module
    return loader

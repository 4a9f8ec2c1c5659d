"""Replacing a function by one that observes it: ours before, theirs bare, ours after.

The error boundary of the design stands here, once for all instrumentors. `begin(args, kwargs)` runs
before the call, contained; it returns None to leave the call alone, or a callable `finish(result,
error)`, which runs after it, contained. Whatever happens in ours, theirs is called exactly once with
the arguments it was given, and its result or exception leaves untouched.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from otel_run import report
from otel_run.boundary import Fuse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    Finish = Callable[[Any, "BaseException | None"], None]
    Begin = Callable[[tuple[Any, ...], dict[str, Any]], "Finish | None"]
    Contained = Callable[..., Any]

# Flags of a code object (inspect.CO_*); `inspect` itself costs more than all of this file.
_TAKES_ANY = 0x04
_GENERATOR, _COROUTINE, _ITERABLE_COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200


class DoesNotFit(ImportError):
    """The library lacks something that an instrumentor patches; the message names it.

    As an import that does not find its name: other loaders go on to the next instrumentor then, and for that alone.
    """


class Patch:
    """One attribute of a module or class, to be replaced by an observed version of itself."""

    __slots__ = ("_begin", "_found", "_is_own", "_placed", "begin", "name", "owner", "unit")

    def __init__(self, unit: str, owner: object, name: str, begin: Begin, takes: str = "") -> None:
        """Raise DoesNotFit if `owner` has no callable `name`, or one whose arguments are not called `takes`.

        `takes` are the names that `begin` relies on, in order and behind `self`, as far as it counts on their
        places. What has no Python signature, or hands on `*args`, is taken on trust.
        """
        self.unit = unit
        self.owner = owner
        self.name = name
        self._begin = begin
        # What the observed version calls, nothing of ours once the patch is undone.
        self.begin: Begin = _leave_alone
        # An inherited method is found too; undoing the patch then removes ours in place of leaving a copy.
        self._is_own = name in vars(owner)
        self._found = _raw_attribute(owner, name)
        if not callable(_function_of(self._found)):
            raise DoesNotFit(f"{_name_of(owner)} has no {name}")
        other = _first_other_argument(_function_of(self._found), takes.split())
        if other:
            raise DoesNotFit(f"{_name_of(owner)}.{name} takes no {other} where it is expected")
        self._placed: object = None

    def apply(self) -> None:
        """Put the observed version in place."""
        observed = self._observed(Fuse(self.unit, self._give_up), _function_of(self._found))
        if isinstance(self._found, (staticmethod, classmethod)):
            observed = type(self._found)(observed)
        setattr(self.owner, self.name, observed)
        self._placed = observed
        self.begin = self._begin

    def _observed(self, fuse: Fuse, function: Callable[..., Any]) -> Any:
        return _observe(fuse, function, self)

    def undo(self) -> None:
        """Take it away again; if somebody has wrapped ours in the meantime, it stays and observes nothing."""
        placed, self._placed = self._placed, None
        if placed is None:
            return
        self.begin = _leave_alone
        if vars(self.owner).get(self.name) is not placed:
            return
        if self._is_own:
            setattr(self.owner, self.name, self._found)
        else:
            delattr(self.owner, self.name)

    def narrow(self, is_left: Callable[[Any, str], bool]) -> None:
        """Leave alone, from now on, the calls on an object for which `is_left(object, name)` is true."""
        begin = self._begin

        def begin_narrowed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
            return None if args and is_left(args[0], self.name) else begin(args, kwargs)

        self._begin = begin_narrowed
        if self._placed is not None:
            self.begin = begin_narrowed

    def _give_up(self) -> None:
        where = f"{_name_of(self.owner)}.{self.name}"
        report.warn(
            self.unit, "switched off", f"our part of {where} failed {Fuse.MOST} times; it is not traced any more"
        )
        self.undo()


class Around(Patch):
    """A patch that hands other arguments on than it was called with, so that before and after do not suffice.

    `make(original, contained)` returns what stands in the place of `original`. The error boundary is then its own:
    it calls `original` outside of anything that is `contained(function, *arguments)`.
    """

    __slots__ = ("_contained", "_make")

    def __init__(
        self, unit: str, owner: object, name: str, make: Callable[[Callable[..., Any], Contained], Any], takes: str = ""
    ) -> None:
        """Raise DoesNotFit as every patch does."""
        super().__init__(unit, owner, name, _leave_alone, takes)
        self._make = make
        self._contained: Contained

    def _observed(self, fuse: Fuse, function: Callable[..., Any]) -> Any:
        self._contained = fuse.contained
        return functools.wraps(function)(self._make(function, fuse.contained))

    def narrow(self, is_left: Callable[[Any, str], bool]) -> None:
        """Leave alone what others have, as every patch does; not where somebody has wrapped ours in the meantime."""
        if self._placed is None or vars(self.owner).get(self.name) is not self._placed:
            return
        placed: Any = self._placed
        original = _function_of(self._found)

        def call(*args: Any, **kwargs: Any) -> Any:
            is_theirs = args and self._contained(is_left, args[0], self.name)
            return (original if is_theirs else placed)(*args, **kwargs)

        self._placed = functools.wraps(original)(call)
        setattr(self.owner, self.name, self._placed)


def _leave_alone(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    return None


def observe(fuse: Fuse, original: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """Return a function like `original` (same kind, name, signature) that `begin` observes, contained by `fuse`."""
    return _observe(fuse, original, _Watch(begin))


class _Watch:
    __slots__ = ("begin",)

    def __init__(self, begin: Begin) -> None:
        self.begin = begin


def _observe(fuse: Fuse, original: Callable[..., Any], watch: Patch | _Watch) -> Callable[..., Any]:
    flags = getattr(getattr(original, "__code__", None), "co_flags", 0)
    if flags & (_COROUTINE | _ITERABLE_COROUTINE):
        make = _around_coroutine
    elif flags & _ASYNC_GENERATOR:
        make = _around_async_generator
    elif flags & _GENERATOR:
        make = _around_generator
    else:
        make = _around_function
    return functools.wraps(original)(make(fuse.both, original, watch))


def _around_function(contained: Contained, original: Callable[..., Any], watch: Patch | _Watch) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        finish = contained(watch.begin, args, kwargs)
        if finish is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            contained(finish, None, error)
            raise
        contained(finish, result, None)
        return result

    return call


def _around_coroutine(contained: Contained, original: Callable[..., Any], watch: Patch | _Watch) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        finish = contained(watch.begin, args, kwargs)
        if finish is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            contained(finish, None, error)
            raise
        contained(finish, result, None)
        return result

    return call


def _around_generator(contained: Contained, original: Callable[..., Any], watch: Patch | _Watch) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        finish = contained(watch.begin, args, kwargs)
        if finish is None:
            return (yield from original(*args, **kwargs))
        try:
            result = yield from original(*args, **kwargs)
        except BaseException as error:
            # A consumer that stops early throws GeneratorExit in: the end of a good run.
            contained(finish, None, None if isinstance(error, GeneratorExit) else error)
            raise
        contained(finish, result, None)
        return result

    return call


def _around_async_generator(
    contained: Contained, original: Callable[..., Any], watch: Patch | _Watch
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        finish = contained(watch.begin, args, kwargs)
        source = original(*args, **kwargs)
        thrown: BaseException | None = None
        try:
            # There is no `yield from` for these: hand on what the consumer sends and throws (PEP 525).
            item = await source.__anext__()
            while True:
                try:
                    sent = yield item
                except BaseException as error:  # noqa: BLE001 - handed on, two lines below
                    thrown = error
                # Not while `thrown` is being handled: it would become the context of what theirs raises next.
                if thrown is None:
                    item = await source.asend(sent)
                elif isinstance(thrown, GeneratorExit):
                    await source.aclose()
                    raise thrown
                else:
                    item = await source.athrow(thrown)
                    thrown = None
        except StopAsyncIteration:
            if finish is not None:
                contained(finish, None, None)
        except BaseException as error:
            thrown = None  # its traceback holds this frame
            if finish is not None:
                contained(finish, None, None if isinstance(error, GeneratorExit) else error)
            raise

    return call


def _first_other_argument(function: Any, wanted: list[str]) -> str | None:
    """Return the first of the `wanted` names that `function` does not take at that place behind `self`."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is None or not wanted:
        return None
    names = code.co_varnames[1 : code.co_argcount]
    if len(names) < len(wanted) and code.co_flags & _TAKES_ANY:
        return None
    return next((name for at, name in enumerate(wanted) if names[at : at + 1] != (name,)), None)


def _raw_attribute(owner: object, name: str) -> Any:
    """Return what a class or module holds, not what looking it up makes of it: a staticmethod stays one."""
    if not isinstance(owner, type):
        return vars(owner)[name] if name in vars(owner) else getattr(owner, name, None)
    return next((vars(cls)[name] for cls in owner.__mro__ if name in vars(cls)), None)


def _function_of(found: object) -> Any:
    return found.__func__ if isinstance(found, (staticmethod, classmethod)) else found


def _name_of(owner: object) -> str:
    module = getattr(owner, "__module__", None)
    name = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", repr(owner))
    return f"{module}.{name}" if module and isinstance(owner, type) else str(name)

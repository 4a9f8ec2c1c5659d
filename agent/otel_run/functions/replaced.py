"""A function whose code was replaced in place: this file is about doing and undoing it.

The function object stays the same one, so whoever holds it, and whatever is asked about it, stays as it was; only its
`__code__` is a template (see `template`) that calls the original between two calls of an observer.

Each traced level of a recursion takes one more frame of Python's limited stack. Beyond a few, everything that recurses
gets its own code back until the deep call is over; the observer hears nothing of the calls below.
"""

from __future__ import annotations

import sys
import weakref
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, cast

from otel_run import report
from otel_run.boundary import Fuse
from otel_run.functions import template
from otel_run.functions.template_text import DEEPEST
from otel_run.patching.wrap import DoesNotFit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable
    from types import CodeType, FrameType

__all__ = ["DoesNotFit", "Observer", "is_traced", "release", "trace", "untrace"]

# One look at the stack for so many calls that might be deep: in a busy server there are always many at once.
_CALLS_FOR_A_LOOK = 4

# Some exceptions allow no attribute to be set, or have a `__traceback__` of their own.
_traceback = vars(BaseException)["__traceback__"]


class Observer(Protocol):
    """Who is told of the calls of one function."""

    # The names of the parameters whose values it wants.
    arguments: tuple[str, ...]

    def begin(self, values: tuple[Any, ...] | None, /) -> Any:
        """Be told that a call begins; what is returned, unless it is None, is for `end`."""

    def begin_apart(self, values: tuple[Any, ...] | None, /) -> Any:
        """Be told that a generator takes its first step."""

    def resume(self, begun: Any, /) -> None:
        """Be told before each step of it."""

    def pause(self, begun: Any, /) -> None:
        """Be told after each step but the last."""

    def end(self, begun: Any, error: BaseException | None, /) -> None:
        """Be told that the call, or the last step, is over, and which exception left it."""


def trace(function: FunctionType, observer: Observer) -> None:
    """Let `observer` be told of each call of `function` from now on. Raise DoesNotFit if that can't be."""
    if type(function) is not FunctionType:
        raise DoesNotFit(f"it is a {type(function).__name__}, and no function written in Python")
    if not template.is_function(function.__code__):
        raise DoesNotFit("its code is not that of a function")
    if is_traced(function):
        raise DoesNotFit("it is traced already")
    unknown = set(observer.arguments) - set(template.parameters(function.__code__))
    if unknown:
        raise DoesNotFit(f"it takes no argument {', '.join(sorted(unknown))}")
    replacement = _Replacement(function, observer)
    _by_function[id(function)] = _by_template[id(replacement.template)] = replacement
    replacement.settle()


def is_traced(function: object) -> bool:
    """Tell whether `function` is traced: also while it has its own code back, in a deep recursion."""
    replacement = _by_function.get(id(function))
    return replacement is not None and replacement.is_in_place()


def untrace(function: FunctionType) -> None:
    """Give `function` its own code back; the calls that are going on are told to the end."""
    replacement = _by_function.pop(id(function), None)
    if replacement is not None:
        replacement.is_traced = False
        replacement.settle()


def release(for_good: bool) -> None:
    """Give all functions their own code back if the process ends `for_good`.

    What a code refers to is hidden from the garbage collector: it would spare the globals of each function, of which
    no file were flushed then, and no destructor called.
    """
    while _by_template and for_good:
        _, replacement = _by_template.popitem()
        _by_function.pop(id(replacement.function), None)
        replacement.let_go()


def _nothing(_values: tuple[Any, ...] | None) -> None:
    return None


class _Seat:
    """What a template asks of us. This one is nobody's: a code that is pickled comes out with it elsewhere."""

    __slots__ = ("begin", "contained", "original", "pause", "resume")

    def __init__(self, original: Any) -> None:
        self.original = original
        self.begin: Any = _nothing
        self.contained: Any = _nothing
        self.resume: Any = _nothing
        self.pause: Any = _nothing

    def __reduce__(self) -> tuple[Any, ...]:
        # A code is pickled by value by some (cloudpickle): there, and by then, nobody observes it.
        return _Seat, (self.original,)

    # What follows is called by the template alone: once for a call or step, as cheap as it can be.

    begin_deep = staticmethod(_nothing)

    def failed_to_begin(self, error: Exception) -> None:
        """Be told of an error in `begin`."""

    def left(self, begun: Any, error: BaseException) -> None:
        """Take the template out of the traceback of what has left it, and end what has begun."""
        _drop_entry(error, sys._getframe(1))
        if begun is not None:
            self.end(begun, error)

    def end(self, begun: Any, error: BaseException | None) -> None:
        """End what has begun."""

    @staticmethod
    def thrown(error: BaseException) -> None:
        """Take the template out of the traceback of what was thrown into it, and is handed on."""
        _drop_entry(error, sys._getframe(1))

    @staticmethod
    def is_apart(begun: Any) -> bool:
        """Tell whether the steps of a generator are to be told."""
        return begun is not None and type(begun) is not _Deep

    @staticmethod
    def first_step(source: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
        """Take the first step of the original without an event loop's hooks: it knows ours, and would close both."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return source.asend(None)
        finally:
            sys.set_asyncgen_hooks(*hooks)


class _Replacement(_Seat):
    """The replaced code of one function."""

    __slots__ = ("_deep", "_fuse", "_observer", "_original", "function", "is_traced", "template")

    def __init__(self, function: FunctionType, observer: Observer) -> None:
        code = function.__code__
        self.function = function
        self.is_traced = True
        self._original = code
        self._observer = observer
        self._deep: set[_Deep] = set()
        self._fuse = Fuse(f"function {function.__module__}:{function.__qualname__}", self._give_up)
        self.begin = observer.begin_apart if template.is_apart(code) else observer.begin
        self.contained, self.resume, self.pause = self._fuse.contained, observer.resume, observer.pause
        # No defaults: it is always given all of its arguments.
        copy = FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)
        copy.__qualname__ = function.__qualname__
        self.original = copy
        self.template = template.fill(code, tuple(observer.arguments), self, _live)

    def begin_deep(self, values: tuple[Any, ...] | None) -> Any:
        """Begin, where there are so many traced calls that this may be one too many in one another."""
        _live.looks += 1
        if _live.looks % _CALLS_FOR_A_LOOK == 0:
            above = _templates_above(sys._getframe(1))
            if len(above) >= DEEPEST:
                return _Deep(set(above))
        return self.begin(values)

    def failed_to_begin(self, error: Exception) -> None:
        """Count an error in `begin`."""
        self._fuse.take(error)

    def end(self, begun: Any, error: BaseException | None) -> None:
        """End what has begun: a call that is told, or a deep one."""
        if type(begun) is _Deep:
            begun.end()
        else:
            self._fuse.both(self._observer.end, begun, error)

    def recurse(self, deep: _Deep) -> None:
        """Have the function's own code until that deep call is over."""
        self._deep.add(deep)
        self.settle()

    def return_from(self, deep: _Deep) -> None:
        """Have the template again, unless another thread is deep in the function."""
        self._deep.discard(deep)
        self.settle()

    def settle(self) -> None:
        """Give the function the code that it should have now.

        Without a lock, which a signal's handler or a fork could find taken: whoever has set it looks once more.
        """
        while True:
            code = self._original if self._deep or not self.is_traced else self.template
            if self.function.__code__ is code or not self.is_in_place():
                return
            self.function.__code__ = code

    def let_go(self) -> None:
        """Have the function's own code for good, and keep nothing of the program: a template may still be running."""
        self.is_traced = False
        self.settle()
        self.begin = _nothing
        self.original = weakref.proxy(self.function)
        self.function = cast("FunctionType", _nothing)  # any other, so that it can go

    def is_in_place(self) -> bool:
        """Tell whether nobody else has given the function another code, as some do to reload it."""
        code = self.function.__code__
        return code is self.template or code is self._original

    def _give_up(self) -> None:
        report.warn(
            self._fuse.unit, "switched off", f"our part of it failed {Fuse.MOST} times; it is not traced any more"
        )
        untrace(self.function)


class _Deep:
    """One call that recurses too deep: those functions have their own code as long as it lasts."""

    __slots__ = ("_recursing",)

    def __init__(self, recursing: set[_Replacement]) -> None:
        self._recursing = recursing
        try:
            for replacement in recursing:
                replacement.recurse(self)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Let them be traced again."""
        for replacement in self._recursing:
            replacement.return_from(self)


class _Live:
    """How many calls of all traced functions are going on: an upper bound for those in one another.

    It is all that an ordinary call pays for it. Those of other threads count, and coroutines that wait.
    """

    __slots__ = ("frames", "looks")

    def __init__(self) -> None:
        self.frames = 0
        self.looks = 0

    def __reduce__(self) -> str:
        return "_live"


_live = _Live()
# By identity: the hash of a code object takes as long as its constants are many. Both are kept until the end, since
# the garbage collector doesn't see how a template refers to its function.
_by_function: dict[int, _Replacement] = {}
_by_template: dict[int, _Replacement] = {}


def _templates_above(frame: FrameType | None) -> list[_Replacement]:
    """Return whose templates are running, from `frame` outwards, up to the greatest depth that we allow."""
    found: list[_Replacement] = []
    while frame is not None and len(found) < DEEPEST:
        code: CodeType = frame.f_code
        replacement = _by_template.get(id(code))
        if replacement is not None:
            found.append(replacement)
        frame = frame.f_back
    return found


def _drop_entry(error: BaseException, frame: FrameType) -> None:
    # Not if another thread has the same exception in hand, and has put its own entry first.
    traceback = _traceback.__get__(error)
    if traceback is not None and traceback.tb_frame is frame:
        _traceback.__set__(error, traceback.tb_next)

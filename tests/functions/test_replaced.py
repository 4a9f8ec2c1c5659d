"""A traced function stays what it was, for whoever calls it and whoever asks about it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import doctest
import functools
import gc
import inspect
import pickle
import pydoc
import sys
import threading
import traceback
import types
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from functions.recorder import Recorder, pair
from otel_run import boundary, report
from otel_run.functions import replaced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

SHOWS_US = sys.version_info < (3, 11)
LETS_GO = sys.version_info >= (3, 12)


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, Any]:
    try:
        return "returned", function(*args, **kwargs)
    except TypeError as error:
        return type(error).__name__, str(error)


def signatures() -> list[Callable[..., Any]]:
    """Return functions of all kinds of signatures; each returns its arguments."""
    begun = frames = error = result = passing = 1

    def none():
        return ()

    def plain(a, b=2):
        return a, b

    def positional_only(a, b=2, /):
        return a, b

    def mixed(a, /, b, c=3):
        return a, b, c

    def keyword_only(*, a, b=2):
        return a, b

    def some(a, *args):
        return a, args

    def any_keyword(a, **kwargs):
        return a, kwargs

    def everything(a, b=2, /, c=3, *args, d, e=5, **kwargs):
        return a, b, c, args, d, e, kwargs

    def anything(*args, **kwargs):
        return args, kwargs

    def ours(begun, frames, *error, p0=1, result=2, **passing):
        return begun, frames, error, p0, result, passing

    def free(a, *, b=1):
        return a, b, begun, frames, error, result, passing

    def lets_go(a, b=2, *args, d=3, **kwargs):
        seen = a, b, args, d, kwargs
        a = b = args = d = kwargs = None
        return seen

    return [value for name, value in locals().items() if isinstance(value, types.FunctionType)]


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}), ((1,), {}), ((1, 2), {}), ((1, 2, 3, 4), {}), ((1,), {"b": 3}), ((), {"a": 1}), ((1,), {"d": 4, "x": 5}),
    ((1, 2, 3, 4), {"d": 5, "e": 6, "z": 7, "y": 8}), ((1,), {"a": 2}), ((1, 2), {"p0": 3, "more": 4}),
]  # fmt: skip


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("at", range(len(signatures())), ids=[function.__name__ for function in signatures()])
def test_every_signature_gets_what_it_would_and_complains_as_it_would(at: int, begins: bool) -> None:
    bare, traced, recorder = pair(lambda: signatures()[at], begins=begins)
    for args, kwargs in CALLS:
        recorder.told.clear()
        came = outcome(traced, *args, **kwargs)
        assert came == outcome(bare, *args, **kwargs)
        heard = ["begin", "end"] if begins else ["begin"]
        assert recorder.told == (heard if came[0] == "returned" else [])
    assert inspect.signature(traced) == inspect.signature(bare)
    count = len(inspect.signature(bare).parameters)
    for name in (
        "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_firstlineno", "co_filename", "co_name",
        "co_flags", "co_freevars", *(["co_qualname"] if sys.version_info >= (3, 11) else []),
    ):  # fmt: skip
        assert getattr(traced.__code__, name) == getattr(bare.__code__, name), name
    assert traced.__code__.co_varnames[:count] == bare.__code__.co_varnames[:count]
    hash(traced.__code__)


def test_the_observer_gets_the_arguments_that_it_wants_in_its_order() -> None:
    def make() -> Any:
        def f(a: int, /, b: int = 2, *args: int, c: int = 3, **kwargs: int) -> None:
            del a

        return f

    _, traced, recorder = pair(make, "kwargs", "c", "a", "args")
    traced(1, 2, 5, c=4, d=6)
    assert recorder.told == [("begin", {"d": 6}, 4, 1, (5,)), "end"]
    with pytest.raises(replaced.DoesNotFit, match="it takes no argument nothing"):
        replaced.trace(make(), Recorder("nothing"))


def test_defaults_stay_the_functions_own() -> None:
    def f(a: int = 1, *, b: int = 2) -> tuple[int, int]:
        return a, b

    replaced.trace(f, Recorder())
    assert f() == (1, 2)
    f.__defaults__, f.__kwdefaults__ = (3,), {"b": 4}
    assert f() == (3, 4)


class Boundary:
    """What the classes of a program have."""

    __secret = 1

    def method(self, __hidden: int = 3) -> tuple[str, int, int]:  # noqa: PYI063 - a mangled name is what is tried
        """Say something.

        >>> Boundary().method()
        ('Boundary', 1, 3)
        """
        return __class__.__name__, self.__secret, __hidden  # type: ignore[name-defined]

    @functools.lru_cache  # noqa: B019 - it is what is traced here
    def cached(self) -> object:
        return object()

    @functools.cached_property
    def once(self) -> object:
        return object()

    @functools.singledispatchmethod
    def kind(self, value: object) -> str:
        return "object"

    @kind.register
    def _of_int(self, value: int) -> str:
        return "int"

    @staticmethod
    def static(a: int) -> int:
        return a

    @classmethod
    def of_class(cls) -> type:
        return cls

    def __repr__(self) -> str:
        return f"<{super().__repr__()[:1]}>"

    @contextlib.contextmanager
    def block(self) -> Iterator[int]:
        try:
            yield 1
        except KeyError:
            yield 2


@dataclasses.dataclass
class Data:
    a: int = 1

    def __post_init__(self) -> None:
        self.a += 1


class Row(NamedTuple):
    a: int

    def double(self) -> int:
        return self.a * 2


def importable(a: int) -> int:
    """Double it."""
    return a * 2


def test_classes_and_decorators_work_as_before() -> None:
    recorder = Recorder()
    own: dict[str, Any] = vars(Boundary)
    functions = [
        own["method"], own["cached"].__wrapped__, own["once"].func, own["kind"].func, own["_of_int"],
        own["static"].__func__, own["of_class"].__func__, own["__repr__"], own["block"].__wrapped__,
        vars(Data)["__post_init__"], vars(Data)["__init__"], vars(Data)["__eq__"], vars(Row)["double"], importable,
    ]  # fmt: skip
    try:
        for function in functions:
            replaced.trace(function, recorder)
        made = Boundary()
        assert made.method() == ("Boundary", 1, 3)
        assert made.cached() is made.cached()
        assert made.once is made.once
        assert (made.kind(1), made.kind("")) == ("int", "object")
        assert (made.static(3), made.of_class()) == (3, Boundary)
        assert repr(made) == "<<>"
        with made.block() as one:
            assert one == 1
        with pytest.raises(RuntimeError, match="generator didn't stop after throw"), made.block():
            raise KeyError
        assert (Data(3), Row(2).double()) == (Data(3), 4)
        assert recorder.told.count("begin") == 14
        assert pickle.loads(pickle.dumps(importable)) is importable
        assert copy.deepcopy(importable) is copy.copy(importable) is importable
        assert functools.partial(importable, 3)() == 6
        assert inspect.getsource(importable).startswith("def importable")
        assert inspect.getsourcefile(importable) == __file__
        assert pydoc.render_doc(importable, renderer=pydoc.plaintext).endswith("Double it.\n")
        assert inspect.unwrap(importable) is importable
        finder = doctest.DocTestFinder(recurse=False)
        (test,) = finder.find(own["method"], "method", globs={"Boundary": Boundary})
        assert doctest.DocTestRunner().run(test) == (0, 1)
    finally:
        for function in functions:
            replaced.untrace(function)
    recorder.told.clear()
    importable(1)
    assert recorder.told == []


def test_the_kind_of_a_function_stays() -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[None]:
        yield

    async def async_generator() -> AsyncIterator[None]:
        yield

    @types.coroutine
    def old() -> Iterator[int]:
        return (yield 3)

    tests = [
        inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction,
    ]  # fmt: skip
    for function in (coroutine, generator, async_generator, old):
        before = [test(function) for test in tests]
        replaced.trace(function, Recorder())
        assert [test(function) for test in tests] == before
    made = old()
    assert inspect.isawaitable(made)

    async def waits() -> Any:
        return await old()

    running = waits()
    assert running.send(None) == 3
    with pytest.raises(StopIteration) as stopped:
        running.send("sent")
    assert stopped.value.value == "sent"


def test_what_has_no_code_of_python_is_refused() -> None:
    for thing, why in [(len, "it is a builtin_function_or_method"), (Boundary, "it is a type")]:
        with pytest.raises(replaced.DoesNotFit, match=why):
            replaced.trace(thing, Recorder())  # type: ignore[arg-type]
    module = types.FunctionType(compile("x = 1", "m", "exec"), {})
    with pytest.raises(replaced.DoesNotFit, match="not that of a function"):
        replaced.trace(module, Recorder())


@pytest.mark.parametrize("begins", [True, False])
def test_an_exception_leaves_as_it_came(begins: bool) -> None:
    cause = KeyError("cause")
    raised = ValueError("theirs")

    def make() -> Any:
        def f() -> None:
            raise raised from cause

        return f

    _, traced, recorder = pair(make, begins=begins)
    around = OSError("handled by the caller")
    try:
        raise around
    except OSError:
        with pytest.raises(ValueError, match="theirs") as caught:
            traced()
        assert sys.exc_info()[1] is around
    assert caught.value is raised
    assert (raised.__cause__, raised.__context__) == (cause, around)
    names = [entry.name for entry in traceback.extract_tb(raised.__traceback__)]
    assert names[-1 - SHOWS_US :] == ["f"] * (1 + SHOWS_US)
    assert names[-2 - SHOWS_US] == "test_an_exception_leaves_as_it_came"
    assert recorder.told == (["begin", ("end", "ValueError")] if begins else ["begin"])


def test_exceptions_that_allow_no_change_leave_too() -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    class Odd(Exception):
        @property
        def __traceback__(self) -> Any:  # type: ignore[override]
            raise AssertionError

    for error in (Frozen(3), Odd()):

        def f(error: BaseException = error) -> None:
            raise error

        replaced.trace(f, Recorder())
        try:
            f()
        except (Frozen, Odd) as caught:
            came: BaseException = caught
        assert came is error


class Thing:
    """An object whose end can be seen."""


def test_nothing_is_kept_longer_than_by_a_plain_call() -> None:
    def make_returning() -> Any:
        def f(a: Thing) -> Thing:
            return Thing()

        return f

    def make_raising() -> Any:
        def f(a: Thing) -> None:
            raise ValueError(a)

        return f

    def make_letting_go() -> Any:
        def f(a: Thing, *rest: object, k: object = None, **more: object) -> bool:
            end = weakref.ref(a)
            del a
            return end() is None

        return f

    async def drops(a: Thing) -> bool:
        end = weakref.ref(a)
        a = None  # type: ignore[assignment]
        await asyncio.sleep(0)
        return end() is None

    gc.disable()
    try:
        _, traced, _ = pair(make_returning)
        argument = Thing()
        ends = [weakref.ref(argument), weakref.ref(traced(argument))]
        del argument
        _, traced, _ = pair(make_raising)
        argument = Thing()
        try:
            traced(argument)
        except ValueError as error:
            ends += [weakref.ref(argument)]
            del argument
            error.args = ()
            error.__traceback__.tb_next.tb_frame.clear()  # type: ignore[union-attr]
            if SHOWS_US:
                error.__traceback__.tb_next.tb_next.tb_frame.clear()  # type: ignore[union-attr]
            assert ends[-1]() is None
        assert [end() for end in ends] == [None] * 3
        bare, traced, _ = pair(make_letting_go)
        for keywords in ({}, {"k": 1, "x": 2}):
            # Not in the assertion: pytest keeps what stands there.
            went = bare(Thing(), 1, **keywords), traced(Thing(), 1, **keywords)
            assert went == (LETS_GO, LETS_GO)
        replaced.trace(drops, Recorder())
        went_early = asyncio.run(drops(Thing()))
        assert went_early
    finally:
        gc.enable()


def test_coroutines_that_are_cancelled_closed_or_never_awaited_end_as_ever() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(60)

    recorder = Recorder()
    replaced.trace(sleeps, recorder)

    async def cancels() -> None:
        task = asyncio.ensure_future(sleeps())
        await asyncio.sleep(0)
        assert recorder.current == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancels())
    assert recorder.told == ["begin", ("end", "CancelledError")]
    recorder.told.clear()
    with pytest.warns(RuntimeWarning, match=r"coroutine '.*<locals>\.sleeps' was never awaited"):
        sleeps()
    assert recorder.told == []
    waiting = sleeps()
    waiting.close()
    assert recorder.told == []

    @types.coroutine
    def pause() -> Iterator[None]:
        yield

    async def waits() -> None:
        await pause()

    replaced.trace(waits, recorder)
    begun = waits()
    begun.send(None)
    begun.close()
    assert recorder.told == ["begin", ("end", "GeneratorExit")]


def test_global_and_nonlocal_names_are_the_functions_own() -> None:
    count = 0

    def f() -> int:
        nonlocal count
        global made_by_test
        made_by_test = count = count + 1  # type: ignore[name-defined]
        return count

    replaced.trace(f, Recorder())
    assert (f(), f(), count, globals().pop("made_by_test")) == (1, 2, 2, 2)


@pytest.mark.parametrize("fails", ["begin", "end"])
def test_an_observer_that_fails_three_times_is_taken_away_and_said(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(boundary, "strict", False)
    monkeypatch.setattr(boundary, "_listeners", [report.tell_error])
    monkeypatch.setattr(report, "contained_errors", {})
    monkeypatch.setattr(report, "say", lines.append)

    def f(a: int) -> float:
        return 1 / a

    own = f.__code__
    recorder = Recorder(fails=fails)
    replaced.trace(f, recorder)
    with pytest.raises(ZeroDivisionError) as caught:
        f(0)
    assert caught.value.__context__ is None
    assert [f(1) for _ in range(4)] == [1] * 4
    assert f.__code__ is own
    assert not replaced.is_traced(f)
    assert len([told for told in recorder.told if told == fails or told[0] == fails]) == 3
    where = f"function {__name__}:{f.__qualname__}"
    assert lines == [
        f"{where}: failed: ValueError: a mistake of ours; the program and everything else go on without it",
        f"{where}: switched off: our part of it failed 3 times; it is not traced any more",
    ]


def test_our_own_errors_are_raised_again_in_strict_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "strict", True)
    for fails in ("begin", "end"):

        def f() -> None: ...

        replaced.trace(f, Recorder(fails=fails))
        with pytest.raises(ValueError, match="a mistake of ours"):
            f()


def test_a_function_is_replaced_and_given_back_while_threads_call_it() -> None:
    def f(a: int) -> int:
        return a + 1

    over = threading.Event()
    wrong: list[object] = []

    def calls() -> None:
        while not over.is_set():
            if f(1) != 2:
                wrong.append("other result")

    threads = [threading.Thread(target=calls) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        replaced.trace(f, Recorder())
        assert replaced.is_traced(f)
        replaced.untrace(f)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_function_that_runs_just_now_goes_on_and_is_traced_from_the_next_call() -> None:
    recorder = Recorder()

    def f(inner: bool) -> str:
        if not inner:
            replaced.trace(f, recorder)
            assert f(True) == "done"
        return "done"

    assert f(False) == "done"
    assert recorder.told == ["begin", "end"]


def test_a_function_that_others_have_given_a_new_code_is_theirs() -> None:
    def f() -> int:
        return 1

    def newer() -> int:
        return 2

    recorder = Recorder()
    replaced.trace(f, recorder)
    f.__code__ = newer.__code__
    assert not replaced.is_traced(f)
    replaced.untrace(f)
    assert (f(), recorder.told) == (2, [])
    replaced.trace(f, recorder)
    assert (f(), recorder.told) == (2, ["begin", "end"])


def test_a_tracer_sees_the_lines_of_the_body_and_of_ours_only_the_first() -> None:
    def make() -> Any:
        def f(a: int) -> int:
            b = a + 1
            return b - 1

        return f

    bare, traced, _ = pair(make)
    lines: set[int] = set()

    def trace(frame: types.FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename == __file__ and frame.f_code.co_name == "f":
            assert frame.f_lineno is not None
            assert isinstance(frame.f_locals, object)
            if event == "line":
                lines.add(frame.f_lineno - bare.__code__.co_firstlineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        traced(1)
    finally:
        sys.settrace(before)
    assert lines == {0, 1, 2}


def test_a_profiler_sees_free_variables_where_they_are() -> None:
    value = 3

    def f() -> int:
        return value

    replaced.trace(f, Recorder())
    seen: list[Any] = []

    def profile(frame: types.FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "f":
            seen.append(frame.f_locals.get("value"))

    sys.setprofile(profile)
    try:
        f()
    finally:
        sys.setprofile(None)
    assert seen == [3, 3]
    assert f.__code__.co_freevars == ("value",)
    assert len(f.__closure__ or ()) == 1

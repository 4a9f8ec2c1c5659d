"""An observed function is the function: same calls, results, errors and looks, whatever ours does beside it."""

from __future__ import annotations

import abc
import asyncio
import inspect
import pickle
import types
from typing import TYPE_CHECKING, Any

import pytest

from otel_run import boundary
from otel_run.boundary import Fuse
from otel_run.patching.wrap import observe
from patching.observed import KINDS, Library, Seen, new_library, patch

if TYPE_CHECKING:
    pass

FUSE = Fuse("test", lambda: None)


@pytest.fixture
def library() -> type[Library]:
    return new_library()


@pytest.fixture
def contained(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Contain our errors as in production, and list them."""
    errors: list[Exception] = []
    monkeypatch.setattr(boundary, "strict", False)
    monkeypatch.setattr(boundary, "_listeners", [lambda unit, error: errors.append(error)])
    return errors


def _raise(*args: object) -> Any:
    raise ValueError("a mistake of ours")


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_is_observed_and_its_result_and_error_pass(kind: str, library: type[Library]) -> None:
    seen = Seen()
    patch(library, kind, seen)
    it = library()
    assert it.call(kind, many=3) == 3
    assert seen.begun == [(it, {"many": 3})]
    assert seen.finished == [(3 if kind in ("function", "coroutine") else None, None)]
    error = KeyError("theirs")
    with pytest.raises(KeyError) as caught:
        it.call(kind, error)
    assert caught.value is error
    assert seen.finished[1:] == [(None, error)]


MISTAKES = {
    "begin raises": (_raise, 1),
    "finish raises": (lambda *args: _raise, 1),
    "finish can't be called": (lambda *args: "what", 1),
    "begin says no": (lambda *args: None, 0),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_of_ours_changes_neither_result_nor_error(
    kind: str, mistake: str, library: type[Library], contained: list[Exception]
) -> None:
    begin, count = MISTAKES[mistake]
    patch(library, kind, begin)
    assert library().call(kind, many=3) == 3
    assert len(contained) == count
    cause, context = OSError("cause"), OSError("context")
    error: Any = KeyError("theirs")
    error.__cause__, error.__context__ = cause, context
    error.__notes__ = ["a note"]
    with pytest.raises(KeyError) as caught:
        library().call(kind, error)
    assert caught.value is error
    assert (error.__cause__, error.__context__, error.__notes__) == (cause, context, ["a note"])
    plain = KeyError("without a context")
    with pytest.raises(KeyError):
        library().call(kind, plain)
    assert (plain.__cause__, plain.__context__, plain.__suppress_context__) == (None, None, False)


def _step(kind: str, given: Any, error: BaseException) -> None:
    if kind == "function":
        given.function(error)
    elif kind == "generator":
        next(given)
    else:
        step = given if kind == "coroutine" else given.__anext__()
        step.send(None)
        step.send(None)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_exception_passes_too(kind: str, error: BaseException, library: type[Library]) -> None:
    seen = Seen()
    patch(library, kind, seen)
    # By hand: asyncio.run() has its own ways with these.
    with pytest.raises(type(error)) as caught:
        _step(kind, getattr(library(), kind.replace(" ", "_"))(error) if kind != "function" else library(), error)
    assert caught.value is error
    assert seen.finished == [(None, error)]


@pytest.mark.parametrize("kind", KINDS)
def test_it_looks_as_before(kind: str, library: type[Library]) -> None:
    name = kind.replace(" ", "_")
    before = vars(library)[name]
    before.extra = "kept"
    patch(library, kind, Seen())
    after = vars(library)[name]
    assert after is not before
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "extra"):
        assert getattr(after, attribute) == getattr(before, attribute)
    assert inspect.signature(after) == inspect.signature(before)
    assert inspect.getsource(after) == inspect.getsource(before)
    for question in (
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert question(after) == question(before)
    assert inspect.ismethod(getattr(library(), name))


def test_kinds_of_what_is_returned_stay(library: type[Library]) -> None:
    wanted: Any = (int, types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
    for kind, cls in zip(KINDS, wanted, strict=True):
        patch(library, kind, Seen())
        method = getattr(library(), kind.replace(" ", "_"))
        given: Any = method()
        assert type(given) is cls
        assert getattr(given, "__qualname__", "") in ("", method.__qualname__), "the name that a warning shows"
        if kind == "coroutine":
            given.close()


def test_a_recursion_is_observed_at_each_level_and_its_end_is_theirs(contained: list[Exception]) -> None:
    class Deep:
        def fall(self, depth: int) -> int:
            return depth and self.fall(depth - 1)

    seen = Seen()
    patch(Deep, "fall", seen)
    assert Deep().fall(5) == 0
    assert len(seen.finished) == 6
    with pytest.raises(RecursionError):
        Deep().fall(10**9)


def test_an_abstract_method_stays_abstract_and_a_method_pickles_by_name() -> None:
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def must(self) -> None: ...

    patch(Abstract, "must", Seen())
    assert Abstract.must.__isabstractmethod__  # type: ignore[attr-defined]
    made = patch(Library, "function", Seen())
    try:
        assert pickle.loads(pickle.dumps(Library.function)) is Library.function
    finally:
        made.undo()


def test_arguments_arrive_as_the_objects_they_are() -> None:
    given, kwargs = [1], {"begin": 1, "unit": 2, "self": 3, "args": 4, "original": 5}

    def f(*a: object, **k: object) -> object:
        return (a[0] is given, k)

    assert observe(FUSE, f, lambda args, kw: kw.clear())(given, **kwargs) == (True, {})  # begin sees the real ones
    assert observe(FUSE, f, Seen())(given, **kwargs) == (True, kwargs)

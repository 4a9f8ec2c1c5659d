"""A traced generator is resumed, thrown into, closed and abandoned as any; its span is current in its body alone."""

from __future__ import annotations

import asyncio
import gc
import sys
import traceback
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from functions.recorder import Recorder, pair
from otel_run.functions import replaced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Step = tuple[str, Any]


def echoes() -> Any:
    def body(log: list[Any]) -> Iterator[Any]:
        got = "first"
        for _ in range(3):
            try:
                got = yield got
            except KeyError as error:
                got = f"caught {error}"
                log.append((error.__context__, sys.exc_info()[1] is error))
            log.append(sys.exc_info()[1])
        return "result"

    return body


def ignores_the_end() -> Any:
    def body(log: list[Any]) -> Iterator[Any]:
        while len(log) < 2:
            try:
                yield 1
            except GeneratorExit:
                log.append("ignored")
        return "at last"

    return body


def returns_at_the_end() -> Any:
    def body(log: list[Any]) -> Iterator[Any]:
        try:
            yield 1
        except GeneratorExit:
            return ("closed", 1)
        finally:
            log.append("finally")

    return body


def raises() -> Any:
    def body(log: list[Any]) -> Iterator[Any]:
        try:
            yield 1
        finally:
            log.append(sys.exc_info()[0])
            raise OSError("its own")

    return body


def stops_by_error() -> Any:
    def body(log: list[Any]) -> Iterator[Any]:
        yield 1
        raise StopIteration("old style")

    return body


NEXT, CLOSE = ("send", None), ("close", None)
STORIES: list[tuple[Callable[[], Any], list[Step]]] = [
    (echoes, [NEXT, ("send", 3), ("send", None), ("send", 5), NEXT]),
    (echoes, [("send", "too early"), NEXT, ("throw", KeyError("k")), ("throw", ValueError("v")), NEXT, CLOSE]),
    (echoes, [NEXT, ("throw", KeyError), ("throw", GeneratorExit), CLOSE]),
    (echoes, [CLOSE, NEXT]),
    (echoes, [("throw", KeyError("before the start")), NEXT]),
    (echoes, [NEXT, ("throw", StopIteration("x")), NEXT]),
    (ignores_the_end, [NEXT, CLOSE, NEXT, CLOSE, NEXT]),
    (returns_at_the_end, [NEXT, CLOSE, CLOSE]),
    (returns_at_the_end, [NEXT, NEXT]),
    (raises, [NEXT, CLOSE, NEXT]),
    (raises, [NEXT, NEXT]),
    (stops_by_error, [NEXT, NEXT, NEXT]),
]


def told_of(error: BaseException) -> Any:
    names = [entry.name for entry in traceback.extract_tb(error.__traceback__)]
    if sys.version_info < (3, 11):
        names = [name for name in names if name != "body"]
    chain = [type(error.__cause__), type(error.__context__)]
    return type(error), str(error), getattr(error, "value", None), chain, names


def tell(function: Any, steps: list[Step]) -> list[Any]:
    """Return all that can be seen of a generator which is used in these `steps`, by a consumer in an `except`."""
    log: list[Any] = []
    made = function(log)
    seen: list[Any] = [made.__name__, type(made)]
    around = LookupError("handled by the consumer")
    for what, value in steps:
        given = type(value)(*value.args) if isinstance(value, BaseException) else value
        try:
            raise around
        except LookupError:
            try:
                seen.append(getattr(made, what)(*([] if what == "close" else [given])))
            except BaseException as error:  # noqa: BLE001 - both must raise the same
                seen += [told_of(error), error is given, sys.exc_info()[1] is error]
    return [*seen, [entry if isinstance(entry, (str, type)) else repr(entry) for entry in log]]


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize(("make", "steps"), STORIES)
def test_a_generator_does_what_it_would(make: Callable[[], Any], steps: list[Step], begins: bool) -> None:
    bare, traced, recorder = pair(make, begins=begins)
    assert tell(traced, steps) == tell(bare, steps)
    gc.collect()
    assert recorder.current == 0


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize(("make", "steps"), [story for story in STORIES if story[0] is not ignores_the_end])
def test_an_async_generator_does_what_it_would(make: Callable[[], Any], steps: list[Step], begins: bool) -> None:
    def make_async() -> Any:
        inner = make()

        async def body(log: list[Any]) -> AsyncIterator[Any]:
            source = inner(log)
            got = await asyncio.sleep(0)
            thrown = None
            while True:
                try:
                    item = source.send(got) if thrown is None else source.throw(thrown)
                except StopIteration:
                    return
                thrown = None
                try:
                    got = yield item
                except BaseException as error:  # noqa: BLE001 - handed on
                    thrown = error
                await asyncio.sleep(0)

        return body

    async def tell_async(function: Any) -> list[Any]:
        log: list[Any] = []
        made = function(log)
        seen: list[Any] = [made.__name__, type(made)]
        for what, value in steps:
            given = type(value)(*value.args) if isinstance(value, BaseException) else value
            try:
                seen.append(await getattr(made, f"a{what}")(*([] if what == "close" else [given])))
            except BaseException as error:  # noqa: BLE001 - both must raise the same
                seen += [told_of(error), error is given]
        return [*seen, [entry if isinstance(entry, (str, type)) else repr(entry) for entry in log]]

    bare, traced, recorder = pair(make_async, begins=begins)
    assert asyncio.run(tell_async(traced)) == asyncio.run(tell_async(bare))
    assert recorder.current == 0


@pytest.mark.parametrize("begins", [True, False])
def test_an_async_generator_that_ignores_its_end_is_complained_of(begins: bool) -> None:
    def make() -> Any:
        async def body() -> AsyncIterator[int]:
            try:
                yield 1
            except GeneratorExit:
                yield 2

        return body

    async def story(function: Any) -> list[Any]:
        made = function()
        seen: list[Any] = [await made.__anext__()]
        for step in (made.aclose, made.__anext__, made.aclose):
            try:
                seen.append(await step())
            except (RuntimeError, StopAsyncIteration) as error:
                seen.append(repr(error))
        return seen

    bare, traced, recorder = pair(make, begins=begins)
    assert asyncio.run(story(traced)) == asyncio.run(story(bare))
    gc.collect()
    assert recorder.current == 0


def test_the_span_is_current_in_the_body_alone() -> None:
    recorder = Recorder("n")
    inside: list[int] = []

    def counts(n: int) -> Iterator[int]:
        for at in range(n):
            inside.append(recorder.current)
            yield at

    replaced.trace(counts, recorder)
    outside = [recorder.current for _ in counts(2)]
    assert (inside, outside) == ([1, 1], [0, 0])
    assert recorder.told == [("begin_apart", 2), "resume", "pause", "resume", "pause", "resume", "end"]


def test_the_span_of_an_async_generator_is_current_while_its_body_waits() -> None:
    recorder = Recorder()
    inside: list[int] = []

    async def counts() -> AsyncIterator[int]:
        for at in range(2):
            await asyncio.sleep(0)
            inside.append(recorder.current)
            yield at

    replaced.trace(counts, recorder)

    async def consumes() -> list[int]:
        return [recorder.current async for _ in counts()]

    assert asyncio.run(consumes()) == [0, 0]
    assert inside == [1, 1]
    assert recorder.told == ["begin_apart", "resume", "pause", "resume", "pause", "resume", "end"]


def test_a_generator_that_was_never_started_begins_nothing() -> None:
    recorder = Recorder()

    def f() -> Iterator[int]:
        yield 1

    async def g() -> AsyncIterator[int]:
        yield 1

    for function in (f, g):
        replaced.trace(function, recorder)
        function()
    f().close()
    assert recorder.told == []


def test_an_abandoned_generator_ends_when_it_is_collected() -> None:
    recorder = Recorder()
    ended: list[str] = []

    def f() -> Iterator[int]:
        try:
            yield 1
        finally:
            ended.append("f")

    replaced.trace(f, recorder)
    next(f())
    assert ended == ["f"]
    assert recorder.told == ["begin_apart", "resume", "pause", "resume", ("end", "GeneratorExit")]


def test_an_event_loop_closes_an_abandoned_async_generator_once() -> None:
    async def waits_at_the_end(ended: list[str]) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.01)
            ended.append("ended")

    complaints: list[Any] = []

    async def abandons(ended: list[str], keeps: list[Any]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        made = waits_at_the_end(ended)
        await made.__anext__()
        keeps.append(made)

    recorder = Recorder()
    replaced.trace(waits_at_the_end, recorder)
    for drops in (True, False):

        async def run(ended: list[str], keeps: list[Any], drops: bool = drops) -> None:
            await abandons(ended, keeps)
            if drops:
                keeps.clear()
                await asyncio.sleep(0.05)

        ended: list[str] = []
        # Kept until the loop has shut down, which closes what it knows.
        kept: list[Any] = []
        recorder.told.clear()
        asyncio.run(run(ended, kept))
        assert (ended, complaints) == (["ended"], [])
        assert recorder.told == ["begin_apart", "resume", "pause", "resume", ("end", "GeneratorExit")]


def test_an_async_generator_is_collected_without_an_event_loop() -> None:
    recorder = Recorder()

    async def f() -> AsyncIterator[int]:
        yield 1

    replaced.trace(f, recorder)
    step = f().__anext__()
    with pytest.raises(StopIteration):
        step.send(None)  # type: ignore[attr-defined]
    del step
    gc.collect()
    assert recorder.told == ["begin_apart", "resume", "pause", "resume", ("end", "GeneratorExit")]


def test_a_task_that_is_cancelled_in_an_async_generator_ends_it() -> None:
    recorder = Recorder()

    async def f() -> AsyncIterator[int]:
        await asyncio.sleep(60)
        yield 1

    async def consumes() -> None:
        async for _ in f():
            pass

    replaced.trace(f, recorder)

    async def cancels() -> None:
        task = asyncio.ensure_future(consumes())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancels())
    assert recorder.told == ["begin_apart", "resume", ("end", "CancelledError")]


class Thing:
    """An object whose end can be seen."""


def test_a_paused_generator_keeps_nothing_that_is_passed_through_it() -> None:
    def f(argument: Thing) -> Iterator[Any]:
        del argument
        got = yield Thing()
        del got
        try:
            yield Thing()
        except KeyError:
            pass
        yield 3

    replaced.trace(f, Recorder())
    gc.disable()
    try:
        argument = Thing()
        ends = [weakref.ref(argument)]
        made: Any = f(argument)
        del argument
        ends.append(weakref.ref(next(made)))
        sent = Thing()
        ends.append(weakref.ref(sent))
        ends.append(weakref.ref(made.send(sent)))
        del sent
        error = KeyError()
        held = Thing()
        error.held = held  # type: ignore[attr-defined]
        ends.append(weakref.ref(held))
        del held
        made.throw(error)
        del error
        assert [end() for end in ends] == [None] * 5
    finally:
        gc.enable()


def test_a_generator_that_is_already_running_says_so() -> None:
    made: Any = None

    def f() -> Iterator[Any]:
        try:
            next(made)
        except ValueError as error:
            yield str(error)

    replaced.trace(f, Recorder())
    made = f()
    assert next(made) == "generator already executing"


def test_an_old_style_coroutine_is_awaited() -> None:
    recorder = Recorder()

    @types.coroutine
    def old(n: int) -> Iterator[Any]:
        yield from asyncio.sleep(0).__await__()
        return n + 1

    replaced.trace(old, recorder)

    async def waits() -> int:
        return await old(1)

    assert asyncio.run(waits()) == 2
    assert recorder.told == ["begin_apart", "resume", "pause", "resume", "end"]

"""A traced function recurses as deep as it could before, but for a few frames; and too deep, it fails as ever."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from functions.recorder import Recorder
from otel_run.functions import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# So many frames fewer are there, under Python's own limit of 1000 as under any other.
OURS = 60


def deepest(call: Callable[[int], object]) -> int:
    """Return the greatest argument with which `call` does not overflow, to the next ten."""
    fits, overflows = 0, 1000
    while overflows - fits > 10:
        middle = (fits + overflows) // 2
        if _fits(call, middle):
            fits = middle
        else:
            overflows = middle
    return fits


def _fits(call: Callable[[int], object], depth: int) -> bool:
    try:
        call(depth)
    except RecursionError:
        return False
    return True


def in_thread(call: Callable[[], object]) -> Any:
    """Call it where pytest's own frames take nothing from the limit."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - handed on
            results.append(error)

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(before)
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    return result


def plain() -> tuple[list[Any], Callable[[int], object]]:
    def count(n: int) -> int:
        return n and 1 + count(n - 1)

    return [count], count


def mutual() -> tuple[list[Any], Callable[[int], object]]:
    functions: list[Any] = []
    for _ in range(7):

        def one(n: int, /, *rest: int, at: int = 0) -> int:
            return n and 1 + functions[(at + 1) % 7](n - 1, *rest, at=(at + 1) % 7)

        functions.append(one)
    return functions, functions[0]


def generators() -> tuple[list[Any], Callable[[int], object]]:
    def walk(n: int) -> Iterator[int]:
        yield n
        if n:
            yield from walk(n - 1)

    return [walk], lambda n: sum(walk(n))


def loops() -> tuple[list[Any], Callable[[int], object]]:
    def walk(n: int) -> Iterator[int]:
        if n:
            for item in walk(n - 1):
                yield item + 0
        yield n

    return [walk], lambda n: sum(walk(n))


def coroutines() -> tuple[list[Any], Callable[[int], object]]:
    async def count(n: int) -> int:
        if n == 0:
            await asyncio.sleep(0)
        return n and 1 + await count(n - 1)

    return [count], lambda n: asyncio.run(count(n))


def async_generators() -> tuple[list[Any], Callable[[int], object]]:
    async def walk(n: int) -> Any:
        yield n
        if n:
            async for item in walk(n - 1):
                yield item

    async def add(n: int) -> int:
        return sum([item async for item in walk(n)])

    def drive(n: int) -> object:
        # Without an event loop, which is slow to close what has overflowed.
        try:
            return add(n).send(None)
        except StopIteration as stop:
            return stop.value

    return [walk], drive


def methods() -> tuple[list[Any], Callable[[int], object]]:
    class Tree:
        def depth(self, n: int) -> int:
            return n and 1 + self.depth(n - 1)

        def deeper(self, n: int) -> int:
            return self.depth(n)

    return [vars(Tree)["depth"], vars(Tree)["deeper"]], Tree().deeper


KINDS = [plain, mutual, generators, loops, coroutines, async_generators, methods]


# Python takes seconds to overflow in asynchronous generators: these once.
@pytest.mark.parametrize(
    ("kind", "begins"),
    [(kind, begins) for kind in KINDS for begins in (True, False) if begins or kind is not async_generators],
)
def test_recursion_gets_nearly_as_deep_as_before(kind: Any, begins: bool) -> None:
    _, bare = kind()
    functions, traced = kind()
    recorder = Recorder(begins=begins)
    for function in functions:
        replaced.trace(function, recorder)
    before = [function.__code__ for function in functions]
    live = replaced._live.frames
    depth = in_thread(lambda: deepest(bare))
    assert in_thread(lambda: bare(depth - OURS)) == in_thread(lambda: traced(depth - OURS))
    heard = [told for told in recorder.told if str(told).startswith("begin")]
    assert 24 <= len(heard) < 24 + 4
    assert [function.__code__ for function in functions] == before
    recorder.told.clear()
    # Too deep for both.
    for call in (bare, traced):
        with pytest.raises(RecursionError, match="maximum recursion depth exceeded"):
            in_thread(lambda call=call: call(5000))
    assert [function.__code__ for function in functions] == before
    assert recorder.current == 0
    assert replaced._live.frames == live


def test_the_template_comes_back_with_the_last_of_several_deep_calls() -> None:
    def f() -> None: ...

    own = f.__code__
    replaced.trace(f, Recorder())
    template = f.__code__
    replacement = replaced._by_function[id(f)]
    # As two threads do it that are both deep in the function; which of them are can't be chosen from outside.
    one, other = replaced._Deep({replacement}), replaced._Deep({replacement})
    assert f.__code__ is own
    assert replaced.is_traced(f)
    one.end()
    assert f.__code__ is own
    other.end()
    assert f.__code__ is template


def test_several_threads_recurse_at_once() -> None:
    def dive(n: int) -> int:
        return n and 1 + dive(n - 1)

    recorder = Recorder(begins=False)
    replaced.trace(dive, recorder)
    template = dive.__code__
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.extend(dive(200) for _ in range(100)), daemon=True) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 400
    assert dive.__code__ is template


def test_what_is_many_at_once_but_not_deep_is_told_of_each() -> None:
    recorder = Recorder()

    async def waits() -> None:
        await asyncio.sleep(0)

    replaced.trace(waits, recorder)

    async def many() -> None:
        await asyncio.gather(*(waits() for _ in range(200)))

    asyncio.run(many())
    assert (recorder.told.count("begin"), recorder.told.count("end")) == (200, 200)


def test_a_deep_call_that_is_untraced_meanwhile_leaves_its_own_code() -> None:
    def dive(n: int) -> None:
        if n:
            dive(n - 1)
        else:
            replaced.untrace(dive)

    own = dive.__code__
    replaced.trace(dive, Recorder())
    dive(100)
    assert dive.__code__ is own


def test_an_observer_is_not_given_up_where_the_program_has_filled_the_stack() -> None:
    class Deep(Recorder):
        def begin(self, values: Any) -> Any:
            return self._further(20) or super().begin(values)

        def _further(self, n: int) -> int:
            return n and self._further(n - 1)

    def f(a: int) -> int:
        return a

    def fill(n: int) -> int:
        return fill(n - 1) if n else f(3)

    recorder = Deep()
    replaced.trace(f, recorder)

    def at_the_limit() -> None:
        for depth in range(deepest(fill) - 40, 1000):
            try:
                assert fill(depth) == 3
            except RecursionError:
                return

    in_thread(at_the_limit)
    assert replaced.is_traced(f)
    recorder.told.clear()
    assert (f(1), recorder.told) == (1, ["begin", "end"])

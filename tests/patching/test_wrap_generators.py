"""An observed generator does all that a generator does: send, throw, close, return; and the async ones likewise.

Each script of steps is played with the bare generator and with the observed one, and must go alike.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest

from otel_run.boundary import Fuse
from otel_run.patching.wrap import observe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

FUSE = Fuse("test", lambda: None)


def talk(log: list[object]) -> Generator[object, object, object]:
    """Give back what is sent, survive ValueError, fail anew at KeyError, return at `stop`."""
    item: object = "start"
    try:
        while item != "stop":
            try:
                item = yield item
            except ValueError as error:
                item = f"survived {error}"
            except KeyError:
                item = "failing"
            if item == "failing":
                raise LookupError("outside of the handler")  # so without a context
            if item == "chained":
                try:
                    raise OSError("first")
                except OSError:
                    raise LookupError("second") from None
    finally:
        log.append("closed")
    return "returned"


async def atalk(log: list[object]) -> AsyncGenerator[object, object]:
    """Do the same with awaits in between."""
    item: object = "start"
    try:
        while item != "stop":
            await asyncio.sleep(0)
            try:
                item = yield item
            except ValueError as error:
                item = f"survived {error}"
            except KeyError:
                item = "failing"
            if item == "failing":
                raise LookupError("outside of the handler")
            if item == "chained":
                try:
                    raise OSError("first")
                except OSError:
                    raise LookupError("second") from None
    finally:
        await asyncio.sleep(0)
        log.append("closed")


SCRIPTS: dict[str, list[tuple[str, object]]] = {
    "to its end": [("send", None), ("send", 1), ("send", 2), ("send", "stop"), ("send", None)],
    "an error that it survives": [("send", None), ("throw", ValueError("x")), ("send", 2), ("send", "stop")],
    "an error that it turns into another": [("send", None), ("throw", KeyError("x")), ("send", None)],
    "an error that it lets through": [("send", None), ("throw", TypeError("x")), ("send", None)],
    "an interrupt": [("send", None), ("throw", KeyboardInterrupt())],
    "an error with a hidden cause": [("send", None), ("send", "chained")],
    "a stop thrown in": [("send", None), ("throw", StopIteration(5))],
    "an async stop thrown in": [("send", None), ("throw", StopAsyncIteration(5))],
    "closed in the middle": [("send", None), ("send", 1), ("close", None), ("send", None), ("close", None)],
    "closed before its beginning": [("close", None), ("send", None)],
    "thrown into before its beginning": [("throw", ValueError("x")), ("send", None)],
    "sent to before its beginning": [("send", 1)],
}


def describe(error: BaseException | None) -> object:
    return error and (type(error).__name__, str(error), describe(error.__cause__), describe(error.__context__))


def steps_of(script: str) -> list[tuple[str, Any]]:
    # Fresh errors for each play: they carry their history.
    return [(verb, type(v)(*v.args) if isinstance(v, BaseException) else v) for verb, v in SCRIPTS[script]]


def play(make: Callable[..., Any], script: str) -> list[object]:
    log: list[object] = []
    talker = make(log)
    for verb, value in steps_of(script):
        try:
            log.append(getattr(talker, verb)(*(() if verb == "close" else (value,))))
        except BaseException as error:  # noqa: BLE001 - whatever it is, each is compared
            log.append(describe(error))
    return log


async def aplay(make: Callable[..., Any], script: str) -> list[object]:
    log: list[object] = []
    talker = make(log)
    for verb, value in steps_of(script):
        try:
            log.append(await getattr(talker, f"a{verb}")(*(() if verb == "close" else (value,))))
        except BaseException as error:  # noqa: BLE001 - whatever it is, each is compared
            log.append(describe(error))
    return log


def drive(play_it: Any) -> list[object]:
    """Run without asyncio.run(), which has its own ways with KeyboardInterrupt."""
    try:
        while True:
            play_it.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def watched(make: Callable[..., Any], finished: list[object]) -> Callable[..., Any]:
    return observe(FUSE, make, lambda args, kwargs: lambda result, error: finished.append((result, error)))


BEGINS: dict[str, Callable[..., Any]] = {
    "observed": lambda make: watched(make, []),
    "left alone": lambda make: observe(FUSE, make, lambda args, kwargs: None),
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("how", BEGINS)
def test_a_generator_answers_as_the_bare_one(script: str, how: str) -> None:
    assert play(BEGINS[how](talk), script) == play(talk, script)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("how", BEGINS)
def test_an_async_generator_answers_as_the_bare_one(script: str, how: str) -> None:
    assert drive(aplay(BEGINS[how](atalk), script)) == drive(aplay(atalk, script))


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("to its end", ("returned", None)),
        ("closed in the middle", (None, None)),
        ("an error that it turns into another", (None, "LookupError")),
        ("an interrupt", (None, "KeyboardInterrupt")),
        ("closed before its beginning", None),
    ],
)
def test_its_end_is_told_once(script: str, outcome: tuple[object, object] | None) -> None:
    for asynchronous in (False, True):
        finished: list[Any] = []
        if asynchronous:
            drive(aplay(watched(atalk, finished), script))
        else:
            play(watched(talk, finished), script)
        told = [(result, error and type(error).__name__) for result, error in finished]
        # An async generator has no value to return.
        assert told == ([] if outcome is None else [(None if asynchronous else outcome[0], outcome[1])])


def test_a_generator_that_nobody_ends_is_closed_when_it_is_forgotten() -> None:
    log: list[object] = []
    finished: list[object] = []
    talker = watched(talk, finished)(log)
    next(talker)
    del talker
    assert (log, finished) == (["closed"], [(None, None)])


def test_an_async_generator_that_nobody_ends_is_closed_by_the_loop() -> None:
    log: list[object] = []
    finished: list[object] = []

    async def leave_early() -> None:
        async for _ in watched(atalk, finished)(log):
            break
        for _ in range(5):  # the loop needs its turns to run the closing
            await asyncio.sleep(0)

    asyncio.run(leave_early())
    assert (log, finished) == (["closed"], [(None, None)])


def test_a_cancelled_task_cancels_what_the_async_generator_awaits() -> None:
    log: list[object] = []

    async def wait() -> AsyncGenerator[int, None]:
        try:
            await asyncio.sleep(60)
            yield 1
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main() -> None:
        task = asyncio.ensure_future(watched(wait, log)().__anext__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log[0] == "cancelled"
    assert isinstance(log[1][1], asyncio.CancelledError)  # type: ignore[index]


def test_what_was_thrown_in_is_freed_at_once() -> None:
    """A frame of ours that held the error would keep it, and all it refers to, until the next collection."""
    gc.collect()
    gc.disable()
    try:
        error = TypeError("x")
        before = sys.getrefcount(error)

        async def main() -> None:
            talker = watched(atalk, [])([])
            await talker.asend(None)
            with pytest.raises(TypeError):
                await talker.athrow(error)

        drive(main())
        error.__traceback__ = None
        assert sys.getrefcount(error) == before
    finally:
        gc.enable()

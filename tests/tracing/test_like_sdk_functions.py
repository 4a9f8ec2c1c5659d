"""Decorated functions, tasks and generators, and the span that is current in them, as with the SDK's."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace as api

from tracing.like_sdk import Side, compare


@pytest.mark.parametrize("depth", [1, 3])
def test_as_a_decorator_each_call_has_its_span(depth: int) -> None:
    def program(side: Side) -> None:
        @side.tracer.start_as_current_span("outer", attributes={"a": [1]})
        def work(number: int, *, named: str = "x") -> Any:
            """Work."""
            side.note("current", api.get_current_span())
            if number == 2:
                raise ValueError("two")
            return work(number - 1) if number > 3 else (number, named)

        side.note("looks", (work.__name__, work.__doc__, str(inspect.signature(work)), hasattr(work, "__wrapped__")))
        for number in range(depth + 1):
            side.try_("call", lambda number=number: work(number, named="y"))  # type: ignore[misc]
        side.try_("deep", lambda: work(5))
        side.try_("wrong", work)
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def test_a_decorated_coroutine_function() -> None:
    def program(side: Side) -> None:
        @side.tracer.start_as_current_span("async")
        async def work(number: int) -> int:
            before = api.get_current_span()
            await asyncio.sleep(0)
            side.note("still current", api.get_current_span() is before)
            with side.tracer.start_as_current_span("inner"):
                await asyncio.sleep(0)
            if number == 2:
                raise ValueError("two")
            if number == 3:
                raise asyncio.CancelledError
            return number

        side.note("kind", (inspect.iscoroutinefunction(work), work.__name__))

        async def main() -> None:
            for number in range(4):
                try:
                    side.note("result", await work(number))
                except (ValueError, asyncio.CancelledError) as error:
                    side.note("raised", type(error).__name__)

        asyncio.run(main())

    compare(program)


def test_tasks_that_run_at_the_same_time_have_their_own() -> None:
    def program(side: Side) -> None:
        async def one(name: str) -> None:
            with side.tracer.start_as_current_span(name):
                await asyncio.sleep(0)
                with side.tracer.start_as_current_span(f"{name} below"):
                    await asyncio.sleep(0)

        async def main() -> None:
            with side.tracer.start_as_current_span("main"):
                await asyncio.gather(*(one(f"task {number}") for number in range(5)))

        asyncio.run(main())

    compare(program)


def test_a_cancelled_task_and_one_that_is_thrown_away() -> None:
    def program(side: Side) -> None:
        async def one() -> None:
            with side.tracer.start_as_current_span("cancelled"):
                await asyncio.sleep(60)

        async def main() -> None:
            task = asyncio.create_task(one())
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        asyncio.run(main())
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def test_decorated_generators_and_blocks_inside_generators() -> None:
    def program(side: Side) -> None:
        @side.tracer.start_as_current_span("decorated")
        def decorated() -> Iterator[int]:
            side.note("inside", api.get_current_span() is api.INVALID_SPAN)
            yield 1

        def own() -> Iterator[int]:
            with side.tracer.start_as_current_span("own"):
                yield 1
                yield 2

        side.note("decorated", list(decorated()))
        side.note("own", list(own()))
        closed = own()
        next(closed)
        closed.close()
        thrown = own()
        next(thrown)
        side.try_("thrown", lambda: thrown.throw(ValueError("in")))
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def test_a_block_that_is_left_in_another_context_leaves_that_as_it_is() -> None:
    def program(side: Side) -> None:
        def own() -> Iterator[int]:
            with side.tracer.start_as_current_span("own"):
                yield 1

        elsewhere = own()
        contextvars.copy_context().run(next, elsewhere)
        with side.tracer.start_as_current_span("around") as around:
            elsewhere.close()
            side.note("still", api.get_current_span() is around)
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    # They log a traceback for it, which is nothing that who runs the program could mend.
    compare(program, quiet="opentelemetry.context")


def test_decorated_async_generators() -> None:
    def program(side: Side) -> None:
        @side.tracer.start_as_current_span("decorated")
        async def decorated() -> AsyncIterator[int]:
            yield 1

        async def main() -> None:
            side.note("all", [number async for number in decorated()])

        asyncio.run(main())

    compare(program)

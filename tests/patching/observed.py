"""A library of one function of each kind, and a `begin` that keeps what it was told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from otel_run.patching.wrap import Patch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

KINDS = ("function", "coroutine", "generator", "async generator")


class Library:
    """One of each kind; `fail` is raised by whoever is given it."""

    def function(self, fail: BaseException | None = None, *, many: int = 1) -> object:
        """Return one."""
        if fail is not None:
            raise fail
        return many

    async def coroutine(self, fail: BaseException | None = None, *, many: int = 1) -> object:
        """Return one, later."""
        await asyncio.sleep(0)
        return self.function(fail, many=many)

    def generator(self, fail: BaseException | None = None, *, many: int = 1) -> Iterator[object]:
        """Give one."""
        yield self.function(fail, many=many)

    async def async_generator(self, fail: BaseException | None = None, *, many: int = 1) -> AsyncIterator[object]:
        """Give one, later."""
        await asyncio.sleep(0)
        yield self.function(fail, many=many)

    @staticmethod
    def static(*args: object) -> object:
        return args

    @classmethod
    def klass(cls, *args: object) -> object:
        return (cls, *args)

    def call(self, kind: str, *args: Any, **kwargs: Any) -> object:
        """Call the method of that kind and use up what it gives."""
        given: Any = getattr(self, kind.replace(" ", "_"))(*args, **kwargs)
        if kind == "coroutine":
            return asyncio.run(given)
        if kind == "generator":
            return next(iter(list(given)))
        if kind == "async generator":
            return asyncio.run(_first(given))
        return given


async def _first(given: AsyncIterator[object]) -> object:
    found = [item async for item in given]
    return found[0]


class Seen:
    """A `begin` that keeps what it was told."""

    def __init__(self) -> None:
        self.begun: list[tuple[object, ...]] = []
        self.finished: list[tuple[object, BaseException | None]] = []

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., None]:
        self.begun.append((*args, kwargs))
        return lambda result, error: self.finished.append((result, error))


def patch(owner: object, name: str, begin: Callable[..., Any]) -> Patch:
    made = Patch("test", owner, name.replace(" ", "_"), begin)
    made.apply()
    return made


def new_library() -> type[Library]:
    """Return a class of its own for each test, made of the same functions."""
    return type("Library", (Library,), dict(vars(Library)))

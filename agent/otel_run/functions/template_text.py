"""What the code that stands in for a traced function says: this file is about its text, for each kind and signature.

Nothing of theirs may stay in the template's frame longer than in that of a plain call: arguments are let go of as soon
as they are handed on, and what a generator is sent and yields goes through a list, from which it is taken.

The error boundary stands in the text, since a call more would cost as much as all of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Flags of a code object (inspect.CO_*).
GENERATOR, COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x200

# More traced calls than these in one another, and the deeper ones are left alone; see `replaced`.
DEEPEST = 24


_FRAME = """
def enclosing():
    {made_free} = None
    {definition}({parameters}):
        "DOC"
        if 0: {free}
        LIVE.frames = frames = LIVE.frames + 1
        begun = None
        try:
            try:
                try:
                    begun = SEAT.begin({values}) if frames <= {deepest} else SEAT.begin_deep({values})
                except Exception as error:
                    SEAT.failed_to_begin(error)
            except RecursionError:
                pass
{body}
"""

# `left` takes our entry out of the traceback; the bare `raise` adds none. The stack may have no room left for it.
_LEFT = """
        except BaseException as error:
            LIVE.frames -= 1
            try:
                SEAT.left(begun, error)
            except RecursionError:
                pass
            {names} = begun = None
            raise
"""

_RETURNED = """
        LIVE.frames -= 1
        if begun is not None:
            try:
                SEAT.end(begun, None)
            except RecursionError:
                pass
        return result
"""

_FUNCTION = f"""
            result = SEAT.original({{given}})
{_LEFT}
{_RETURNED}
"""

# For a function that lets go of an argument before it returns: memory may hang on it.
_FUNCTION_LETTING_GO = f"""
            passing = {{passing}}
            {{names}} = None
            result = SEAT.original({{passed}})
{_LEFT}
{_RETURNED}
"""

_COROUTINE_BODY = f"""
            passing = [SEAT.original({{given}})]
            {{names}} = None
            result = await passing.pop()
{_LEFT}
{_RETURNED}
"""

# A step of the original is one of ours, and nothing is handled during it: neither would be so with `yield from`, which
# also makes of a `close()` something else. The last step is not followed by a pause: to end is to leave.
_GENERATOR_BODY = f"""
            apart = SEAT.is_apart(begun)
            source = SEAT.original({{given}})
            {{names}} = None
            step = source.send
            passing = [None]
            while True:
                if apart:
                    SEAT.contained(SEAT.resume, begun)
                passing.append(step(passing.pop()))
                if apart:
                    SEAT.contained(SEAT.pause, begun)
                step = source.send
                try:
                    passing.append((yield passing.pop()))
                except BaseException as thrown:
                    SEAT.thrown(thrown)
                    passing.append(thrown)
                    step = source.throw
        except StopIteration as stop:
            LIVE.frames -= 1
            if begun is not None:
                SEAT.end(begun, None)
            return stop.value
{_LEFT}
"""

_ASYNC_GENERATOR_BODY = f"""
            apart = SEAT.is_apart(begun)
            source = SEAT.original({{given}})
            {{names}} = None
            passing = [SEAT.first_step(source)]
            while True:
                if apart:
                    SEAT.contained(SEAT.resume, begun)
                passing.append(await passing.pop())
                if apart:
                    SEAT.contained(SEAT.pause, begun)
                try:
                    passing.append(source.asend((yield passing.pop())))
                except BaseException as thrown:
                    SEAT.thrown(thrown)
                    passing.append(source.athrow(thrown))
        except StopAsyncIteration:
            LIVE.frames -= 1
            if begun is not None:
                SEAT.end(begun, None)
{_LEFT}
"""

_BODIES = {
    0: ("def template", _FUNCTION),
    COROUTINE: ("async def template", _COROUTINE_BODY),
    GENERATOR: ("def template", _GENERATOR_BODY),
    ASYNC_GENERATOR: ("async def template", _ASYNC_GENERATOR_BODY),
}


class Shape(NamedTuple):
    """What two functions have in common whose templates differ in names and constants only."""

    kind: int
    positional_only: int
    positional: int
    keyword_only: int
    any_positional: bool
    any_keyword: bool
    free: int
    # Which parameters the observer is told, by their place among all; None if it wants none.
    told: tuple[int, ...] | None
    lets_go: bool


def text(shape: Shape) -> str:
    """Return the text of a template of this shape, in a function called `enclosing`."""
    definition, body = _BODIES[shape.kind]
    if shape.lets_go:
        body = _FUNCTION_LETTING_GO
    names = [f"p{at}" for at in range(shape.positional + shape.keyword_only)]
    plain, keyword_only = names[: shape.positional], names[shape.positional :]
    rest = [f"p{len(names) + at}" for at in range(shape.any_positional + shape.any_keyword)]
    positional = [*plain, *(f"*{name}" for name in rest[: shape.any_positional])]
    every_keyword = [f"**{name}" for name in rest[shape.any_positional :]]
    keywords = [f"{name}={name}" for name in keyword_only] + every_keyword
    as_tuple = f"({''.join(f'{name}, ' for name in positional)})"
    as_keywords = (
        f"{{{', '.join([*(f'{name!r}: {name}' for name in keyword_only), *every_keyword])}}}, " if keywords else ""
    )
    free = [f"free{at}" for at in range(shape.free)]
    values = "None" if shape.told is None else f"({''.join(f'p{at}, ' for at in shape.told)})"
    fields = {
        "definition": definition,
        "parameters": ", ".join(_signature(shape, plain, keyword_only, rest)),
        "made_free": " = ".join(["unused", *free]),
        "free": ", ".join(["0", *free]),
        "values": values,
        "deepest": DEEPEST,
        "given": ", ".join(positional + keywords),
        "passing": f"[{as_keywords}{as_tuple}]",
        "passed": "*passing.pop(), **passing.pop()" if keywords else "*passing.pop()",
        "names": " = ".join([*names, *rest, "frames"]),
    }
    return _FRAME.format(**{**fields, "body": body.format(**fields)})


def _signature(shape: Shape, plain: list[str], keyword_only: list[str], rest: list[str]) -> Iterator[str]:
    yield from plain[: shape.positional_only]
    if shape.positional_only:
        yield "/"
    yield from plain[shape.positional_only :]
    if shape.any_positional:
        yield f"*{rest[0]}"
    elif keyword_only:
        yield "*"
    yield from keyword_only
    if shape.any_keyword:
        yield f"**{rest[-1]}"

"""Being the current span: blocks, decorators, sync and async, and what becomes of exceptions, as with the SDK's."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, use_span

from tracing.like_sdk import Side, compare

ELSEWHERE = SpanContext(5, 6, is_remote=True)


class Own(BaseException): ...


class Group(Exception):
    def __init__(self) -> None:
        super().__init__("of the program's own")
        self.note = [1]


ERRORS: list[Callable[[], BaseException]] = [
    lambda: ValueError("text"), ValueError, Group, lambda: StopIteration(5), StopAsyncIteration, GeneratorExit, Own,
    KeyboardInterrupt, lambda: SystemExit(3), asyncio.CancelledError,
    lambda: RuntimeError("generator raised StopIteration"),
]  # fmt: skip


def _id(value: Any) -> str:
    return type(value()).__name__


def _leave(
    side: Side, cm: Any, error: BaseException | None, inside: Callable[[Any], object] = lambda _span: None
) -> None:
    """Go through a block, out of it with `error`; note that it comes out as it went in."""
    before = api.get_current_span()
    cause = KeyError("cause")
    try:
        with cm as span:
            side.note("is current", api.get_current_span() is span)
            inside(span)
            if error is not None:
                raise error from cause
    except BaseException as found:  # noqa: BLE001 - what is raised is the result
        side.note("the same", (found is error, found.__cause__ is cause, found.__context__ is None, found.args))
        frames = inspect.getinnerframes(found.__traceback__) if found.__traceback__ else []
        side.note("frames", [frame.function for frame in frames if "/tests/" in frame.filename][:1])
    side.note("as before", api.get_current_span() is before)
    side.note("after", span)
    span.end()


@pytest.mark.parametrize("error", ERRORS, ids=_id)
@pytest.mark.parametrize("way", ["current", "use_span", "use_span and end", "the span itself"])
def test_an_exception_leaves_a_block(way: str, error: Callable[[], BaseException]) -> None:
    def program(side: Side) -> None:
        def made(**more: Any) -> Any:
            if way == "current":
                return side.tracer.start_as_current_span("span", **more)
            if way == "the span itself":
                started = side.tracer.start_span("span", **more)
                side.note("returns itself", started.__enter__() is started)
                return _Entered(started)
            return use_span(side.tracer.start_span("span"), end_on_exit=way.endswith("end"), **more)

        for records, sets in itertools.product((True, False), repeat=2):
            _leave(side, made(record_exception=records, set_status_on_exception=sets), error())
        _leave(side, made(), error(), lambda span: span.set_status(StatusCode.OK))
        _leave(side, made(), error(), lambda span: span.set_status(Status(StatusCode.ERROR, "set before")))
        _leave(side, made(), error(), lambda span: span.end())
        _leave(side, made(), None)

    compare(program)


class _Entered(contextlib.AbstractContextManager[Any]):
    """A span as its own block, made current too, so that all ways can be looked at alike."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def __enter__(self) -> Any:
        self._token = contexts.attach(api.set_span_in_context(self._span))
        return self._span

    def __exit__(self, *error: object) -> Any:
        contexts.detach(self._token)
        return self._span.__exit__(*error)


@pytest.mark.parametrize("error", ERRORS, ids=_id)
def test_without_an_end_on_exit(error: Callable[[], BaseException]) -> None:
    def program(side: Side) -> None:
        for end in (True, False):
            _leave(side, side.tracer.start_as_current_span("span", end_on_exit=end), error())
            _leave(side, side.tracer.start_as_current_span("span", end_on_exit=end), None)

    compare(program)


def test_spans_below_spans() -> None:
    def program(side: Side) -> None:
        start = side.tracer.start_as_current_span
        with contextlib.suppress(ValueError), start("a", kind=SpanKind.SERVER, attributes={"a": 1}):
            with start("b", links=[Link(ELSEWHERE)], start_time=5) as b:
                with start("c", api.set_span_in_context(api.NonRecordingSpan(ELSEWHERE))):
                    side.tracer.start_span("d").end()
                b.end()
                with start("e"), start("f", contexts.Context()):
                    pass
            with start("g", record_exception=False):
                raise ValueError("through all")
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def test_it_is_a_context_manager_as_theirs() -> None:
    def program(side: Side) -> None:
        side.try_("no name", lambda: side.tracer.start_as_current_span().__enter__())
        side.try_("unknown", lambda: side.tracer.start_as_current_span("a", unknown=1).__enter__())
        cm = side.tracer.start_as_current_span("span")
        side.note("nothing yet", side.exporter.get_finished_spans())
        side.note(
            "kind", (isinstance(cm, contextlib.AbstractContextManager), isinstance(cm, contextlib.ContextDecorator))
        )
        with contextlib.ExitStack() as stack:
            span = stack.enter_context(cm)
            side.note("current", api.get_current_span() is span)
            stack.enter_context(side.tracer.start_as_current_span("second"))
        own = [*inspect.signature(type(side.tracer).start_as_current_span).parameters.items()]
        side.note("signature", [(name, str(each.default), str(each.kind)) for name, each in own])
        own = [*inspect.signature(type(side.tracer).start_span).parameters.items()]
        side.note("signature", [(name, str(each.default), str(each.kind)) for name, each in own])

    compare(program)


def test_a_token_that_is_gone_and_a_span_that_ended_inside() -> None:
    def program(side: Side) -> None:
        with side.tracer.start_as_current_span("outer"):
            token = contexts.attach(contexts.set_value("mine", 1))
            with side.tracer.start_as_current_span("inner") as inner:
                side.note("mine", contexts.get_value("mine"))
                inner.end()
                inner.set_attribute("late", 1)
            side.note("mine", contexts.get_value("mine"))
            contexts.detach(token)

    compare(program)


def test_a_block_that_is_entered_and_thrown_away_is_left_at_once() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_as_current_span("span").__enter__()
        side.note("the span", span)
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def test_a_block_that_is_left_twice() -> None:
    def program(side: Side) -> None:
        block = side.tracer.start_as_current_span("span")
        block.__enter__()
        for _ in range(2):
            side.note("is swallowed", bool(block.__exit__(None, None, None)))
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def test_a_block_that_is_entered_again_leaves_nothing_current() -> None:
    def program(side: Side) -> None:
        # What is raised differs in its text.
        block = side.tracer.start_as_current_span("span", record_exception=False, set_status_on_exception=False)
        for inner in (block, side.tracer.start_as_current_span("other")):
            try:
                with block, inner:
                    side.note("never", None)
            except (AttributeError, RuntimeError):
                side.note("refused", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def test_an_exception_with_a_broken_text() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise LookupError("no text")

    def program(side: Side) -> None:
        def run() -> None:
            with side.tracer.start_as_current_span("span"):
                raise Mute

        side.try_("run", run)
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)

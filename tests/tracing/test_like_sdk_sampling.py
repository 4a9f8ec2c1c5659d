"""Sampling decisions, parents and flags: who is asked, with what, and what comes of the answer, as with the SDK's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, SamplingResult, StaticSampler, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

from tracing.like_sdk import Side, compare

STATE = TraceState([("vendor", "value"), ("other", "1")])
KEEP, DROP, RECORD = Decision.RECORD_AND_SAMPLE, Decision.DROP, Decision.RECORD_ONLY


def _samplers() -> dict[str, sampling.Sampler]:
    on, off, half = sampling.ALWAYS_ON, sampling.ALWAYS_OFF, TraceIdRatioBased(0.5)
    return {
        "on": on, "off": off, "half": half, "all": TraceIdRatioBased(1), "none": TraceIdRatioBased(0),
        "parent on": sampling.DEFAULT_ON, "parent off": sampling.DEFAULT_OFF, "parent half": ParentBased(half),
        "record": StaticSampler(RECORD), "parent record": ParentBased(StaticSampler(RECORD)),
        "remote dropped": ParentBased(on, remote_parent_sampled=off, remote_parent_not_sampled=on),
        "local dropped": ParentBased(on, local_parent_sampled=off, local_parent_not_sampled=on),
        "below": ParentBased(ParentBased(off, remote_parent_sampled=half)),
        "local half": ParentBased(on, local_parent_sampled=half, local_parent_not_sampled=half),
    }  # fmt: skip


# The lowest half of a trace id decides for the SDK's ratio.
_PARENTS = [
    SpanContext((5 << 64) + low, 9, remote, TraceFlags(flags), state)
    for low, remote, flags, state in itertools.product((1, 2**64 - 1), (True, False), range(4), (None, STATE))
]
PARENTS: dict[str, Callable[[], Context | None]] = {
    **{f"{parent.trace_id:x} {parent.is_remote} {parent.trace_flags} {len(parent.trace_state)}": (
        lambda parent=parent: api.set_span_in_context(NonRecordingSpan(parent))) for parent in _PARENTS},  # type: ignore[misc]
    "none": lambda: None,
    "empty": Context,
    "no trace": lambda: api.set_span_in_context(NonRecordingSpan(SpanContext(0, 9, True, TraceFlags(3), STATE))),
    "no span": lambda: api.set_span_in_context(NonRecordingSpan(SpanContext(5, 0, False, TraceFlags(1), STATE))),
    "too large": lambda: api.set_span_in_context(NonRecordingSpan(SpanContext(2**128, 1, True, TraceFlags(1)))),
    "other flags": lambda: api.set_span_in_context(NonRecordingSpan(SpanContext(5, 9, True, TraceFlags(0xFF)))),
    "invalid": lambda: api.set_span_in_context(api.INVALID_SPAN),
    "other entries": lambda: contexts.set_value("mine", 1),
}  # fmt: skip


@pytest.mark.parametrize("is_random", [True, False])
@pytest.mark.parametrize("sampler", _samplers())
def test_below_any_parent(sampler: str, is_random: bool) -> None:
    def program(side: Side) -> None:
        for name, parent in PARENTS.items():
            around = parent()
            span = side.tracer.start_span(name, around, links=[Link(SpanContext(1, 2, False))], attributes={"a": 1})
            side.note(name, span.get_span_context(), recording=span.is_recording(), repr=repr(span))
            with side.tracer.start_as_current_span(f"{name} block", around) as block:
                below = side.tracer.start_span("below")
                side.note("below", [block.get_span_context(), below.get_span_context(), below.is_recording()])
                below.end()
            span.end()
            if around is not None:
                token = contexts.attach(around)
                span = side.tracer.start_span(f"{name} current")
                side.note("current", span.get_span_context())
                span.end()
                contexts.detach(token)

    compare(program, sampler=lambda: _samplers()[sampler], random=is_random)


class Asked(sampling.Sampler):
    """A sampler of somebody's, that keeps what it was asked with and answers as told."""

    def __init__(self, answer: Callable[[], SamplingResult]) -> None:
        self.asked: list[Any] = []
        self._answer = answer

    def should_sample(self, parent_context: Any, trace_id: Any, name: Any, *args: Any, **more: Any) -> SamplingResult:
        kind, attributes, links, *rest = args
        shown = dict(attributes) if isinstance(attributes, Mapping) else attributes
        around = None if parent_context is None else dict(parent_context)
        self.asked.append((around, trace_id, name, kind, shown, list(links or ()), rest, more))
        return self._answer()

    def get_description(self) -> str:
        return "Asked"


ANSWERS: dict[str, Callable[[], Any]] = {
    "keep": lambda: SamplingResult(KEEP),
    "keep with attributes": lambda: SamplingResult(KEEP, {"sampler": [1], "": 2, "a": "theirs"}),
    "keep with a proxy": lambda: SamplingResult(KEEP, MappingProxyType({"sampler": 1})),
    "keep with state": lambda: SamplingResult(KEEP, None, STATE),
    "keep with empty state": lambda: SamplingResult(KEEP, {}, TraceState()),
    "record": lambda: SamplingResult(RECORD, {"sampler": 1}, STATE),
    "drop": lambda: SamplingResult(DROP, {"sampler": 1}, STATE),
    "drop bare": lambda: SamplingResult(DROP),
    "nothing": lambda: None,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_sampler_of_somebodys_is_asked_and_obeyed(answer: str) -> None:
    def program(side: Side) -> None:
        def start() -> None:
            around = api.set_span_in_context(NonRecordingSpan(_PARENTS[1]), Context({"mine": 1}))
            link = Link(SpanContext(1, 2, False))
            for arguments in (
                ("plain",), ("in context", around), ("all", around, SpanKind.SERVER, {"a": [1]}, [link], 5),
                ("no attributes", None, SpanKind.CLIENT, {}), ("none", None, SpanKind.CLIENT, None, None),
            ):  # fmt: skip
                with side.tracer.start_as_current_span(*arguments) as span:
                    side.note("context", span.get_span_context(), recording=span.is_recording())
                    side.tracer.start_span("below", attributes={"b": 1}).end()

        side.try_("start", start)
        side.note("asked", side.provider.sampler.asked)  # type: ignore[attr-defined]

    compare(program, sampler=lambda: Asked(ANSWERS[answer]))


def test_a_sampler_that_raises() -> None:
    def fail() -> SamplingResult:
        raise LookupError("no decision")

    def program(side: Side) -> None:
        side.try_("start", lambda: side.tracer.start_span("span"))
        side.try_("block", lambda: side.tracer.start_as_current_span("span").__enter__())
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program, sampler=lambda: Asked(fail))


def test_a_sampler_that_is_replaced() -> None:
    def program(side: Side) -> None:
        for sampler in (
            sampling.ALWAYS_OFF,
            sampling.ALWAYS_ON,
            StaticSampler(RECORD),
            Asked(ANSWERS["keep with state"]),
        ):
            side.tracer.sampler = sampler
            span = side.tracer.start_span("span")
            side.note("span", span.get_span_context(), recording=span.is_recording())
            span.end()
        # What has a tracer already goes on with what it has.
        side.provider.sampler = sampling.ALWAYS_OFF
        side.tracer.start_span("old").end()
        side.note("new", side.provider.get_tracer("new").start_span("new").is_recording())

    compare(program)


class Strange(api.Span):
    """A span that is not the SDK's, whose context is whatever it is given."""

    def __init__(self, context: Any) -> None:
        self._given = context

    def get_span_context(self) -> Any:
        return self._given

    set_attribute = set_attributes = add_event = update_name = set_status = record_exception = end = (  # type: ignore[assignment]
        lambda *_args, **_more: None
    )

    def is_recording(self) -> bool:
        return True


@pytest.mark.parametrize("context", [None, 5, "text", (1, 2, False, 1, None, True), _PARENTS[1]], ids=str)
def test_a_parent_that_is_no_span_of_theirs(context: Any) -> None:
    def program(side: Side) -> None:
        around = api.set_span_in_context(Strange(context))
        side.try_("span", lambda: side.tracer.start_span("span", around).end())
        side.try_("block", lambda: _enter(side, around))

    compare(program)


def _enter(side: Side, around: Any) -> None:
    with side.tracer.start_as_current_span("span", around):
        pass


@pytest.mark.parametrize("around", [5, {"mine": 1}, {}, "text"], ids=str)
def test_a_context_that_is_none(around: Any) -> None:
    def program(side: Side) -> None:
        side.try_("span", lambda: side.tracer.start_span("span", around).end())

    compare(program)


def test_what_is_current_and_no_span() -> None:
    def program(side: Side) -> None:
        around = contexts.set_value("current-span", "text")
        for key in contexts.set_value("x", 1), around:
            side.try_("span", lambda key=key: side.tracer.start_span("span", key).end())  # type: ignore[misc]
        not_a_span = Context({next(iter(api.set_span_in_context(api.INVALID_SPAN))): "text"})
        side.try_("span", lambda: side.tracer.start_span("span", not_a_span).end())

    compare(program)


class Ids(sampling.TraceIdRatioBased):
    """A ratio of the program's own making: a subclass may decide otherwise."""

    def should_sample(self, *args: Any, **more: Any) -> SamplingResult:
        return SamplingResult(DROP)


def test_a_subclass_of_theirs_decides_for_itself() -> None:
    compare(lambda side: side.note("span", side.tracer.start_span("a").is_recording()), sampler=Ids(1))
    compare(lambda side: side.note("span", side.tracer.start_span("a").is_recording()), sampler=ParentBased(Ids(1)))


@given(st.floats(0, 1), st.integers(0, 2**128 - 1), st.integers(0, 3), st.booleans(), st.sampled_from([None, STATE]))
@effort(max_examples=40, deadline=None)
def test_any_ratio_and_parent(rate: float, trace_id: int, flags: int, remote: bool, state: Any) -> None:
    around = api.set_span_in_context(NonRecordingSpan(SpanContext(trace_id, 9, remote, TraceFlags(flags), state)))

    def program(side: Side) -> None:
        span = side.tracer.start_span("span", around)
        side.note("span", span.get_span_context(), recording=span.is_recording())
        child = side.tracer.start_span("child", api.set_span_in_context(span))
        side.note("child", child.get_span_context(), recording=child.is_recording())

    compare(program, sampler=TraceIdRatioBased(rate))
    compare(program, sampler=ParentBased(TraceIdRatioBased(rate), local_parent_sampled=TraceIdRatioBased(rate)))


def test_a_span_that_is_not_recorded_takes_everything_and_keeps_nothing() -> None:
    def program(side: Side) -> None:
        with side.tracer.start_as_current_span("span", attributes={"a": 1}) as span:
            classes = (NonRecordingSpan, api.Span)
            side.note("kind", [isinstance(span, cls) for cls in classes], recording=span.is_recording())
            for name, call in {
                "set_attribute": lambda: span.set_attribute("a", 1), "set_attributes": lambda: span.set_attributes({}),
                "add_event": lambda: span.add_event("event", {}, 5), "update_name": lambda: span.update_name("other"),
                "add_link": lambda: span.add_link(_PARENTS[0], {}), "end": lambda: span.end(5),
                "repr": lambda: repr(span),
                "set_status": lambda: span.set_status(api.StatusCode.ERROR, "text"), "again": span.end,
                "record_exception": lambda: span.record_exception(ValueError()), "equal": lambda: span == span,
                                "context": span.get_span_context,
                "name": lambda: span.name, "attributes": lambda: span.attributes,
                "entered": lambda: span.__enter__() is span and span.__exit__(None, None, None),
            }.items():  # fmt: skip
                side.try_(name, call)
        side.try_("error", lambda: _fail(side))

    compare(program, sampler=sampling.ALWAYS_OFF)


def _fail(side: Side) -> None:
    with side.tracer.start_as_current_span("span"):
        raise ValueError("text")

"""What our tracer does that the SDK's does not: it knows when nothing will be kept, and hands spans on as they are."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider, sampling
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_run import settings
from otel_run.tracing.decided import ASK, IS_KEPT, Decided, rule_of
from otel_run.tracing.ids import RandomIds
from otel_run.tracing.provider import Provider
from otel_run.tracing.span import Span, Unsampled
from otel_run.tracing.tracer import Tracer, adopt, dropped, is_dropped

NOWHERE = Context()
OFF = sampling.ParentBased(sampling.TraceIdRatioBased(0))


class Looking(sampling.Sampler):
    """A sampler of somebody's, that says no to all and has seen everything."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, kind: Any = None, attributes: Any = None, links: Any = None
    ) -> sampling.SamplingResult:
        self.seen.append((name, attributes))
        return sampling.SamplingResult(sampling.Decision.DROP)

    def get_description(self) -> str:
        return "looking"


class Seen(SpanProcessor):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.told.append(("start", span))

    def _on_ending(self, span: Any) -> None:
        self.told.append(("ending", span))

    def on_end(self, span: ReadableSpan) -> None:
        self.told.append(("end", span))


def provider(sampler: sampling.Sampler = sampling.DEFAULT_ON) -> Provider:
    return Provider(settings.current(), Resource({}), sampler)


def tracer(sampler: sampling.Sampler) -> Tracer:
    found = provider(sampler).get_tracer("test")
    assert type(found) is Tracer
    return found


def remote(flags: int) -> Context:
    return set_span_in_context(NonRecordingSpan(SpanContext(7, 8, True, TraceFlags(flags))), NOWHERE)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (sampling.ALWAYS_ON, (False, 1 << 64)),
        (sampling.ALWAYS_OFF, (False, 0)),
        (sampling.TraceIdRatioBased(0.5), (False, 1 << 63)),
        (sampling.DEFAULT_ON, (True, 1 << 64)),
        (sampling.DEFAULT_OFF, (True, 0)),
        (sampling.ParentBased(sampling.TraceIdRatioBased(0.25)), (True, 1 << 62)),
        (Decided(sampling.DEFAULT_ON), (True, 1 << 64)),
    ],
)
def test_the_specifications_samplers_need_not_be_asked(sampler: sampling.Sampler, expected: tuple[bool, int]) -> None:
    rule = rule_of(sampler)
    assert (rule.follows, rule.bound) == expected


@pytest.mark.parametrize(
    "sampler",
    [
        Looking(),
        sampling.ParentBased(Looking()),
        sampling.ParentBased(sampling.ALWAYS_ON, local_parent_not_sampled=sampling.ALWAYS_ON),
        sampling.ParentBased(sampling.ALWAYS_ON, remote_parent_sampled=sampling.TraceIdRatioBased(0.5)),
        sampling.StaticSampler(sampling.Decision.RECORD_ONLY),
        type("Mine", (sampling.TraceIdRatioBased,), {})(0.5),
        type("Mine", (sampling.ParentBased,), {})(sampling.ALWAYS_ON),
    ],
)
def test_all_others_are_asked_for_each_span(sampler: sampling.Sampler) -> None:
    assert rule_of(sampler) is ASK


def test_below_a_span_that_is_dropped_nothing_needs_to_be_made() -> None:
    mine = tracer(OFF)
    root = mine.start_span("root", NOWHERE)
    around = set_span_in_context(root, NOWHERE)
    assert type(root) is Unsampled
    assert dropped(mine, around) is root
    child = mine.start_span("child", around)
    assert type(child) is Unsampled
    assert child.get_span_context().trace_id == root.get_span_context().trace_id
    assert child.get_span_context().span_id != root.get_span_context().span_id


def test_a_caller_that_was_dropped_is_dropped_here_and_stays_the_parent() -> None:
    mine = tracer(sampling.DEFAULT_ON)
    span = mine.start_span("request", remote(0))
    assert type(span) is Unsampled
    assert span.get_span_context().trace_id == 7
    assert span.get_span_context().trace_flags == 0


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [(OFF, True), (sampling.ALWAYS_OFF, True), (sampling.DEFAULT_ON, True), (sampling.ALWAYS_ON, False)],
)
def test_what_another_tracer_dropped_is_dropped_below_only_if_this_one_would_drop_it(
    sampler: sampling.Sampler, expected: bool
) -> None:
    root = tracer(OFF).start_span("root", NOWHERE)
    around = set_span_in_context(root, NOWHERE)
    mine = tracer(sampler)
    assert dropped(mine, around) is (root if expected else None)
    assert is_dropped(mine, around) is expected
    assert mine.start_span("child", around).is_recording() is not expected


def test_a_tracer_that_is_not_ours_makes_its_spans_below_what_ours_dropped() -> None:
    around = set_span_in_context(tracer(OFF).start_span("root", NOWHERE), NOWHERE)
    theirs = TracerProvider(sampling.ALWAYS_ON).get_tracer("test")
    assert dropped(theirs, around) is None
    assert not is_dropped(theirs, around)


def test_what_is_to_be_kept_or_not_is_so_below_what_was_dropped() -> None:
    mine = tracer(OFF)
    root = mine.start_span("root", NOWHERE)
    for kept in (True, False):
        around = set_span_in_context(root, Context({IS_KEPT: kept}))
        assert dropped(mine, around) is (None if kept else root)
        assert is_dropped(TracerProvider(sampling.ALWAYS_ON).get_tracer("test"), around) is not kept


def test_a_parent_without_a_context_is_no_parent() -> None:
    nobody: Any = NonRecordingSpan(None)  # type: ignore[arg-type]
    for sampler in (OFF, sampling.DEFAULT_ON):
        assert dropped(tracer(sampler), set_span_in_context(nobody, NOWHERE)) is None


def test_roots_are_dropped_before_they_are_made_only_if_all_are() -> None:
    found = dropped(tracer(OFF), NOWHERE)
    assert type(found) is Unsampled
    assert found.get_span_context().is_valid
    assert dropped(tracer(sampling.DEFAULT_ON), NOWHERE) is None
    assert dropped(tracer(sampling.ParentBased(sampling.TraceIdRatioBased(0.5))), NOWHERE) is None
    # Whoever calls is followed.
    assert dropped(tracer(OFF), remote(1)) is None


def test_a_sampler_of_somebodys_sees_all_spans_also_below_one_that_it_dropped() -> None:
    looking = Looking()
    mine = tracer(looking)
    root = mine.start_span("root", NOWHERE, attributes={"a": 1})
    around = set_span_in_context(root, NOWHERE)
    assert type(root) is NonRecordingSpan
    assert dropped(mine, around) is None
    assert dropped(mine, NOWHERE) is None
    mine.start_span("child", around, attributes={"b": 2})
    assert looking.seen == [("root", {"a": 1}), ("child", {"b": 2})]


@pytest.mark.parametrize("kept", [True, False])
def test_what_the_context_says_about_keeping_counts_more_than_the_sampler(kept: bool) -> None:
    around = Context({IS_KEPT: kept})
    for sampler in (sampling.DEFAULT_ON, OFF, Looking()):
        mine = tracer(sampler)
        assert mine.start_span("any", around).is_recording() is kept
        assert kept is False or dropped(mine, around) is None
        assert getattr(sampler, "seen", []) == []


def test_a_sampler_that_a_program_gives_its_tracer_later_counts() -> None:
    mine = tracer(sampling.DEFAULT_ON)
    assert mine.start_span("a", NOWHERE).is_recording()
    mine.sampler = OFF
    assert not mine.start_span("b", NOWHERE).is_recording()
    assert dropped(mine, NOWHERE) is not None


def test_half_of_the_roots_are_half_by_their_ids() -> None:
    mine = tracer(sampling.ParentBased(sampling.TraceIdRatioBased(0.5)))
    for _ in range(200):
        span = mine.start_span("any", NOWHERE)
        assert span.is_recording() is bool(not span.get_span_context().trace_id & (1 << 63))


def test_ours_get_the_span_as_it_is_and_others_what_the_sdk_gives_them() -> None:
    own, theirs, mine = Seen(), Seen(), provider()
    mine.add_own_processor(own)
    span: Any = mine.get_tracer("test").start_span("any")
    span.end()
    assert own.told == [("end", span)]
    mine.add_span_processor(theirs)
    span = mine.get_tracer("test").start_span("any")
    span.set_attribute("a", 1)
    span.end()
    # All have the same copy: what one takes out of it must not leave by way of ours.
    assert own.told[1:] == theirs.told[2:]
    assert [(what, type(given)) for what, given in theirs.told] == [
        ("start", Span), ("ending", Span), ("end", ReadableSpan)
    ]  # fmt: skip
    assert dict(theirs.told[2][1].attributes) == {"a": 1}


def test_processors_that_a_program_puts_in_the_place_of_all_are_the_ones_that_are_told() -> None:
    first, second, mine = Seen(), Seen(), provider()
    mine.add_span_processor(first)
    mine._active_span_processor._span_processors = (second,)
    mine.get_tracer("test").start_span("any").end()
    assert not first.told
    assert [what for what, _ in second.told] == ["start", "ending", "end"]


def test_a_tracer_of_the_sdk_becomes_ours_in_place_and_makes_the_same_spans() -> None:
    seen = Seen()
    theirs = TracerProvider()
    theirs.add_span_processor(seen)
    found = theirs.get_tracer("test")
    adopt(found)
    assert type(found) is Tracer
    with found.start_as_current_span("any"):
        pass
    assert [(what, type(given)) for what, given in seen.told] == [
        ("start", Span), ("ending", Span), ("end", ReadableSpan)
    ]  # fmt: skip


def test_a_tracer_with_metrics_or_of_another_class_is_left_as_it_is() -> None:
    class Mine(sdk.Tracer):
        """A tracer of a program's."""

    counting, other = TracerProvider().get_tracer("a"), TracerProvider().get_tracer("b")
    counting._tracer_metrics = object()  # type: ignore[attr-defined]
    other.__class__ = Mine
    for given in (counting, other, trace.NoOpTracer()):
        before = type(given)
        adopt(given)
        assert type(given) is before
        assert dropped(given, NOWHERE) is None


def test_ids_of_both_kinds_come_from_one_draw() -> None:
    drawn = [RandomIds().generate_both() for _ in range(100)]
    assert all(0 < trace_id < 1 << 128 and 0 < span_id < 1 << 64 for trace_id, span_id in drawn)
    assert len({number for pair in drawn for number in pair}) == 200
    assert max(trace_id for trace_id, _ in drawn) >> 120


def test_the_same_tracer_for_the_same_names_without_another_look() -> None:
    mine = provider()
    assert mine.get_tracer("a", "1") is mine.get_tracer("a", "1")
    assert mine.get_tracer("a", "1") is not mine.get_tracer("a", "2")
    assert mine.get_tracer("a", attributes={"b": 1}) is not mine.get_tracer("a")


def test_a_generator_of_ids_that_gives_none_makes_an_invalid_context_as_the_sdk_does() -> None:
    class Zero(RandomIds):
        def generate_span_id(self) -> int:
            return 0

    mine = provider()
    mine.id_generator = Zero()
    assert not mine.get_tracer("test").start_span("any", NOWHERE).get_span_context().is_valid

"""Processors and exporters of anybody's, called as the SDK calls them, with what they change kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tracing.like_sdk import Recording, Side, compare


def test_several_processors_are_called_in_order() -> None:
    def program(side: Side) -> None:
        side.provider.add_span_processor(Recording(side, "second "))
        with side.tracer.start_as_current_span("outer"):
            side.provider.add_span_processor(Recording(side, "late "))
            side.tracer.start_span("inner", Context({"mine": 1})).end()
        side.note("flushed", side.provider.force_flush())
        side.note("flushed", side.provider.force_flush(1))
        side.provider.add_span_processor(Recording(side, "slow "))
        side.note("flushed", side.provider.force_flush(1000))
        side.provider.shutdown()
        side.tracer.start_span("after").end()

    compare(program)


def test_the_context_is_handed_on_as_it_was_given() -> None:
    def program(side: Side) -> None:
        seen: list[Any] = []

        class Asking(SpanProcessor):
            def on_start(self, span: Any, parent_context: Any = None) -> None:
                seen.append(parent_context)

        side.provider.add_span_processor(Asking())
        around = Context({"mine": 1})
        side.tracer.start_span("given", around)
        side.tracer.start_span("by name", context=around)
        side.tracer.start_span("none")
        with side.tracer.start_as_current_span("block", around):
            pass
        side.note("seen", [context is around for context in seen])
        side.note("none", seen[2])

    compare(program)


def test_what_a_processor_changes_is_in_the_span() -> None:
    def begin(span: Any) -> None:
        span.set_attribute("public", [1])
        span._attributes["inside"] = 2
        span._attributes._dict["deep"] = 3
        span._name += " changed"
        span.add_event("at start", {"a": 1})
        span.update_name(span.name + " twice")
        span.theirs = "kept"

    def ending(span: Any) -> None:
        span.set_attribute("too late", 1)
        span._attributes._dict["ending"] = span.theirs
        span._status = api.Status(api.StatusCode.ERROR, "by a processor")
        span._end_time = 5
        span._attributes._immutable = False
        span._attributes["forced"] = True

    def program(side: Side) -> None:
        side.provider.add_span_processor(Recording(side, "changing ", on_start=begin, on_ending=ending))
        side.provider.add_span_processor(Recording(side, "after it "))
        with side.tracer.start_as_current_span("span", attributes={"a": 1}):
            pass

    compare(program)


def test_what_one_changes_in_the_copy_the_next_gets() -> None:
    def change(span: Any) -> None:
        span._name = "changed"
        span._attributes = {"replaced": True}
        span._events = ()
        span._resource = span._resource.merge(span._resource)

    def program(side: Side) -> None:
        side.provider.add_span_processor(Recording(side, "changing ", on_end=change))
        side.provider.add_span_processor(Recording(side, "after it "))
        span = side.tracer.start_span("span", attributes={"a": 1})
        span.add_event("event")
        span.end()
        side.note("the span", span)

    compare(program)


def test_spans_that_a_processor_makes_by_itself() -> None:
    def program(side: Side) -> None:
        def below(span: Any) -> None:
            if span.name == "span":
                side.tracer.start_span("of the processor", api.set_span_in_context(span)).end()

        side.provider.add_span_processor(Recording(side, "making ", on_start=below, on_ending=below))
        side.tracer.start_span("span").end()

    compare(program)


def test_a_span_that_a_processor_ends() -> None:
    def program(side: Side) -> None:
        side.provider.add_span_processor(Recording(side, "ending ", on_start=lambda span: span.end(7)))
        side.provider.add_span_processor(Recording(side, "twice ", on_ending=lambda span: span.end(8)))
        span = side.tracer.start_span("span")
        side.note("the span", span)
        span.end()

    compare(program)


@pytest.mark.parametrize("where", ["on_start", "on_ending", "on_end"])
def test_a_processor_that_raises(where: str) -> None:
    def fail(span: Any) -> None:
        raise LookupError(f"in {where} of {span.name}")

    def program(side: Side) -> None:
        side.provider.add_span_processor(Recording(side, "failing ", **{where: fail}))
        side.provider.add_span_processor(Recording(side, "after it "))
        span = side.try_("start", lambda: side.tracer.start_span("span"))
        if span is not None:
            side.try_("end", span.end)
            side.try_("end again", span.end)
            side.note("the span", span)
        side.try_("block", lambda: _block(side))
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)
        side.try_("block with an error", lambda: _block(side, ValueError("own")))
        side.note("outside", api.get_current_span() is api.INVALID_SPAN)

    compare(program)


def _block(side: Side, error: Exception | None = None) -> None:
    with side.tracer.start_as_current_span("block"):
        if error is not None:
            raise error


@pytest.mark.parametrize("active", [ConcurrentMultiSpanProcessor, SynchronousMultiSpanProcessor])
def test_another_processor_at_the_top(active: Any) -> None:
    def program(side: Side) -> None:
        with side.tracer.start_as_current_span("outer", attributes={"a": 1}):
            side.tracer.start_span("inner").end()
        side.note("flushed", side.provider.force_flush())
        side.provider.shutdown()
        # Each is called in a thread of its own there, in any order.
        side.account.sort(key=repr)

    compare(program, processor=active)


def test_processors_that_are_replaced_inside() -> None:
    def program(side: Side) -> None:
        side.tracer.start_span("before").end()
        active: Any = side.provider._active_span_processor
        side.note("how many", len(active._span_processors))
        active._span_processors = (Recording(side, "only "),)
        side.tracer.start_span("after").end()
        active._span_processors += (Recording(side, "more "),)
        side.tracer.start_span("last").end()
        side.tracer.span_processor = Recording(side, "of the tracer ")
        side.tracer.start_span("own").end()

    compare(program)


def test_their_batch_processor_and_console(capsys: pytest.CaptureFixture[str]) -> None:
    def program(side: Side) -> None:
        exporter = InMemorySpanExporter()
        side.provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
        side.provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        for number in range(5):
            with side.tracer.start_as_current_span(f"span {number}", attributes={"a": [number]}, start_time=number):
                pass
        side.note("flushed", side.provider.force_flush())
        side.note("exported", list(exporter.get_finished_spans()))
        side.provider.shutdown()
        printed = capsys.readouterr().out
        decoder, found = json.JSONDecoder(), []
        while printed.strip():
            value, end = decoder.raw_decode(printed.lstrip())
            printed = printed.lstrip()[end:]
            found.append({**value, "end_time": None})
        side.note("printed", found)

    compare(program)


def test_a_span_that_is_not_sampled_but_recorded_is_seen_and_not_exported() -> None:
    from opentelemetry.sdk.trace.sampling import Decision, StaticSampler

    compare(lambda side: side.tracer.start_span("span").end(), sampler=StaticSampler(Decision.RECORD_ONLY))

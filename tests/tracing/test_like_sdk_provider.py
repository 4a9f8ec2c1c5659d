"""The provider and its tracers, as the SDK's: which are the same, what they carry, what switches them off."""

from __future__ import annotations

import random
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tracing.like_sdk import Recording, Side, compare

SCOPES: list[tuple[Any, ...]] = [
    ("a",), ("a", None), ("a", ""), ("a", "1"), ("a", "1", ""), ("a", "1", None), ("a", "1", "url"),
    ("a", "1", "url", {}), ("a", "1", "url", None), ("a", "1", "url", {"k": "v"}), ("a", "1", "url", {"k": ["v"]}),
    ("",), (None,), (5,), ("b",), ("\ud800",),
]  # fmt: skip


def test_tracers_of_equal_scopes_are_the_same() -> None:
    def program(side: Side) -> None:
        tracers = [
            side.try_(str(scope), lambda scope=scope: side.provider.get_tracer(*scope) and None) for scope in SCOPES
        ]
        tracers = [side.provider.get_tracer(*scope) for scope in SCOPES]
        side.note("same", [[one is other for one in tracers] for other in tracers])
        for tracer in tracers:
            tracer.start_span("span").end()
            scope = tracer._instrumentation_scope  # type: ignore[attr-defined]
            side.note("scope", (scope.name, scope.version, scope.schema_url, dict(scope.attributes)))
        by_name = side.provider.get_tracer(
            instrumenting_module_name="a", instrumenting_library_version="1", schema_url="url", attributes={"k": "v"}
        )
        side.note("by name", by_name is side.provider.get_tracer("a", "1", "url", {"k": "v"}))
        side.try_("nothing", side.provider.get_tracer)

    compare(program)


def test_scope_and_resource_of_a_span() -> None:
    def program(side: Side) -> None:
        tracer = side.provider.get_tracer("a", "1", "url", {"k": [1]})
        span: Any = tracer.start_span("span")
        scope = InstrumentationScope("a", "1", "url", {"k": [1]})
        side.note("scope", (span.instrumentation_scope == scope, hash(span.instrumentation_scope) == hash(scope)))
        with pytest.warns(DeprecationWarning, match="instrumentation_scope"):
            info = span.instrumentation_info
        side.note("info", (type(info).__name__, info.name, info.version, info.schema_url))
        with pytest.warns(DeprecationWarning, match="instrumentation_scope"):
            side.note("of the copy", str(span._readable_span().instrumentation_info))
        side.note("info of tracer", str(tracer.instrumentation_info))  # type: ignore[attr-defined]
        side.note("resource", span.resource is side.provider.resource)
        span.end()

    compare(program)


def test_tracers_that_are_switched_off_and_on() -> None:
    def program(side: Side) -> None:
        def off_for_b(scope: InstrumentationScope) -> Any:
            return sdk._TracerConfig(is_enabled=scope.name != "b")

        tracers = [side.provider.get_tracer(name) for name in "ab"]
        around = api.set_span_in_context(api.NonRecordingSpan(api.SpanContext(5, 6, True, api.TraceFlags(1))))
        configurators: list[Any] = [off_for_b, sdk._disable_tracer_configurator, sdk._default_tracer_configurator, None]
        for configurator in configurators:
            side.provider._set_tracer_configurator(tracer_configurator=configurator)
            for tracer in (*tracers, side.provider.get_tracer("c")):
                with tracer.start_as_current_span("block") as block:
                    inner = tracer.start_span("inner", attributes={"a": 1})
                    side.note("recording", (block.is_recording(), inner.is_recording()))
                    side.note("contexts", (block.get_span_context(), inner.get_span_context()))
                    inner.end()
                span = tracer.start_span("span", around)
                side.note("kind", isinstance(span, api.NonRecordingSpan), context=span.get_span_context())
                span.end()

    compare(program)


def test_a_resource_that_changes_later() -> None:
    def program(side: Side) -> None:
        early = side.tracer.start_span("early")
        side.provider._update_resource(Resource({"more": 1, "service.name": "renamed"}))
        late = side.tracer.start_span("late")
        for span in (early, late):
            span.end()
            side.note("resource", dict(span.resource.attributes), schema=span.resource.schema_url)

    compare(program)


def test_an_id_generator_of_the_programs() -> None:
    class Few(IdGenerator):
        def __init__(self, span_id: Any, trace_id: Any) -> None:
            self._ids = span_id, trace_id
            self.calls: list[str] = []

        def generate_span_id(self) -> Any:
            self.calls.append("span")
            return self._ids[0]

        def generate_trace_id(self) -> Any:
            self.calls.append("trace")
            return self._ids[1]

    def program(side: Side) -> None:
        for ids in ((1, 2), (0, 2), (1, 0), (2**64, 2), (1, 2**128), (-1, -1)):
            few = side.tracer.id_generator = Few(*ids)
            span = side.try_(str(ids), lambda: side.tracer.start_span("span"))
            if span is not None:
                side.note("child", side.tracer.start_span("child", api.set_span_in_context(span)).get_span_context())
            side.note("calls", few.calls)

    compare(program)


def test_the_programs_seed_gives_it_the_ids_that_it_expects() -> None:
    def program(side: Side) -> None:
        side.tracer.id_generator = RandomIdGenerator()
        random.seed(5)
        for _ in range(3):
            side.note("ids", side.tracer.start_span("span").get_span_context())

    compare(program)


def test_limits_that_a_tracer_is_given_later() -> None:
    def program(side: Side) -> None:
        side.tracer._span_limits = sdk.SpanLimits(max_span_attributes=1, max_events=1, max_span_attribute_length=1)
        span = side.tracer.start_span("span", attributes={"a": "text", "b": "text"})
        span.add_event("one")
        span.add_event("two")
        span.end()

    compare(program)


def test_processors_that_come_after_the_tracers() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.provider.add_span_processor(Recording(side, "late "))
        span.end()
        side.tracer.start_span("second").end()
        side.note("flushed", side.provider.force_flush(5000))
        side.note("shut down", side.provider.shutdown())  # type: ignore[func-returns-value]
        side.tracer.start_span("third").end()
        side.note("repr", repr(side.tracer).split(".")[-1])

    compare(program)


def test_wrong_arguments_are_said_as_they_say_it() -> None:
    def program(side: Side) -> None:
        span = side.tracer.start_span("span")
        side.try_("no name", side.tracer.start_span)
        side.try_("unknown", lambda: side.tracer.start_span("a", unknown=1))
        side.try_("too many", lambda: side.tracer.start_span(*range(20)))
        for name in ("set_attribute", "set_attributes", "add_event", "add_link", "set_status", "update_name"):
            side.try_(name, lambda name=name: getattr(span, name)())  # type: ignore[misc]
        side.try_("record_exception", span.record_exception)
        side.try_("end", lambda: span.end(1, 2))
        side.note("recording", span.is_recording())

    compare(program)

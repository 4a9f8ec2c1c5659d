"""The span of each call of a function: its attributes, what is current meanwhile, and when there is none."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import SpanProcessor, sampling
from opentelemetry.trace import SpanKind, StatusCode

from functions.observing import HALF, OFF, Tracing
from otel_run import report
from otel_run.functions.spans import FunctionSpans
from otel_run.tracing.call import EVERYTHING
from otel_run.tracing.span import Unsampled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator


@pytest.fixture
def tracing() -> Tracing:
    return Tracing()


class Never:
    def __await__(self) -> Generator[None, None, None]:
        yield


def function_of(function: Any) -> FunctionType:
    assert isinstance(function, FunctionType)
    return function


def current() -> Any:
    return trace.get_current_span()


def test_a_call_is_a_span(tracing: Tracing) -> None:
    def total(price: int, count: int = 2) -> int:
        return price * count

    line = inspect.getsourcelines(total)[1]
    before = context.get_current()
    assert tracing.trace(total)(3) == 6
    span = tracing["total"]
    assert span.kind is SpanKind.INTERNAL
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "code.function.name": "orders.total",
        "code.file.path": __file__,
        "code.line.number": line,
    }
    assert span.start_time < span.end_time
    assert context.get_current() is before


def test_a_span_may_have_another_name(tracing: Tracing) -> None:
    tracing.trace(lambda: None, name="ProcessOrder")()
    assert tracing["ProcessOrder"].attributes["code.function.name"] == "orders.<lambda>"


def test_what_is_called_inside_is_below(tracing: Tracing) -> None:
    def price() -> None:
        current().set_attribute("inside", "price")

    def total() -> None:
        price()
        with tracing.tracer.start_as_current_span("by hand"):
            price()

    tracing.trace(price)
    tracing.trace(total)()
    assert tracing.names == ["price", "price", "by hand", "total"]
    assert tracing.parent_of("by hand") == "total"


def test_a_recursion_is_a_span_a_call(tracing: Tracing) -> None:
    def factorial(number: int) -> int:
        return number * factorial(number - 1) if number else 1

    assert tracing.trace(factorial, "number")(3) == 6
    assert tracing.names == ["factorial"] * 4


def test_arguments_are_attributes(tracing: Tracing) -> None:
    def process(order_id: int, /, *lines: str, side: str = "buy", password: str = "", **more: int) -> object:
        return order_id, lines, side, password, more

    tracing.trace(process, "order_id", "side", "lines", "more", "password")(7, "pen", "ink", password="hunter2", gift=1)
    told = dict(tracing["process"].attributes)
    assert {name: told[name] for name in told if not name.startswith("code.")} == {
        "order_id": 7,
        "side": "buy",
        "lines": ("pen", "ink"),
        "more": '{"gift": 1}',
        "password": "REDACTED",
    }


def test_a_parameter_that_does_not_exist_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def process(order_id: int, side: str) -> None: ...

    def nothing() -> None: ...

    tracer: Any = Tracing().tracer
    spans = FunctionSpans(tracer, function_of(process), "orders", "process", None, ("sid", "order_id"), 1000)
    assert spans.arguments == ("order_id",)
    assert FunctionSpans(tracer, function_of(nothing), "orders", "nothing", None, ("x",), 1000).arguments == ()
    assert capsys.readouterr().err.splitlines() == [
        "otel-run: function orders:process: no parameter sid: it has order_id, side",
        "otel-run: function orders:nothing: no parameter x: it has none",
    ]


def test_a_coroutine_is_a_span_from_its_first_step_to_its_last(tracing: Tracing) -> None:
    async def fetch(name: str) -> str:
        await asyncio.sleep(0)
        assert current().name == "fetch"
        return name

    async def main() -> Any:
        made = fetch("c")
        assert current().name == "main"
        return await asyncio.gather(fetch("a"), fetch("b"), made)

    tracing.trace(fetch, "name")
    tracing.trace(main)
    assert asyncio.run(main()) == ["a", "b", "c"]
    assert sorted(tracing.names) == ["fetch", "fetch", "fetch", "main"]
    assert tracing["main"].parent is None


def test_an_abandoned_coroutine_restores_no_context_that_is_not_its_own(tracing: Tracing) -> None:
    async def forever() -> None:
        await Never()

    made = tracing.trace(forever)()
    contextvars.copy_context().run(made.send, None)
    with tracing.tracer.start_as_current_span("other"):
        around = context.get_current()
        made.close()
        assert context.get_current() is around
    assert tracing.names == ["forever", "other"]
    assert tracing["forever"].status.status_code is StatusCode.UNSET


def test_a_generator_is_current_in_its_steps_and_never_in_between(tracing: Tracing) -> None:
    seen = []

    def numbers() -> Iterator[int]:
        for number in range(2):
            seen.append(current().name)
            yield number
        with tracing.tracer.start_as_current_span("last step"):
            pass

    tracing.trace(numbers)
    with tracing.tracer.start_as_current_span("consumer"):
        around = context.get_current()
        for _ in numbers():
            assert context.get_current() is around
        assert context.get_current() is around
    assert seen == ["numbers", "numbers"]
    assert tracing.names == ["last step", "numbers", "consumer"]
    assert tracing.parent_of("last step") == "numbers"
    assert tracing.parent_of("numbers") == "consumer"


def test_an_async_generator_is_current_in_its_steps_alone(tracing: Tracing) -> None:
    seen = []

    async def numbers() -> AsyncIterator[int]:
        for number in range(2):
            await asyncio.sleep(0)
            seen.append(current().name)
            yield number

    tracing.trace(numbers)

    async def consume() -> None:
        async for _ in numbers():
            assert not current().is_recording()

    asyncio.run(consume())
    assert seen == ["numbers", "numbers"]
    assert tracing.names == ["numbers"]


def test_a_generator_goes_on_in_other_threads_and_contexts(tracing: Tracing) -> None:
    seen = []

    def numbers() -> Iterator[int]:
        while True:
            seen.append(current().name)
            yield 1

    made = tracing.trace(numbers)()
    next(made)
    thread = threading.Thread(target=next, args=(made,))
    thread.start()
    thread.join()
    contextvars.copy_context().run(next, made)
    made.close()
    assert seen == ["numbers"] * 3
    assert not current().is_recording()
    assert tracing.names == ["numbers"]
    assert tracing["numbers"].status.status_code is StatusCode.UNSET


def test_a_block_has_what_its_context_manager_makes_current(tracing: Tracing) -> None:
    def transaction() -> Iterator[None]:
        with tracing.tracer.start_as_current_span("by hand"):
            yield
            current().set_attribute("after", "the block")
        current().set_attribute("after", "all")

    tracing.trace(transaction)
    before = context.get_current()
    with contextlib.contextmanager(transaction)():
        assert current().name == "by hand"
    assert context.get_current() is before
    assert tracing["by hand"].attributes["after"] == "the block"
    assert tracing["transaction"].attributes["after"] == "all"
    assert tracing.parent_of("by hand") == "transaction"


def test_below_a_span_that_is_not_sampled_nothing_is_made() -> None:
    tracing = Tracing(HALF)

    def work() -> Any:
        return current()

    tracing.trace(work)
    below = []
    for _ in range(40):
        with tracing.tracer.start_as_current_span("request") as request:
            below.append((request, work()))
    # What was current in the function is what was current around it.
    dropped = [seen for request, seen in below if type(request) is Unsampled]
    assert dropped == [request for request, _ in below if type(request) is Unsampled] != []
    assert tracing.names.count("work") == tracing.names.count("request")


def test_below_a_function_that_is_not_sampled_nothing_is_sampled_by_itself() -> None:
    tracing = Tracing(HALF)

    def inner() -> None: ...

    def outer() -> None:
        inner()

    tracing.trace(inner)
    tracing.trace(outer)
    for _ in range(40):
        outer()
    assert 0 < tracing.names.count("outer") < 40
    assert tracing.names == ["inner", "outer"] * tracing.names.count("outer")


def test_where_nothing_is_sampled_nothing_is_current() -> None:
    tracing = Tracing(OFF)
    before = context.get_current()

    def work() -> Any:
        return context.get_current()

    assert tracing.trace(work)() is before
    assert tracing.names == []


def test_where_others_want_no_spans_there_are_none(tracing: Tracing) -> None:
    def work() -> None: ...

    tracing.trace(work)
    for key in (EVERYTHING, "suppress_instrumentation"):
        token = context.attach(context.set_value(key, True))
        work()
        context.detach(token)
    assert tracing.names == []


def test_calls_beyond_the_limit_are_counted_on_the_span_around(tracing: Tracing) -> None:
    def work() -> None: ...

    def other() -> None: ...

    tracing.trace(work, limit=3)
    tracing.trace(other, limit=2)
    with tracing.tracer.start_as_current_span("request"):
        for _ in range(10):
            work()
            other()
        assert current().name == "request"
    assert tracing.names == ["work", "other", "work", "other", "work", "request"]
    assert dict(tracing["request"].attributes) == {"otelrun.calls.orders.work": 7, "otelrun.calls.orders.other": 8}


def test_no_call_of_many_threads_is_lost(tracing: Tracing) -> None:
    def work() -> None: ...

    tracing.trace(work, limit=1)
    with tracing.tracer.start_as_current_span("request") as span:
        around = trace.set_span_in_context(span)

        def many() -> None:
            context.attach(around)
            for _ in range(1000):
                work()

        threads = [threading.Thread(target=many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    told = tracing.names.count("work")
    assert tracing["request"].attributes["otelrun.calls.orders.work"] == 4000 - told


def test_calls_beyond_the_limit_with_nothing_around_are_noted_once(tracing: Tracing) -> None:
    def hot() -> None: ...

    tracing.trace(hot, limit=1)
    for _ in range(5):
        hot()
    assert tracing.names == ["hot"]
    noted = [note for note in report.notes if note[0] == "function orders:hot"]
    assert [note[1] for note in noted] == ["over the limit"]


def test_what_nobody_will_see_does_not_use_up_the_limit() -> None:
    tracing = Tracing(HALF)

    def work() -> None: ...

    tracing.trace(work, limit=5)
    for _ in range(100):
        work()
    assert tracing.names == ["work"] * 5


def test_a_span_has_room_for_counts_or_they_are_left_out(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span("request") as request:
        span: Any = request
        for number in range(128):
            span.set_attribute(f"own.{number}", number)
        span.count("otelrun.calls.f")
    assert "otelrun.calls.f" not in tracing["request"].attributes
    assert len(tracing["request"].attributes) == 128


class Starting(SpanProcessor):
    """Notes what it is told when a span starts."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.seen.append(dict(span.attributes))


class Asked(sampling.Sampler):
    """Notes what it is asked, and keeps all."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def should_sample(self, *args: Any, **kwargs: Any) -> sampling.SamplingResult:
        attributes = args[4]
        self.seen.append(dict(attributes))
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "asked"


def test_samplers_and_processors_see_all_that_is_known_at_the_start() -> None:
    def work(order_id: int, side: str | None = None) -> None: ...

    sampler, starting = Asked(), Starting()
    tracing = Tracing(sampler)
    tracing.provider.add_span_processor(starting)
    tracing.trace(work, "order_id", "side")
    with tracing.tracer.start_as_current_span("request", attributes={"a": 1}):
        work(7)
    expected = {"order_id": 7, "code.function.name": "orders.work", "code.file.path": __file__}
    for seen in (sampler.seen, starting.seen):
        request, told = seen
        line = told.pop("code.line.number")
        assert (request, told, type(line)) == ({"a": 1}, expected, int)


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5"}, {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "2"}]
)
def test_a_span_below_another_is_as_one_that_the_tracer_makes(variables: dict[str, str]) -> None:
    def work(side: str) -> None: ...

    tracing = Tracing(**variables)
    spans = FunctionSpans(tracing.tracer, function_of(work), "orders", "work", None, ("side",), 10)
    with tracing.tracer.start_as_current_span("request") as request:
        spans.end(spans.begin(("buying",)), None)  # type: ignore[arg-type]
        ours = tracing["work"]
        attributes = {**spans._attributes, "side": "buying"}
        theirs: Any = tracing.tracer.start_span("work", attributes=attributes, start_time=ours.start_time)
        theirs.end(ours.end_time)
    ours_told, theirs_told = (json.loads(span.to_json()) for span in (ours, theirs))
    assert ours_told["context"].pop("span_id") != theirs_told["context"].pop("span_id")
    assert ours_told == theirs_told
    assert ours.context.trace_state is theirs.context.trace_state
    assert ours.context.trace_flags == theirs.context.trace_flags
    assert ours.dropped_attributes == theirs.dropped_attributes
    assert ours.parent == request.get_span_context()

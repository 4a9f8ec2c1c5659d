"""Any sequence of calls on a span, good and bad ones: hypothesis looks for one that tells ours from theirs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from opentelemetry import context as contexts
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.sampling import Decision, StaticSampler
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from tracing.like_sdk import Side, compare


class Told:
    def __str__(self) -> str:
        return "told"


class Mute: ...


class Text(str):
    __slots__ = ()


plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=5),
    st.text(max_size=8), st.text(st.characters(categories=["Cs", "Lu"]), max_size=3),
)  # fmt: skip
odd = st.sampled_from([object(), Told(), Mute(), Text("text"), {1}, range(2), 1j, bytearray(b"ab"), ValueError("bad")])
keys: Any = st.sampled_from(["a", "b", "c", "d", "e"]) | st.text(max_size=3)
odd_keys: Any = keys | st.sampled_from(["", None, 0, 1, True, b"a", Text("a"), Told(), Mute(), ("a",)])
values: Any = st.recursive(
    plain | odd,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(odd_keys, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
containers = st.dictionaries(keys, values, max_size=4) | st.dictionaries(odd_keys, values, max_size=4)
attributes = st.none() | containers | containers.map(MappingProxyType)
times = st.none() | st.integers(0, 2**40)
states = st.sampled_from([None, TraceState(), TraceState([("a", "b")])])
ids = st.sampled_from([0, 1, 2**63])
span_contexts = st.builds(SpanContext, ids, ids, st.booleans(), st.integers(0, 3).map(TraceFlags), states)
codes = st.sampled_from(StatusCode)
texts = st.none() | st.text(max_size=3)
statuses: Any = st.builds(Status, codes, texts) | codes | st.none()
errors = st.sampled_from([ValueError("bad"), KeyError("k"), OSError(2, "missing"), KeyboardInterrupt(), Exception()])

operations = st.lists(
    st.one_of(
        st.tuples(st.just("set_attribute"), st.tuples(odd_keys, values)),
        st.tuples(st.just("set_attributes"), st.tuples(attributes)),
        st.tuples(st.just("add_event"), st.tuples(st.text(max_size=3), attributes, times)),
        st.tuples(st.just("add_link"), st.tuples(span_contexts, attributes)),
        st.tuples(st.just("set_status"), st.tuples(statuses, texts)),
        st.tuples(st.just("record_exception"), st.tuples(errors, attributes, times, st.booleans())),
        st.tuples(st.just("update_name"), st.tuples(st.text(max_size=3))),
        st.tuples(st.just("end"), st.tuples(times)),
        st.tuples(st.just("is_recording"), st.just(())),
    ),
    max_size=12,
)
counts = st.sampled_from([None, 0, 1, 2, 3, SpanLimits.UNSET])
limits = st.fixed_dictionaries(
    {},
    optional={
        f"max_{name}": counts for name in (
            "attributes", "events", "links", "span_attributes", "event_attributes", "link_attributes",
            "attribute_length", "span_attribute_length",
        )
    },
)  # fmt: skip


def _raised(error: BaseException) -> BaseException:
    """Return an exception that has been somewhere."""
    try:
        raise error
    except BaseException as found:  # noqa: BLE001 - what is raised is the result
        return found


def _run(side: Side, span: Any, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    for name, arguments in calls:
        side.try_(name, lambda name=name, arguments=arguments: getattr(span, name)(*arguments))  # type: ignore[misc]
        side.note("the span", span)


@given(operations, attributes, st.lists(st.tuples(span_contexts, attributes), max_size=3), limits, times)
@effort(max_examples=70, deadline=None)
def test_any_calls_on_a_span(
    calls: list[Any], at_start: Any, links: list[Any], limits: dict[str, Any], start_time: int | None
) -> None:
    def program(side: Side) -> None:
        # Links are made anew for each: theirs changes what it is given.
        made = [Link(*parts) for parts in links]
        span = side.try_(
            "start",
            lambda: side.tracer.start_span("span", Context(), SpanKind.SERVER, at_start, made, start_time),
        )
        if span is not None:
            _run(side, span, calls)
            span.end()

    compare(program, limits=SpanLimits(**limits))


moves = st.lists(
    st.tuples(
        st.sampled_from(["open", "leave", "fail", "exit", "span", "end oldest", "attach"]),
        st.integers(0, 7),
        st.none() | span_contexts,
    ),
    max_size=12,
)
decisions = st.sampled_from([Decision.RECORD_AND_SAMPLE, Decision.RECORD_ONLY, Decision.DROP, None])


@given(moves, decisions)
@effort(max_examples=70, deadline=None)
def test_any_nesting_of_spans(moves: list[tuple[str, int, SpanContext | None]], decision: Decision | None) -> None:
    def program(side: Side) -> None:
        blocks: list[Any] = []
        started: list[Any] = []
        for number, (move, bits, parent) in enumerate(moves):
            around = None if parent is None else api.set_span_in_context(NonRecordingSpan(parent))
            more = {"record_exception": bool(bits & 1), "set_status_on_exception": bool(bits & 2)}
            if move == "open":
                block = side.tracer.start_as_current_span(str(number), around, end_on_exit=bool(bits & 4), **more)
                started.append(block.__enter__())
                blocks.append(block.__exit__)
            elif move == "attach":
                token = contexts.attach(around or Context())
                blocks.append(lambda *_error, token=token: contexts.detach(token))
            elif move == "span":
                started.append(side.tracer.start_span(str(number), around, **more))
            elif move == "end oldest":
                for span in started[:1]:
                    span.end()
                del started[:1]
            elif blocks:
                error = {"fail": _raised(ValueError(str(number))), "exit": _raised(SystemExit(number))}.get(move)
                # With the stack, as `with` calls it: without, Python 3.10 has theirs take it from the error.
                given = (type(error), error, error.__traceback__) if error else (None, None, None)
                side.note(move, bool(blocks.pop()(*given)))
            side.note("current", api.get_current_span().get_span_context())
        while blocks:
            blocks.pop()(None, None, None)

    compare(program, **({} if decision is None else {"sampler": StaticSampler(decision)}))

"""The bytes of a request: after parsing what the SDK's exporter makes, and better where that loses something."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections import UserDict, deque
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, EventBase, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_run import boundary, report
from otel_run.export import copied
from otel_run.export.encode import Encoder
from otel_run.export.encode_attributes import LONGEST_KEPT, MOST_KEPT
from otel_run.export.encode_value import DEEPEST
from otel_run.tracing.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 2**63 - 1
# Whether Python refuses to write numbers of thousands of digits, which the first 3.10 did not.
LIMITED = hasattr(sys, "set_int_max_str_digits")
CONTEXT = SpanContext(0x0102 << 100, 0xA1 << 48, is_remote=False, trace_flags=TraceFlags(1))
ELSEWHERE = SpanContext(
    7, 8, is_remote=True, trace_flags=TraceFlags(3), trace_state=TraceState([("a", "b"), ("c", "d")])
)
RESOURCE = Resource({"service.name": "app"})


def _span(name: str = "span", attributes: Any = None, **more: Any) -> ReadableSpan:
    more = {"context": CONTEXT, "resource": RESOURCE, "start_time": 1, "end_time": 2, **more}
    return ReadableSpan(name, attributes=attributes, **more)


def _parsed(*spans: ReadableSpan, encoder: Encoder | None = None) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString((encoder or Encoder()).encode(iter(spans)))


def _one(span: ReadableSpan) -> Any:
    return _parsed(span).resource_spans[0].scope_spans[0].spans[0]


def _told(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of the span, as parsed."""
    return {one.key: one.value for one in _one(span).attributes}


def _without_what_is_better(request: ExportTraceServiceRequest) -> bytes:
    """Return the request without what the SDK's exporter leaves out; as bytes, in which NaN equals NaN."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                span.flags &= ~0xFF
                for link in span.links:
                    link.flags &= ~0xFF
                    link.ClearField("trace_state")
    return request.SerializeToString(deterministic=True)


TEXTS = st.text(max_size=100)
NUMBERS = st.integers(-MOST - 1, MOST) | st.sampled_from([0, 1, -1, MOST, -MOST - 1, 127, 128, 1023, 1024])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | TEXTS | st.binary(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.lists(inner, max_size=4).map(deque)
        | st.dictionaries(TEXTS, inner, max_size=3)
        | st.dictionaries(TEXTS, inner, max_size=3).map(UserDict)
    ),
    max_leaves=6,
)


def _bounded(attributes: dict[str, Any], dropped: int) -> BoundedAttributes:
    bounded = BoundedAttributes()
    bounded._dict, bounded.dropped = attributes, dropped
    return bounded


def _list_of(parts: list[Any], dropped: int) -> BoundedList[Any]:
    bounded = BoundedList.from_seq(len(parts), parts)
    bounded.dropped = dropped
    return bounded


DROPPED = st.sampled_from([0, 0, 1, 300, 2**32 - 1])
# Few names, so that each is met with values of many types, equal ones among them.
PLAIN = st.dictionaries(st.sampled_from(["", "a", "http.route", "é" * 70]) | TEXTS, VALUES, max_size=5)
ATTRIBUTES = PLAIN | st.builds(_bounded, PLAIN, DROPPED) | st.none()
TIMES = st.none() | st.integers(0, 2**64 - 1)
STATES = st.lists(st.tuples(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.just("v=1")), max_size=3).map(TraceState)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
    st.none() | STATES,
)
EVENTS = st.builds(Event, TEXTS, ATTRIBUTES, st.integers(0, 2**64 - 1))
LINKS = st.builds(Link, CONTEXTS, ATTRIBUTES)
STATUSES = st.builds(Status, st.just(StatusCode.ERROR), st.none() | TEXTS) | st.sampled_from(
    [Status(StatusCode.UNSET), Status(StatusCode.OK)]
)
RESOURCES = st.sampled_from([
    RESOURCE, Resource({"service.name": "app"}), Resource({}), Resource({"n": 1, "l": ["a", "b"]}),
    Resource({"n": 1, "l": ["a", "b"]}, "https://schema/1"),
])  # fmt: skip
SCOPES = st.sampled_from([
    None, InstrumentationScope("a"), InstrumentationScope("a"), InstrumentationScope("a", "1"),
    InstrumentationScope("a", "1", "https://schema/1"), InstrumentationScope("a", "1", None, {"k": "v", "n": 1.5}),
    InstrumentationScope("", ""),
])  # fmt: skip
SPANS = st.builds(
    ReadableSpan,
    name=TEXTS,
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    resource=RESOURCES,
    attributes=ATTRIBUTES,
    events=st.builds(_list_of, st.lists(EVENTS, max_size=2), DROPPED) | st.just(()) | st.lists(EVENTS, max_size=1),
    links=st.builds(_list_of, st.lists(LINKS, max_size=2), DROPPED) | st.just(()),
    kind=st.sampled_from(SpanKind),
    status=STATUSES,
    start_time=TIMES,
    end_time=TIMES,
    instrumentation_scope=SCOPES,
)

ENCODER = Encoder()  # of all examples: what it keeps of one must not show in another


@given(st.lists(SPANS, max_size=4))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_request_is_what_the_sdks_exporter_makes(spans: list[ReadableSpan]) -> None:
    expected = _without_what_is_better(encode_spans(spans))
    assert _without_what_is_better(_parsed(*spans)) == expected
    for _ in range(2):
        assert _without_what_is_better(_parsed(*spans, encoder=ENCODER)) == expected


class Computed(ReadableSpan):
    """A span as a processor of somebody's may hand it on, of which nothing is where the SDK keeps it."""

    def __init__(self, of: ReadableSpan) -> None:
        self._of = of

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name == "get_span_context":
            return super().__getattribute__(name)
        return getattr(self._of, name)

    name = context = parent = kind = status = attributes = events = links = resource = instrumentation_scope = None  # type: ignore[assignment]
    start_time = end_time = dropped_attributes = dropped_events = dropped_links = None  # type: ignore[assignment]

    def get_span_context(self) -> Any:
        return self._of.get_span_context()


@given(SPANS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_span_that_computes_what_it_tells_is_asked_for_it(span: ReadableSpan) -> None:
    assert _without_what_is_better(_parsed(Computed(span))) == _without_what_is_better(encode_spans([Computed(span)]))


def test_only_spans_of_the_sdks_and_ours_are_read_by_their_private_names() -> None:
    class Named(ReadableSpan):
        pass

    class Renamed(ReadableSpan):
        @property
        def name(self) -> str:
            return "GET " + self._name

    assert [copied.is_direct[kind] for kind in (ReadableSpan, Span, Named, Renamed)] == [True, True, True, False]
    assert _one(Renamed("x", CONTEXT, resource=RESOURCE)).name == "GET x"


def test_an_event_of_somebodys_own_tells_what_its_properties_say() -> None:
    class Lazy(EventBase):
        @property
        def attributes(self) -> Any:
            return {"n": 1}

    (event,) = _one(_span(events=(Lazy("seen", 5),))).events
    assert (event.name, event.time_unix_nano, event.attributes[0].value.int_value) == ("seen", 5, 1)


def test_equal_values_of_different_types_stay_apart() -> None:
    values: list[Any] = [1, True, 1.0, "1", b"1", 0, False, 0.0, -0.0, 1]
    encoder = Encoder()
    for _ in range(2):
        spans = _parsed(*[_span(attributes={"a": value}) for value in values], encoder=encoder).resource_spans[0]
        told = [span.attributes[0].value for span in spans.scope_spans[0].spans]
        kinds = ["int", "bool", "double", "string", "bytes", "int", "bool", "double", "double", "int"]
        assert [one.WhichOneof("value") for one in told] == [f"{kind}_value" for kind in kinds]
        assert str(told[8].double_value) == "-0.0"


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntFlag):
    LOW = 1


def test_enumerations_are_told_as_the_texts_and_numbers_that_they_are() -> None:
    told = _told(_span(attributes={"a": Colour.RED, "b": Level.LOW, "c": [Colour.RED, Level.LOW]}))
    assert (told["a"].string_value, told["b"].int_value) == ("red", 1)
    assert [one.string_value or one.int_value for one in told["c"].array_value.values] == ["red", 1]


def test_the_flags_tell_whether_it_was_sampled_and_whether_the_other_is_remote() -> None:
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))
    assert _one(_span(context=context)).flags == 0x101
    span = _one(_span(context=SpanContext(1, 2, False, TraceFlags(0)), parent=ELSEWHERE, links=(Link(ELSEWHERE),)))
    assert span.flags == 0x300
    assert (span.links[0].flags, span.links[0].trace_state) == (0x303, "a=b,c=d")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("caf\udcc3\udca9", "café"),
        ("bad\udcff", "bad\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_a_lone_surrogate_loses_nothing(given: str, told: str) -> None:
    span = _one(
        _span(
            given,
            {given: given, "nested": [{given: given}]},
            events=(Event(given, {given: given}, 1),),
            status=Status(StatusCode.ERROR, given),
        )
    )
    (event,) = span.events
    assert (span.name, span.status.message, event.name) == (told, told, told)
    assert [(one.key, one.value.string_value) for one in (span.attributes[0], *event.attributes)] == [(told, told)] * 2
    (nested,) = span.attributes[1].value.array_value.values[0].kvlist_value.values
    assert (nested.key, nested.value.string_value) == (told, told)


def test_an_integer_of_more_than_64_bits_is_told_in_decimal() -> None:
    told = _told(_span(attributes={"a": 2**63, "b": [-(2**63) - 1], "c": MOST}))
    assert told["a"].string_value == "9223372036854775808"
    assert told["b"].array_value.values[0].string_value == "-9223372036854775809"
    assert told["c"].int_value == MOST


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    monkeypatch.setattr(report, "notes", [])
    return report.notes


def test_a_value_of_no_type_of_otlps_costs_its_attribute_and_one_warning(warnings: list[Any]) -> None:
    nested: list[Any] = []
    for _ in range(DEEPEST + 1):
        nested = [nested]
    attributes = {"a": Decimal(1), "b": 1, "c": [Decimal(2)], "d": {"e": object()}, "f": nested, "g": 10**5000, 5: 6}
    encoder = Encoder()
    for _ in range(2):
        span = _parsed(_span(attributes=attributes), encoder=encoder).resource_spans[0].scope_spans[0].spans[0]
        assert [one.key for one in span.attributes] == (["b"] if LIMITED else ["b", "g"])
    states = [(state, why) for _, state, why in warnings]
    assert states[:3] == [
        ("attribute 'a' dropped", "decimal.Decimal: OTLP has no type for it"),
        ("attribute 'd' dropped", "builtins.object: OTLP has no type for it"),
        ("attribute 'f' dropped", "nested in more than 30 levels: OTLP has no type for it"),
    ]
    assert states[-1] == ("attribute 5 dropped", "a name that is no text but int: OTLP has no type for it")
    assert len(states) == (5 if LIMITED else 4)


def test_what_is_nested_as_deep_as_may_be_is_read_by_protobuf(warnings: list[Any]) -> None:
    nested: Any = 1
    for _ in range(DEEPEST):
        nested = {"a": nested}
    span = _one(_span(events=(Event("e", {"n": nested}, 1),)))
    assert span.events[0].attributes[0].key == "n"
    assert warnings == []


def test_what_contains_itself_costs_its_attribute(warnings: list[Any]) -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert list(_told(_span(attributes={"a": endless, "b": 1}))) == ["b"]
    assert len(warnings) == 1


def test_a_container_that_raises_costs_its_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strange(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return 1 // 0

        def __iter__(self) -> Iterator[str]:
            return iter("x")

        def __len__(self) -> int:
            return 1

    errors: list[str] = []
    monkeypatch.setattr(boundary, "strict", False)
    monkeypatch.setattr(boundary, "_listeners", [lambda unit, error: errors.append(f"{unit}: {error}")])
    assert list(_told(_span(attributes={"a": Strange(), "b": 1}))) == ["b"]
    assert errors == ["exporter otlp: attribute a: integer division or modulo by zero"]


@pytest.mark.parametrize(
    "wrong",
    [{"context": None}, {"context": SpanContext(2**128, 1, False)}, {"start_time": -1}, {"end_time": "now"},
     {"kind": None}, {"links": (None,)}, {"attributes": [1]}, {"parent": SpanContext(1, 2**64, False)}],
    ids=str,
)  # fmt: skip
def test_a_span_that_cannot_be_encoded_loses_itself_alone(
    wrong: dict[str, Any], warnings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundary, "strict", False)
    monkeypatch.setattr(boundary, "_listeners", [])
    strange = _span("strange", **wrong)
    parsed = _parsed(_span("one"), strange, strange, _span("two"))
    names = [span.name for span in parsed.resource_spans[0].scope_spans[0].spans if span.name != "strange"]
    assert names == ["one", "two"]
    if wrong != {"links": (None,)}:  # of which only the link is lost
        assert [(unit, state) for unit, state, _ in warnings] == [("exporter otlp", "1 span lost")]
        assert warnings[0][2].startswith("it can't be encoded: ")


def test_a_name_that_is_no_text_loses_its_span_alone(warnings: list[Any]) -> None:
    strange: Any = 5
    parsed = _parsed(_span("one"), _span(strange), _span(strange))
    assert [span.name for span in parsed.resource_spans[0].scope_spans[0].spans] == ["one"]
    assert len(warnings) == 1


def test_spans_are_taken_one_by_one() -> None:
    taken: list[ReadableSpan] = []

    def spans() -> Iterator[ReadableSpan]:
        for name in "abc":
            taken.append(_span(name, {"k": name}))
            yield taken[-1]
            taken[-1]._name = "too late"

    (scope,) = ExportTraceServiceRequest.FromString(Encoder().encode(spans())).resource_spans[0].scope_spans
    assert [span.name for span in scope.spans] == ["a", "b", "c"]


def test_resources_and_scopes_that_say_the_same_are_one() -> None:
    def of(order: str, scope: str) -> ReadableSpan:
        return _span(resource=Resource(dict.fromkeys(order, 1)), instrumentation_scope=InstrumentationScope(scope))

    parsed = _parsed(of("ab", "x"), of("c", "x"), of("ba", "y"), of("ab", "x"))
    counted = [[len(scope.spans) for scope in resource.scope_spans] for resource in parsed.resource_spans]
    assert counted == [[2, 1], [1]]


def test_resources_that_come_and_go_are_not_taken_for_each_other() -> None:
    encoder = Encoder()
    for number in range(600):
        span = _span(resource=Resource({"n": number}), instrumentation_scope=InstrumentationScope(f"s{number}"))
        (resource,) = _parsed(span, encoder=encoder).resource_spans
        assert resource.resource.attributes[0].value.int_value == number
        assert resource.scope_spans[0].scope.name == f"s{number}"
        del span


def test_resources_that_come_and_go_within_a_batch_are_not_taken_for_each_other() -> None:
    def spans() -> Iterator[ReadableSpan]:
        # Equal ones, of which the batch keeps the first, die and leave their identity to others.
        for number in range(900):
            yield _span(f"{number}", resource=Resource({"n": number % 7}))

    request = ExportTraceServiceRequest.FromString(Encoder().encode(spans()))
    told = {
        int(span.name): one.resource.attributes[0].value.int_value
        for one in request.resource_spans
        for span in one.scope_spans[0].spans
    }
    assert told == {number: number % 7 for number in range(900)}


def test_what_is_kept_is_bounded_and_never_long() -> None:
    encoder = Encoder()
    long = "x" * (LONGEST_KEPT + 1)
    many = (_span(f"n{n}", {f"k{n}": "v", "t": f"{n}", "n": n, "l": f"{long}{n}"}) for n in range(3 * MOST_KEPT))
    encoder.encode(many)
    attributes = encoder._attributes
    kept = (attributes.texts, attributes.integers, attributes._names, encoder._names)
    assert all(0 < len(one) <= MOST_KEPT for one in kept)
    assert not any(long in str(key) for one in kept for key in one)


def test_nothing_is_a_request_too() -> None:
    assert Encoder().encode(iter(())) == b""


PROGRAM = """
import sys
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext
from otel_run.export.encode import Encoder
encoded = Encoder().encode([ReadableSpan("a", SpanContext(1, 2, False))])
wanted = ("google", "opentelemetry.proto", "opentelemetry.exporter")
print(len(encoded) > 9, [name for name in sys.modules if name.startswith(wanted)])
"""


def test_protobuf_is_not_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"

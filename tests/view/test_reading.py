"""Lines of OTLP JSON, as anybody writes them: the same spans, and for what is none a ValueError and nothing else."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_run.export.encode import Encoder
from otel_run.export.otlp_json import to_json
from otel_run.view.reading import read_line
from otel_run.view.span import CLIENT, ERROR, SERVER, Event, Span

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def plain(value: object) -> object:
    """Return a span or an event as something that can be compared."""
    if isinstance(value, Span | Event):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return [plain(one) for one in value] if isinstance(value, list) else value


def line(*spans: Any, resource: object = None, scope: object = None) -> str:
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]})


def one(**given: Any) -> Span:
    [span] = read_line(line({"traceId": TRACE, "spanId": SPAN, **given}))
    return span


def attribute(value: object) -> object:
    return one(attributes=[{"key": "a", "value": value}]).attributes["a"]


FULL = {
    "traceId": TRACE,
    "spanId": SPAN,
    "parentSpanId": PARENT,
    "name": "GET /",
    "kind": 3,
    "startTimeUnixNano": "1700000000000000001",
    "endTimeUnixNano": "1700000000000000009",
    "attributes": [{"key": "url.full", "value": {"stringValue": "http://x/"}}],
    "droppedAttributesCount": 1,
    "events": [
        {
            "name": "exception",
            "timeUnixNano": "1700000000000000005",
            "attributes": [{"key": "exception.type", "value": {"stringValue": "OSError"}}],
            "droppedAttributesCount": 2,
        }
    ],
    "droppedEventsCount": 4,
    "links": [{"traceId": TRACE, "spanId": PARENT, "droppedAttributesCount": 8}],
    "droppedLinksCount": 16,
    "status": {"code": 2, "message": "no"},
}
RESOURCE = {
    "attributes": [
        {"key": "service.name", "value": {"stringValue": "shop"}},
        {"key": "host.name", "value": {"stringValue": "here"}},
        {"key": "process.pid", "value": {"intValue": "7"}},
    ]
}
SCOPE = {"name": "otel_run.httpx"}
WANTED = Span(
    TRACE,
    SPAN,
    PARENT,
    "GET /",
    1700000000000000001,
    1700000000000000009,
    CLIENT,
    {"url.full": "http://x/"},
    ERROR,
    "no",
    [Event("exception", 1700000000000000005, {"exception.type": "OSError"})],
    [(TRACE, PARENT)],
    "otel_run.httpx",
    "shop",
    "here 7",
    31,
)


def underscored(value: Any) -> Any:
    if isinstance(value, list):
        return [underscored(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in name): underscored(inner)
        for name, inner in value.items()
    }


def in_base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


@pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "bytes"])
@pytest.mark.parametrize(
    "form",
    [
        lambda data: data,
        underscored,
        lambda data: json.loads(json.dumps(data).replace(TRACE, TRACE.upper()).replace(SPAN, SPAN.upper())),
        lambda data: json.loads(
            json.dumps(data)
            .replace(TRACE, in_base64(TRACE))
            .replace(SPAN, in_base64(SPAN))
            .replace(PARENT, in_base64(PARENT))
        ),
        lambda data: json.loads(
            json.dumps(data).replace('"kind": 3', '"kind": "SPAN_KIND_CLIENT"').replace("2,", '"STATUS_CODE_ERROR",')
        ),
        lambda data: json.loads(json.dumps(data).replace('"1700000000000000001"', "1700000000000000001")),
        lambda data: {**data, "unknown": [{}], "resourceSpans": [{"schemaUrl": "x", **data["resourceSpans"][0]}]},
    ],
    ids=["camel case", "underscores", "upper-case ids", "base64", "names of enums", "numbers", "unknown fields"],
)
def test_a_whole_span_is_read_in_every_form_of_protobufs_json(form: Any, as_bytes: bool) -> None:
    text = json.dumps(form(json.loads(line(FULL, resource=RESOURCE, scope=SCOPE))))
    found = list(read_line(text.encode() if as_bytes else text))
    assert plain(found) == plain([WANTED])


def test_what_the_agent_writes_is_read() -> None:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

    context = SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=TraceFlags(1))
    resource = Resource({"service.name": "shop", "service.instance.id": "one"})
    attributes = {"a": "b", "n": 1, "f": 0.5, "t": True, "l": [1, 2]}
    ours = ReadableSpan(
        "work", context, resource=resource, attributes=attributes, kind=SpanKind.SERVER, start_time=5, end_time=9
    )
    [written] = to_json(Encoder().encode([ours]))
    wanted = Span(TRACE, SPAN, "", "work", 5, 9, SERVER, attributes, 0, "", [], [], "", "shop", "one")
    assert plain(list(read_line(written))) == plain([wanted])


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"stringValue": "x"}, "x"),
        ({"boolValue": False}, False),
        ({"intValue": "-5"}, -5),
        ({"intValue": 5}, 5),
        ({"intValue": "1e3"}, 1000),
        ({"intValue": "9" * 400}, None),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": "x"}, None),
        ({"bytesValue": "AP8="}, b"\x00\xff"),
        ({"bytesValue": "_w"}, b"\xff"),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}, {}]}}, [1, "b", None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, {"k": True}),
        ({}, None),
        ({"futureValue": 1}, None),
        ("plain", "plain"),
        (True, True),
    ],
)
def test_values_are_pythons(value: object, wanted: object) -> None:
    found = attribute(value)
    assert (found, type(found)) == (wanted, type(wanted))


def test_values_within_values_have_an_end() -> None:
    value: dict[str, Any] = {"intValue": "1"}
    for _ in range(100):
        value = {"arrayValue": {"values": [value]}}
    found, depth = attribute(value), 0
    while isinstance(found, list):
        [found] = found
        depth += 1
    assert (found, depth) == (None, 32)


def test_a_span_without_an_end_is_open_and_one_of_zeros_has_no_parent() -> None:
    span = one(startTimeUnixNano="5", parentSpanId="0" * 16)
    assert (span.start, span.end, span.is_open, span.parent_id) == (5, 5, True, "")
    assert not one(startTimeUnixNano="5", endTimeUnixNano="5").is_open


def test_times_out_of_all_bounds_become_times() -> None:
    span = one(startTimeUnixNano="-5", endTimeUnixNano=1e300)
    assert (span.start, span.end) == (0, 2**64 - 1)


@pytest.mark.parametrize("written", [r"\ud800", r"\uD800"])
def test_half_characters_can_be_written_again(written: str) -> None:
    text = line({"traceId": TRACE, "spanId": SPAN, "name": "NAME"}).replace("NAME", f"a{written}b\\ud83d\\ude00")
    [span] = read_line(text)
    assert span.name == "a?b\N{GRINNING FACE}"
    [span] = read_line(
        line({"traceId": TRACE, "spanId": SPAN, "name": "N"}).encode().replace(b'"N"', b'"\xed\xa0\x80"')
    )
    assert span.name.encode()


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it() -> None:
    assert len(list(read_line("\N{ZERO WIDTH NO-BREAK SPACE}" + line(FULL)))) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        (line(FULL)[:-20], "no JSON"),
        ("[]", "no resourceSpans"),
        ("1", "no resourceSpans"),
        ("{}", "no resourceSpans"),
        ('{"resourceLogs": []}', "no resourceSpans"),
        ('{"resourceSpans": {}}', "no resourceSpans"),
        ("[" * 1_000_000, "too much in each other"),
    ],
    ids=str,
)
def test_what_is_no_line_of_traces_is_refused_in_a_few_words(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        list(read_line(text))


def test_spans_without_ids_are_told_and_the_others_come() -> None:
    spans = read_line(line({"spanId": SPAN}, FULL, {"traceId": "0" * 32, "spanId": SPAN}, 7))
    assert next(spans).name == "GET /"
    with pytest.raises(ValueError, match=r"^3 spans without ids$"):
        next(spans)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([TRACE, SPAN, "2"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FULL, "key", "value", "values", "arrayValue", "bytesValue"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, JSON, JSON)
@example([{"key": "a", "value": {"intValue": math.inf}}], {}, {})
@example([{"key": "a", "value": {"kvlistValue": {"values": 3}}}], [7], {"code": []})
def test_any_json_is_spans_or_a_valueerror(attributes: Any, events: Any, status: Any) -> None:
    whole = {**FULL, "attributes": attributes, "events": events, "links": events, "status": status, "kind": status}
    [span] = read_line(line(whole, resource={"attributes": attributes}, scope=status))
    assert (span.trace_id, span.start, span.end) == (TRACE, WANTED.start, WANTED.end)
    for text in (json.dumps({"resourceSpans": attributes}), json.dumps({**whole, "resourceSpans": [whole, events]})):
        try:
            list(read_line(text))
        except ValueError:
            pass


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_spans_or_a_valueerror(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(no|too|\d)"):
        list(read_line(raw))

"""Lines of OTLP JSON: what protobuf's own JSON says, with ids in hexadecimal, and back without a loss."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_run.export.encode import Encoder
from otel_run.export.otlp_from_json import to_protobuf
from otel_run.export.otlp_json import LONGEST_LINE, count_spans, to_json
from otel_run.export.otlp_schema import ENUMS, MESSAGES

IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
# What profiles alone have.
FOREIGN = ("key_strindex", "string_value_strindex")

SCALARS: dict[int, st.SearchStrategy[Any]] = {
    1: st.floats(allow_nan=False) | st.just(float("nan")),  # JSON knows one NaN of many
    3: st.integers(-(2**63), 2**63 - 1),
    6: st.integers(0, 2**64 - 1),
    7: st.integers(0, 2**32 - 1),
    8: st.booleans(),
    9: st.text(max_size=20) | st.sampled_from(['"startTimeUnixNano":', "\u2028\n", "\\"]),
    12: st.binary(max_size=20),
    13: st.integers(0, 2**32 - 1),
    14: st.integers(0, 2),
}


def _fill(draw: Any, message: Any, depth: int) -> None:
    """Fill some of the fields that protobuf knows of the message, whatever our own table knows."""
    for field in message.DESCRIPTOR.fields:
        if field.name in FOREIGN or depth > 11 or draw(st.integers(0, 9)) < 4:
            continue
        if field.containing_oneof and message.WhichOneof(field.containing_oneof.name):
            continue
        inner = getattr(message, field.name)
        if field.type == 11 and field.is_repeated:
            for _ in range(draw(st.integers(1, 2))):
                _fill(draw, inner.add(), depth + 1)
        elif field.type == 11:
            inner.SetInParent()
            _fill(draw, inner, depth + 1)
        elif field.is_repeated:
            inner.extend(draw(st.lists(SCALARS[field.type], max_size=2)))
        else:
            setattr(message, field.name, draw(SCALARS[field.type]))


@st.composite
def traces(draw: Any) -> Any:
    """Give a TracesData in which no list of spans is empty: what holds no span is not kept."""
    data: Any = TracesData()
    for _ in range(draw(st.integers(1, 2))):
        resource = data.resource_spans.add()
        _fill(draw, resource.resource, 1)
        resource.resource.SetInParent()
        for _ in range(draw(st.integers(1, 2))):
            scope = resource.scope_spans.add(schema_url=draw(st.text(max_size=5)))
            _fill(draw, scope.scope, 1)
            for _ in range(draw(st.integers(1, 3))):
                span = scope.spans.add()
                _fill(draw, span, 1)
                span.start_time_unix_nano = 1  # ours always have one, and are counted by it
    return data


def _with_hex_ids(value: Any) -> Any:
    """Return protobuf's JSON as OTLP wants it, or OTLP's as it is."""
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex() if key in IDS and isinstance(item, str) else _with_hex_ids(item)
        for key, item in value.items()
    }


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in IDS else _with_base64_ids(item)
        for key, item in value.items()
    }


def _bytes(data: Any) -> bytes:
    """Return a message so that NaN equals NaN."""
    return bytes(data.SerializeToString(deterministic=True))


def _parsed(line: bytes) -> Any:
    """Read a line by protobuf's package alone."""
    return json_format.ParseDict(_with_base64_ids(json.loads(line)), TracesData())


MORE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@MORE
@given(data=traces())
def test_a_line_is_what_protobufs_own_json_says(data: Any) -> None:
    [line] = to_json(data.SerializeToString())
    assert json.loads(line) == _with_hex_ids(json_format.MessageToDict(data, use_integers_for_enums=True))
    assert _bytes(_parsed(line)) == _bytes(data)
    assert b"\n" not in line
    assert count_spans(line) == sum(len(scope.spans) for one in data.resource_spans for scope in one.scope_spans)


@MORE
@given(data=traces(), by_name=st.booleans(), numbers=st.booleans())
def test_a_line_of_protobufs_json_is_read(data: Any, by_name: bool, numbers: bool) -> None:
    told = json_format.MessageToDict(data, preserving_proto_field_name=by_name, use_integers_for_enums=numbers)
    line = json.dumps(_with_hex_ids(told)).encode()
    assert _bytes(TracesData.FromString(to_protobuf(line))) == _bytes(data)


def test_the_table_has_all_fields_that_protobuf_has() -> None:
    found: dict[str, dict[int, str]] = {}

    def walk(descriptor: Any) -> None:
        if descriptor.name not in found:
            known = [field for field in descriptor.fields if field.name not in FOREIGN]
            found[descriptor.name] = {field.number: field.json_name for field in known}
            for field in known:
                if field.message_type:
                    walk(field.message_type)

    walk(TracesData.DESCRIPTOR)
    ours = {name: {one.number: one.name for one in message.by_tag.values()} for name, message in MESSAGES.items()}
    assert ours == found


def test_the_names_of_enumerations_are_protobufs() -> None:
    span = TracesData.DESCRIPTOR.file.message_types_by_name["Span"]
    status = TracesData.DESCRIPTOR.file.message_types_by_name["Status"]
    kinds = {value.name: value.number for value in span.enum_types_by_name["SpanKind"].values}
    codes = {value.name: value.number for value in status.enum_types_by_name["StatusCode"].values}
    assert kinds == {name: number for number, name in enumerate(ENUMS["kind"])}
    assert codes == {name: number for number, name in enumerate(ENUMS["code"])}


CONTEXT = SpanContext(0x0102 << 100, 0xA1 << 48, is_remote=False, trace_flags=TraceFlags(1))
REMOTE = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")]))
ATTRIBUTES = {"text": "é\ud800\n", "flag": True, "n": -5, "x": math.nan, "y": -math.inf, "list": ("a", ""), "none": ""}


def _spans(count: int, text: str = "") -> list[ReadableSpan]:
    return [
        ReadableSpan(
            f"span {index}",
            context=CONTEXT,
            parent=REMOTE,
            resource=Resource({"service.name": f"app {index % 2}"}),
            attributes={**ATTRIBUTES, "long": text},
            events=[Event("event", {"a": 1}, 5)],
            links=[Link(REMOTE, {"b": 2.0})],
            kind=SpanKind.SERVER,
            instrumentation_scope=InstrumentationScope(f"scope {index % 3}", "1"),
            status=Status(StatusCode.ERROR, "it failed"),
            start_time=index + 1,
            end_time=2**63,
        )
        for index in range(count)
    ]


def test_a_batch_of_our_own_comes_back_as_it_was() -> None:
    record = Encoder().encode(_spans(20))
    [line] = to_json(record)
    assert _bytes(TracesData.FromString(to_protobuf(line))) == _bytes(TracesData.FromString(record))
    assert count_spans(line) == 20


def test_a_large_batch_becomes_lines_that_other_readers_do_not_cut() -> None:
    record = Encoder().encode(_spans(60, "x" * 30_000))
    lines = to_json(record)
    assert len(lines) == 4
    assert max(map(len, lines)) < LONGEST_LINE
    told = [
        (one.resource.attributes[0].value.string_value, scope.scope.name, span.name)
        for line in lines
        for one in _parsed(line).resource_spans
        for scope in one.scope_spans
        for span in scope.spans
    ]
    assert sorted(told) == sorted((f"app {index % 2}", f"scope {index % 3}", f"span {index}") for index in range(60))


def test_a_span_that_is_too_large_stays_one_line() -> None:
    lines = to_json(Encoder().encode(_spans(3, "x" * 600_000)))
    assert [count_spans(line) for line in lines] == [1, 1, 1]
    assert min(map(len, lines)) > LONGEST_LINE


def test_what_holds_no_span_is_no_line() -> None:
    assert to_json(b"") == []
    assert to_json(Encoder().encode([])) == []


@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_protobuf_are_said_to_be_none(data: bytes) -> None:
    try:
        lines = to_json(data)
    except ValueError:
        return
    assert all(json.loads(line) for line in lines)


def _span_line(**span: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def _one(line: bytes) -> Any:
    return TracesData.FromString(to_protobuf(line)).resource_spans[0].scope_spans[0].spans[0]


def test_numbers_and_names_are_read_in_every_way_that_they_are_written() -> None:
    times = [_one(_span_line(startTimeUnixNano=given)).start_time_unix_nano for given in (1000, "1000", 1e3, "1e3")]
    kinds = [_one(_span_line(kind=given)).kind for given in (2, "2", "SPAN_KIND_SERVER")]
    assert times == [1000] * 4
    assert kinds == [2] * 3


def test_ids_are_read_in_capital_digits_too() -> None:
    assert _one(_span_line(traceId="AB" * 16)).trace_id == b"\xab" * 16


def test_bytes_are_read_in_both_alphabets_and_without_padding() -> None:
    for text in ("-_8=", "-_8", "+/8=", "+/8"):
        line = _span_line(attributes=[{"key": "a", "value": {"bytesValue": text}}])
        assert _one(line).attributes[0].value.bytes_value == b"\xfb\xff", text


def test_what_is_unknown_or_null_is_passed_over() -> None:
    assert _one(_span_line(name="a", colour="red", kind=None, more={"b": [1]})).name == "a"


WRONG = {
    "no object": b"[]",
    "another signal": b'{"resourceLogs":[]}',
    "half a line": _span_line(name="a")[:-5],
    "no UTF-8": b'{"resourceSpans":"\xff"}',
    "nothing": b"",
    "a list that is none": b'{"resourceSpans":{}}',
    "a null in a list": b'{"resourceSpans":[null]}',
    "a name that is a number": _span_line(name=1),
    "an id that is no digits": _span_line(traceId="xyz"),
    "a time that is none": _span_line(startTimeUnixNano="soon"),
    "half a nanosecond": _span_line(startTimeUnixNano=0.5),
    "a time before 1970": _span_line(startTimeUnixNano=-1),
    "a time of 65 bits": _span_line(startTimeUnixNano=2**64),
    "a time without end": _span_line(startTimeUnixNano="inf"),
    "more digits than Python reads": _span_line(startTimeUnixNano="1" * 5000),
    "an unknown kind": _span_line(kind="SPAN_KIND_ODD"),
    "a flag that is a time": _span_line(flags=2**32),
    "bytes that are no base64": _span_line(attributes=[{"key": "a", "value": {"bytesValue": "a b"}}]),
    "a truth that is a text": _span_line(attributes=[{"key": "a", "value": {"boolValue": "true"}}]),
    "nested without end": b'{"resourceSpans":' + b"[" * 100_000,
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG.keys())
def test_a_line_that_is_none_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_protobuf(line)


def test_protobuf_is_not_imported() -> None:
    program = """
        import sys
        import otel_run.export.otlp_json, otel_run.export.otlp_from_json
        sys.exit(any(name.startswith(("google", "opentelemetry.proto")) for name in sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", "\n".join(map(str.strip, program.splitlines()))], check=False)
    assert done.returncode == 0

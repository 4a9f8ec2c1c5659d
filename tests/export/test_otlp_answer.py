"""A receiver's answer, read without protobuf: the same as protobuf reads, and garbage is nothing."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from otel_run.export.otlp_answer import partial_success, retry_after


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=50).filter(lambda text: text.isprintable()))
def test_what_was_rejected_is_read(rejected: int, message: str) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    expected = (rejected, message.strip()) if rejected or message.strip() else None
    assert partial_success(body) == expected
    # Fields that a later version may have, of every kind, and a message in two parts.
    unknown = b"\x98\x06\x01" + b"\xa1\x06" + b"x" * 8 + b"\xad\x06" + b"y" * 4 + b"\xb2\x06\x01z"
    assert partial_success(unknown + body + unknown) == expected


@given(st.binary(max_size=40))
def test_garbage_raises_nothing_and_what_protobuf_reads_is_read_alike(body: bytes) -> None:
    found = partial_success(body)
    response = ExportTraceServiceResponse()
    try:
        response.ParseFromString(body)
    except DecodeError:
        return
    partial = response.partial_success
    if found is not None:
        assert found[0] == partial.rejected_spans
    elif partial.error_message.strip().isprintable():
        assert not partial.rejected_spans


@pytest.mark.parametrize("body", [b"", b"\x0a\x00", b"\x0a", b"\xff" * 20, b"\x0a\x02\x08", b"{}", b"\x0b\x0c"])
def test_no_message_is_no_rejection(body: bytes) -> None:
    assert partial_success(body) is None


def test_a_message_is_one_line_of_bounded_length() -> None:
    partial = ExportTracePartialSuccess(error_message="two\nlines \x1b[2J" + "x" * 1000)
    found = partial_success(ExportTraceServiceResponse(partial_success=partial).SerializeToString())
    assert found is not None
    assert found[1].startswith("two lines  [2Jxxx")
    assert len(found[1]) < 310
    assert found[1].isprintable()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("0", 0), (" 120 ", 120), ("1" * 5000, None), ("-1", None), ("1.5", None),
        ("soon", None), ("\u0663", None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0), ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Xxx 1994 08:49:37 GMT", None), ("Sun, 06 Nov 0000 08:49:37 GMT", None),
    ],
)  # fmt: skip
def test_when_to_come_again(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_a_date_to_come() -> None:
    found = retry_after(formatdate(time.time() + 100, usegmt=True))
    assert found is not None
    assert 90 < found <= 100

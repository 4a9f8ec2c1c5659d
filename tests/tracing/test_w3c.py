"""W3C Trace Context: what is read of a `traceparent` and a `tracestate`, and what is as if it had not been sent.

In tests/gateways/test_http_semantics.py the same cases travel through real servers.
"""

from __future__ import annotations

import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import TraceState, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_run.tracing import w3c
from tracing.w3c_cases import ALL_OF_A_VALUE, GOOD, MALFORMED, SPAN, STATES, TRACE, WELL_FORMED


def _context(carrier: dict[str, str]) -> Context:
    return w3c.TraceContext().extract(carrier, Context())


@pytest.mark.parametrize("traceparent", WELL_FORMED.values(), ids=WELL_FORMED)
def test_a_well_formed_traceparent_is_the_parent(traceparent: str) -> None:
    told = w3c.parse(traceparent, None)
    assert told is not None
    assert (f"{told.trace_id:032x}", f"{told.span_id:016x}", told.is_remote) == (TRACE, SPAN, True)
    assert told.trace_flags == int(traceparent.strip()[53:55], 16)
    assert get_current_span(_context({"traceparent": traceparent})).get_span_context() == told


@pytest.mark.parametrize("traceparent", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_traceparent_is_as_if_it_had_not_been_sent(traceparent: str) -> None:
    assert w3c.parse(traceparent, "foo=1") is None
    assert _context({"traceparent": traceparent, "tracestate": "foo=1"}) == Context()


def test_a_tracestate_without_a_traceparent_is_nothing() -> None:
    assert _context({"tracestate": "foo=1"}) == Context()


@pytest.mark.parametrize(("given", "kept"), STATES.values(), ids=STATES)
def test_a_tracestate_goes_out_as_it_came_or_not_at_all(
    given: str, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, _context({"traceparent": GOOD, "tracestate": given}))
    assert carrier == {"traceparent": GOOD, **({"tracestate": kept} if kept else {})}
    assert caplog.records == []


def test_several_headers_of_a_carrier_that_keeps_them_apart_are_one() -> None:
    carrier = {"traceparent": [GOOD], "tracestate": ["foo=1,bar=2", "", "rojo=1"]}
    span = get_current_span(w3c.TraceContext().extract(carrier, Context())).get_span_context()
    assert span.trace_state.to_header() == "foo=1,bar=2,rojo=1"
    assert w3c.TraceContext().extract({"traceparent": [GOOD, GOOD]}, Context()) == Context()


def test_the_state_is_one_of_the_api_s_for_samplers_to_add_to(caplog: pytest.LogCaptureFixture) -> None:
    state = w3c.parse_state("foo=1,bar=2")
    assert isinstance(state, TraceState)
    assert state.add("ot", "th:8").to_header() == "ot=th:8,foo=1,bar=2"
    assert w3c.parse_state("foo=1,bar=2").to_header() == "foo=1,bar=2"
    assert caplog.records == []


HEADERS = st.text(st.sampled_from("0123456789abcdef-fF,= \t@zA_*/\n\xe9\ud800"), max_size=80)


@given(HEADERS, HEADERS)
@example(f"cc-{TRACE}-{SPAN}-01-\xff\x00", "")
def test_no_header_raises(traceparent: str, tracestate: str) -> None:
    told = w3c.parse(traceparent, tracestate)
    assert told is None or told.is_valid
    assert set(w3c.parse_state(tracestate).to_header()) <= {*ALL_OF_A_VALUE, "=", ","}


@given(st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,3})?", fullmatch=True))
def test_what_opentelemetry_reads_of_a_traceparent_is_read_here_too(traceparent: str) -> None:
    theirs = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": traceparent}))
    ours = w3c.parse(traceparent, None)
    assert theirs.get_span_context() == (ours or get_current_span(Context()).get_span_context())


@given(st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9_*/-]{0,4}", fullmatch=True), st.text(ALL_OF_A_VALUE))))
def test_what_opentelemetry_reads_of_a_tracestate_is_read_here_too(members: list[tuple[str, str]]) -> None:
    header = ",".join("=".join(member) for member in members)
    logging.getLogger("opentelemetry.trace.span").disabled = True
    theirs = TraceState.from_header([header])
    logging.getLogger("opentelemetry.trace.span").disabled = False
    assert w3c.parse_state(header).to_header() == theirs.to_header()


@pytest.mark.parametrize(
    "part", [" ", "\t", "-", "a", "0", ",", "a=1,", "=", " ,", "\t \t,", "a@", "\xe9", f"{GOOD},", f" {GOOD}"]
)
def test_a_hostile_header_is_read_in_no_time(part: str) -> None:
    hostile = part * (200_000 // len(part))
    for before in ("", GOOD, f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-"):
        for after in ("", ",", "\n", "="):
            w3c.parse(before + hostile + after, hostile + after)


def test_hostile_headers_are_not_kept() -> None:
    w3c.parse_state("a=1," * 100_000)
    for cached in vars(w3c).values():
        if hasattr(cached, "cache_info"):
            size = cached.cache_info().currsize
            w3c.parse_state(f"foo={'a' * 10_000}")
            assert cached.cache_info().currsize == size

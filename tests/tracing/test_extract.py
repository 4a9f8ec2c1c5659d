"""What a request brings from its caller: by the propagators that are set, and whatever anybody sends.

Extraction is asked with the environment of WSGI, as gateways hand it over; through servers it is looked at in
tests/gateways/test_http_semantics.py.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from otel_run.patching import candidates
from otel_run.tracing import w3c_baggage
from servers.program import Traced

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Run
    from servers.receiver import Receiver

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"

# Calls an application with each of the headers that it was given, as any server would, and prints what was current
# in it: trace id, parent's id, baggage, and what an outgoing request would carry.
CALL = """
import json, sys
from flask import Flask
from opentelemetry import baggage, propagate, trace
from werkzeug.test import Client

app = Flask(__name__)

@app.route("/")
def index():
    span = trace.get_current_span()
    out = {}
    propagate.inject(out)
    return {
        "trace": f"{span.get_span_context().trace_id:032x}",
        "parent": f"{span.parent.span_id:016x}" if getattr(span, "parent", None) else "",
        "is_recording": span.is_recording(),
        "baggage": dict(baggage.get_all()),
        "out": out,
    }

#SETUP
for headers in json.loads(sys.argv[1]):
    response = Client(app).get("/", headers=headers)
    assert response.status_code == 200
    print(json.dumps(response.json))
    response.close()
"""
B3 = {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}
THEIRS = """
from opentelemetry import trace
from opentelemetry.propagators.textmap import TextMapPropagator

class Theirs(TextMapPropagator):
    fields = {"x-theirs"}
    def extract(self, carrier, context=None, getter=None):
        told = getter.get(carrier, "X-Theirs")
        if not told:
            return context
        if told[0] == "exit":
            raise SystemExit(3)
        if told[0] == "keys":
            assert "x-theirs" in getter.keys(carrier), getter.keys(carrier)
        number = int(told[0].replace("keys", "7"))
        state = trace.SpanContext(number, number, True, trace.TraceFlags(1))
        return trace.set_span_in_context(trace.NonRecordingSpan(state), context)
    def inject(self, carrier, context=None, setter=None): carrier["x-theirs"] = "1"
"""


@pytest.fixture
def traced(receiver: Receiver, tmp_path: Path) -> Traced:
    """Give a function that runs a program under `otel-run`, with no instrumentor but ours."""
    others = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)
    return Traced(receiver, tmp_path, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=others)


def _call(traced: Traced, *headers: dict[str, str], setup: str = "", **env: str) -> tuple[Run, list[dict[str, object]]]:
    run = traced(CALL.replace("#SETUP", setup), json.dumps(headers), env=env)
    assert run.returncode == 0, run
    return run, [json.loads(line) for line in run.stdout.splitlines()]


def test_by_default_the_caller_s_trace_and_baggage_are_taken_and_go_on(traced: Traced) -> None:
    sent = {"traceparent": GOOD, "tracestate": "foo=1, bar=2", "baggage": "tenant=a%20b;p=1, user = 7"}
    run, (told,) = _call(traced, sent)
    (span,) = run.spans
    assert (span.trace_id, span.parent_id, span.trace_state) == (TRACE, SPAN, "foo=1,bar=2")
    assert (told["trace"], told["parent"], told["is_recording"]) == (TRACE, SPAN, True)
    assert told["baggage"] == {"tenant": "a b;p=1", "user": "7"}
    assert told["out"] == {
        "traceparent": f"00-{TRACE}-{span.span_id}-01",
        "tracestate": "foo=1,bar=2",
        "baggage": "tenant=a+b%3Bp%3D1,user=7",
    }
    assert run.stderr == ""


def test_an_unsampled_caller_is_followed(traced: Traced) -> None:
    run, (told,) = _call(traced, {"traceparent": f"00-{TRACE}-{SPAN}-02", "baggage": "tenant=a"})
    assert run.spans == []
    assert (told["trace"], told["is_recording"], told["baggage"]) == (TRACE, False, {"tenant": "a"})
    assert isinstance(told["out"], dict)
    assert told["out"]["traceparent"][:36] == f"00-{TRACE}-"
    assert told["out"]["traceparent"][-3:] == "-02"


def test_baggage_alone_makes_no_trace_and_goes_on(traced: Traced) -> None:
    run, (told,) = _call(traced, {"baggage": "tenant=a"})
    (span,) = run.spans
    assert (span.parent_id, told["baggage"]) == ("", {"tenant": "a"})


@pytest.mark.parametrize(
    ("propagators", "headers"),
    [
        ("b3", {"b3": f"{TRACE}-{SPAN}-1"}),
        ("b3multi", B3),
        ("b3multi,tracecontext,baggage", B3),
        ("tracecontext,b3", {"b3": f"{TRACE}-{SPAN}-1"}),
        ("b3,tracecontext", {"traceparent": GOOD}),
        ("baggage,tracecontext", {"traceparent": GOOD}),
        ("tracecontext", {"traceparent": GOOD}),
        ("xray", {"X-Amzn-Trace-Id": f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1"}),
    ],
)
def test_each_propagator_takes_what_is_its_own(propagators: str, headers: dict[str, str], traced: Traced) -> None:
    foreign = {"b3": f"{'1' * 32}-{'2' * 16}-1"} if "b3" not in propagators else {"uber-trace-id": "1:2:0:1"}
    run, told = _call(traced, {**foreign, **headers}, foreign, OTEL_PROPAGATORS=propagators)
    assert run.stderr == ""
    assert [(span.parent_id, span.trace_id == TRACE) for span in run.spans] == [(SPAN, True), ("", False)]
    assert told[1]["parent"] == ""


def test_none_takes_nothing(traced: Traced) -> None:
    run, (told,) = _call(traced, {"traceparent": GOOD, "baggage": "a=b"}, OTEL_PROPAGATORS="none")
    assert [span.parent_id for span in run.spans] == [""]
    assert (told["baggage"], told["out"]) == ({}, {})


def test_propagators_that_the_program_sets_at_run_time_are_asked(traced: Traced) -> None:
    setup = f"{THEIRS}\npropagate.set_global_textmap(Theirs())"
    run, told = _call(traced, {"X-Theirs": "5", "traceparent": GOOD}, {"x-theirs": "keys"}, {}, setup=setup)
    assert [span.parent_id.lstrip("0") for span in run.spans] == ["5", "7", ""]
    assert [one["out"] for one in told] == [{"x-theirs": "1"}] * 3
    assert run.stderr == ""


def test_a_propagator_of_the_program_s_that_raises_costs_no_request_and_no_span(traced: Traced) -> None:
    setup = f"{THEIRS}\npropagate.set_global_textmap(Theirs())"
    headers = [{"X-Theirs": value} for value in ("five", "exit", "five", "five", "five", "5")]
    run, told = _call(traced, *headers, setup=setup, OTEL_RUN_STRICT="false")
    assert [span.parent_id.lstrip("0") for span in run.spans] == ["", "", "", "", "", "5"]
    assert len(told) == 6
    (line,) = run.stderr.splitlines()
    assert line.startswith("otel-run: propagators: failed: ValueError: invalid literal"), run


GARBAGE = [
    "\xe9",
    "\xff" * 300,
    "a" * 65536,
    " " * 60000 + ",",
    "=,;" * 20000,
    "%",
    "%zz=%",
    "\\",
    '"',
    "a=\x7f",
    "=;=;=",
]
NAMES = ["traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "forwarded", "x-forwarded-for", "user-agent"]


@pytest.mark.parametrize("propagators", ["tracecontext,baggage", "tracecontext,baggage,b3,b3multi,xray"])
def test_garbage_costs_no_request_no_span_and_no_line(propagators: str, traced: Traced, tmp_path: Path) -> None:
    (tmp_path / "headers.json").write_text(
        json.dumps([{name: text for name in NAMES} for text in GARBAGE])  # noqa: C420 - a header each, alike
    )
    source = CALL.replace("#SETUP", "").replace("json.loads(sys.argv[1])", "json.load(open('headers.json'))")
    run = traced(source, env={"OTEL_PROPAGATORS": propagators})
    assert (run.returncode, run.stderr) == (0, "")
    assert len(run.stdout.splitlines()) == len(GARBAGE)
    assert [span.parent_id for span in run.spans] == [""] * len(GARBAGE)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", {}),
        (" , ,", {}),
        ("a=b", {"a": "b"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a = b ; p = 1 , c=%C3%A9", {"a": "b ; p = 1", "c": "é"}),
        ("a=1,a=2", {"a": "2"}),
        ("a", {}),
        ("=b", {}),
        ("a b=c,d=e", {"d": "e"}),
        ("é=1,b=é,c=d", {"c": "d"}),
        ("a=b\\,c=d", {"c": "d"}),
        ("a=b;=1", {}),
        (f"a={'v' * 4094},b=c", {"a": "v" * 4094, "b": "c"}),
        (f"a={'v' * 4095},b=c", {"b": "c"}),
        (f"a={'v' * 4000},b={'v' * 4000},c={'v' * 200}", {}),
        (",".join(f"k{n}={n}" for n in range(200)), {f"k{n}": str(n) for n in range(180)}),
    ],
)
def test_baggage_that_is_malformed_is_left_out_and_nothing_is_said(
    header: str, found: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert w3c_baggage.parse(header) == found
    already = baggage.set_baggage("mine", "1", Context())
    assert baggage.get_all(w3c_baggage.with_baggage(header, already)) == {"mine": "1", **found}
    assert baggage.get_all(w3c_baggage.Baggage().extract({"baggage": header}, Context())) == found
    assert caplog.records == []


@pytest.mark.parametrize(
    ("header", "out"),
    [
        ("%20=x,a=b", "a=b"),
        ("+=x", ""),
        (f"a={'v' * 4094}", f"a={'v' * 4094}"),
        (f"a={'/' * 1365},b=c", "b=c"),
        (f"a={'/' * 4000},b=c", "b=c"),
        (f"a={'%ff' * 1000},b=c", "b=c"),
        (f"a=b;{'p' * 4092},c=d", "c=d"),
        (",".join(f"k{n}={'/' * 1000}" for n in range(4)), ",".join(f"k{n}={'%2F' * 1000}" for n in range(2))),
        ("%0d%0ax=%0d%0a,a=b%00c", "x=,a=b%00c"),
    ],
)
def test_baggage_goes_out_well_formed_and_within_the_limits(
    header: str, out: str, caplog: pytest.LogCaptureFixture
) -> None:
    carrier: dict[str, str] = {}
    W3CBaggagePropagator().inject(carrier, w3c_baggage.with_baggage(header, Context()))
    assert carrier.get("baggage", "") == out
    assert caplog.records == []


def _written(entries: dict[str, str]) -> str:
    return ",".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in entries.items())


ENTRIES = st.dictionaries(st.text("ab_-~.é /").filter(str.strip), st.text('xy=;, \té%+"\\'))


@given(st.one_of(st.text('ab=;, %2\t"\\é', max_size=60), ENTRIES.map(_written)))
@example("a=b;c;d=e , f=g")
def test_what_opentelemetry_reads_of_baggage_is_read_here_too(header: str) -> None:
    logging.getLogger("opentelemetry.baggage.propagation").disabled = True
    theirs = baggage.get_all(W3CBaggagePropagator().extract({"baggage": header}, Context()))
    logging.getLogger("opentelemetry.baggage.propagation").disabled = False
    assert w3c_baggage.parse(header) == theirs

"""Context travels to the next service by each propagator that is set, whatever the others do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Run, Traced
    from servers.web import Web

GET = """
import sys, requests
from opentelemetry import baggage, context
context.attach(baggage.set_baggage("tenant", "a"))
print(requests.get(sys.argv[1] + "/echo").text)
"""
RAISING = """
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class Raising(TextMapPropagator):
    fields = set()
    def extract(self, carrier, context=None, getter=None): raise KeyError("extract")
    def inject(self, carrier, context=None, setter=None): raise KeyError("inject")

class Unbuildable(Raising):
    def __init__(self): raise SystemExit(3)

class Custom(Raising):
    def inject(self, carrier, context=None, setter=None): carrier["x-custom"] = "1"

class Exporter(SpanExporter):
    def export(self, spans): raise RuntimeError("no")
"""
ENTRY_POINTS = """
[opentelemetry_propagator]
raising = theirs:Raising
unbuildable = theirs:Unbuildable
custom = theirs:Custom
[opentelemetry_traces_exporter]
raising = theirs:Exporter
"""


@pytest.fixture
def theirs(tmp_path: Path) -> str:
    """Give a folder with somebody's propagators and exporter."""
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "theirs.py").write_text(RAISING)
    return str(tmp_path)


def _headers(run: Run) -> dict[str, str]:
    return {name.lower(): value for name, value in json.loads(run.stdout)["headers"].items()}


def test_by_default_w3c_trace_context_and_baggage(web: Web, traced: Traced) -> None:
    run = traced(GET, web.url)
    (span,) = run.spans
    headers = _headers(run)
    assert headers["traceparent"][:-2] == f"00-{span.trace_id}-{span.span_id}-"
    assert int(headers["traceparent"][-2:], 16) & 1
    assert headers["baggage"] == "tenant=a"


def test_an_unsampled_trace_says_so_downstream(web: Web, traced: Traced) -> None:
    run = traced(GET, web.url, flags=["--ratio", "0"])
    assert run.spans == []
    assert not int(_headers(run)["traceparent"][-2:], 16) & 1


def test_none_is_none(web: Web, traced: Traced) -> None:
    run = traced(GET, web.url, flags=["--propagators", "NONE"])
    assert len(run.spans) == 1
    assert {"traceparent", "baggage"}.isdisjoint(_headers(run))


def test_one_that_raises_or_cannot_be_built_costs_its_own_headers_only(web: Web, traced: Traced, theirs: str) -> None:
    env = {
        "OTEL_PROPAGATORS": "raising,unbuildable,Custom,TraceContext",
        "OTEL_TRACES_EXPORTER": "raising,otlp",
        "PYTHONPATH": theirs,
        "OTEL_RUN_STRICT": "false",
    }
    run = traced(GET, web.url, env=env)
    assert run.returncode == 0
    assert {"traceparent", "x-custom"} <= set(_headers(run))
    assert [span.name for span in run.spans] == ["GET"]
    units = [line.split(": ")[1] for line in run.stderr.splitlines()]
    assert sorted(set(units)) == ["exporter raising", "propagator raising", "propagator unbuildable"]


def test_one_that_is_not_installed_is_named_and_the_others_are_used(web: Web, traced: Traced) -> None:
    run = traced(GET, web.url, env={"OTEL_PROPAGATORS": "jaeger,tracecontext,nosuch"})
    assert "traceparent" in _headers(run)
    lines = run.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith('otel-run: OTEL_PROPAGATORS="jaeger,tracecontext,nosuch" can\'t be used')
    assert "pip install opentelemetry-propagator-jaeger" in lines[1]


def test_what_a_client_injects_is_what_the_global_propagators_inject(web: Web, traced: Traced) -> None:
    run = traced(
        """
        from opentelemetry import baggage, context, propagate, trace
        from opentelemetry.baggage.propagation import W3CBaggagePropagator
        from otel_run.tracing.propagation import inject

        def compare(span, around):
            token = context.attach(trace.set_span_in_context(span, around))
            ours, theirs = {}, {}
            inject(span, around, ours)
            propagate.inject(theirs)
            context.detach(token)
            assert ours == theirs, (ours, theirs)
            print(*sorted(ours))

        def span(flags=1, state=None):
            return trace.NonRecordingSpan(
                trace.SpanContext(1, 1, False, trace.TraceFlags(flags), trace.TraceState(state))
            )

        with_baggage = baggage.set_baggage("a", "b")
        compare(span(), context.Context())
        compare(span(flags=2), context.Context())
        compare(span(state=[("a", "b")]), context.Context())
        compare(span(), with_baggage)
        compare(trace.INVALID_SPAN, context.Context())
        compare(trace.INVALID_SPAN, with_baggage)
        propagate.set_global_textmap(W3CBaggagePropagator())
        compare(span(), with_baggage)
        """
    )
    assert (run.returncode, run.stderr) == (0, "")
    headers = ["traceparent", "traceparent", "traceparent tracestate", "baggage traceparent", "", "baggage", "baggage"]
    assert run.stdout.splitlines() == headers

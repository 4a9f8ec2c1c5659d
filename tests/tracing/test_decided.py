"""What is decided once for a request holds below it, whatever the sampler: an excluded request leaves nothing."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceState, set_span_in_context

from otel_run.patching import candidates
from otel_run.tracing.decided import IS_KEPT, Decided
from servers.program import Traced

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Run
    from servers.receiver import Receiver
    from servers.web import Web

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

# A request to `/out...` calls another service, and tells what that one got; spans of the program's own, a database
# and a thread are below it too.
PROGRAM = """
import json, sqlite3, sys, threading
import requests, sqlalchemy
from contextvars import copy_context
from flask import Flask
from opentelemetry import trace
from werkzeug.test import Client

app = Flask(__name__)
engine = sqlalchemy.create_engine("sqlite://")

@app.route("/<path:path>", methods=["GET", "POST"])
def out(path):
    with trace.get_tracer("mine").start_as_current_span("mine"):
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
        told = []
        call = lambda: told.append(requests.get(sys.argv[1] + "/echo").json()["headers"])
        call()
        thread = threading.Thread(target=copy_context().run, args=(call,))
        thread.start()
        thread.join()
    return told

for path, headers in json.loads(sys.argv[2]):
    response = Client(app).get(path, headers=headers)
    assert response.status_code == 200
    print(json.dumps([{k.lower(): v for k, v in headers.items()} for headers in response.json]))
    response.close()
"""


@pytest.fixture
def traced(receiver: Receiver, tmp_path: Path) -> Traced:
    """Give a function that runs a program under `otel-run`, with no instrumentor but ours."""
    others = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)
    return Traced(
        receiver,
        tmp_path,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=others,
        OTEL_RUN_CONNECTION_THRESHOLD="60000",
    )


def _ask(traced: Traced, web: Web, *asked: tuple[str, dict[str, str]], **env: str) -> tuple[Run, list[str]]:
    """Return the run, and the `traceparent` of each request that went out."""
    run = traced(PROGRAM, web.url, json.dumps(asked), env=env)
    assert (run.returncode, run.stderr) == (0, ""), run
    return run, [headers["traceparent"] for line in run.stdout.splitlines() for headers in json.loads(line)]


@pytest.mark.parametrize(
    ("sampler", "variable"),
    [
        ("parentbased_always_on", "OTEL_PYTHON_EXCLUDED_URLS"),
        ("always_on", "OTEL_PYTHON_FLASK_EXCLUDED_URLS"),
        ("traceidratio", "OTEL_PYTHON_EXCLUDED_URLS"),
    ],
)
def test_an_excluded_request_leaves_no_span_and_is_unsampled_onward(
    sampler: str, variable: str, web: Web, traced: Traced
) -> None:
    settings = {variable: "/health,/live.$", "OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "1.0"}
    told = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "foo=1"}
    run, traceparents = _ask(traced, web, ("/health", {}), ("/a/livez", told), ("/b", told), **settings)
    assert sorted(span.name for span in run.spans) == ["GET", "GET", "GET /<path:path>", "SELECT", "mine"]
    assert {span.trace_id for span in run.spans} == {TRACE}
    assert {traceparent[-3:] for traceparent in traceparents[:2]} == {"-02"}
    assert traceparents[0][:36] == traceparents[1][:36]
    assert [line.count('"tracestate": "foo=1"') for line in run.stdout.splitlines()] == [0, 2, 2]
    assert {(one[:36], one[-3:]) for one in traceparents[2:4]} == {(f"00-{TRACE}-", "-00")}
    assert {one[-3:] for one in traceparents[4:]} == {"-01"}
    # What nobody sees has no span of its own to tell of: both calls tell of the one above them.
    assert traceparents[0] == traceparents[1]
    assert traceparents[2] == traceparents[3]
    assert len({one[36:52] for one in traceparents}) == 4


def test_a_library_s_own_patterns_replace_the_general_ones(web: Web, traced: Traced) -> None:
    settings = {"OTEL_PYTHON_EXCLUDED_URLS": "/a$", "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "/b$"}
    run, _ = _ask(traced, web, ("/a", {}), ("/b", {}), **settings)
    assert [span.attributes["url.path"] for span in run.spans if span.kind == "SERVER"] == ["/a"]
    # The variable of another library is not this one's.
    run, _ = _ask(traced, web, ("/a", {}), OTEL_PYTHON_DJANGO_EXCLUDED_URLS="/a$")
    assert [span.attributes["url.path"] for span in run.spans if span.kind == "SERVER"] == ["/a"]


def test_patterns_are_searched_in_the_whole_url(web: Web, traced: Traced) -> None:
    paths = ["/a", "/b?x=1", "/c", "/%64"]
    patterns = "^http://localhost/a$,x=1,(?i)/C$,/%64"
    run, _ = _ask(traced, web, *[(path, {}) for path in paths], OTEL_PYTHON_EXCLUDED_URLS=patterns)
    assert run.spans == []


PROBES = [
    "kube-probe/1.31",
    "ELB-HealthChecker/2.0",
    "Amazon-Route53-Health-Check-Service (ref 1; report http://amzn.to/1vsZADi)",
    "GoogleHC/1.0",
    "GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com/monitoring)",
    "Load Balancer Agent",
    "AlwaysOn",
    "HealthCheck/1.0",
    "ReadyForRequest/1.0 (HealthCheck)",
    "Edge Health Probe",
    "Envoy/HC",
    "Consul Health Check",
]
NO_PROBES = ["curl/8.5.0", "Mozilla/5.0 (kube-probe/1.31)", ""]


def test_probes_are_dropped_with_all_below_if_that_is_wanted(web: Web, traced: Traced) -> None:
    asked = [("/", {"User-Agent": agent}) for agent in PROBES + NO_PROBES]
    run, traceparents = _ask(
        traced, web, *[("/a", headers) for _, headers in asked], OTEL_RUN_PROBES="drop", OTEL_TRACES_SAMPLER="always_on"
    )
    kept = [span.attributes.get("user_agent.original", "") for span in run.spans if span.kind == "SERVER"]
    assert kept == NO_PROBES
    assert len(run.spans) == 5 * len(NO_PROBES)
    assert {one[-3:] for one in traceparents[: 2 * len(PROBES)]} == {"-02"}


def test_probes_are_kept_by_default(web: Web, traced: Traced) -> None:
    run, _ = _ask(traced, web, *[("/a", {"User-Agent": agent}) for agent in PROBES])
    assert [span.attributes["user_agent.original"] for span in run.spans if span.kind == "SERVER"] == PROBES


STATE = TraceState([("a", "1")])


@pytest.mark.parametrize("sampler", [sampling.ALWAYS_ON, sampling.ALWAYS_OFF, sampling.ParentBased(sampling.ALWAYS_ON)])
def test_the_sampler_decides_where_nothing_is_decided(sampler: sampling.Sampler) -> None:
    for around in (None, Context(), Context(other=True)):
        asked = (around, 1, "GET", None, {"a": 1}, None, STATE)
        ours, theirs = Decided(sampler).should_sample(*asked), sampler.should_sample(*asked)
        assert (ours.decision, ours.attributes) == (theirs.decision, theirs.attributes)
        for is_kept in (True, False):
            result = Decided(sampler).should_sample(Context(**{IS_KEPT: is_kept}), *asked[1:])
            assert result.decision.is_sampled() is result.decision.is_recording() is is_kept
            assert result.trace_state == STATE
            assert dict(result.attributes) == ({"a": 1} if is_kept else {})
    assert Decided(sampler).get_description() == sampler.get_description()


class Unseen(Mapping[str, Any]):
    """Attributes that nobody may look at."""

    __getitem__ = __iter__ = __len__ = None  # type: ignore[assignment]


class Greedy(sampling.Sampler):
    """A sampler of a program's, which does with attributes what a dict allows."""

    # Without a `trace_state`, which the SDK doesn't give.
    def should_sample(  # type: ignore[override]
        self, parent_context: object, trace_id: int, name: str, kind: object, attributes: Any, links: object
    ) -> sampling.SamplingResult:
        assert json.loads(json.dumps(attributes)) == pickle.loads(pickle.dumps(attributes)) == attributes | {}
        attributes["seen"] = True
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "greedy"


def test_a_sampler_that_is_not_the_sdk_s_is_given_a_dict_of_its_own() -> None:
    told = MappingProxyType({"url.path": "/"})
    tracer = TracerProvider(sampler=Decided(Greedy())).get_tracer("test")
    span: Any = tracer.start_span("GET", attributes=told)
    assert span.attributes == {"url.path": "/", "seen": True}
    assert told == {"url.path": "/"}


def test_the_state_of_the_trace_goes_on_below_an_excluded_request() -> None:
    told = SpanContext(1, 1, True, trace_state=STATE)
    around = set_span_in_context(NonRecordingSpan(told), Context(**{IS_KEPT: False}))
    tracer = TracerProvider(sampler=Decided(sampling.ALWAYS_ON)).get_tracer("test")
    assert tracer.start_span("GET", around).get_span_context().trace_state == STATE


@pytest.mark.parametrize(
    "sampler", [sampling.ALWAYS_OFF, sampling.TraceIdRatioBased(0), sampling.ParentBasedTraceIdRatio(0)]
)
def test_attributes_are_not_made_for_samplers_that_do_not_look(sampler: sampling.Sampler) -> None:
    result = Decided(sampler).should_sample(Context(), 1, "GET", None, Unseen())
    assert not result.decision.is_recording()


def test_what_is_kept_is_kept_with_its_own_trace() -> None:
    tracer = TracerProvider(sampler=Decided(sampling.ALWAYS_OFF)).get_tracer("test")
    span = tracer.start_span("background", Context(**{IS_KEPT: True}))
    assert span.is_recording()
    told: SpanContext = span.get_span_context()
    assert told.trace_flags.sampled


OWN_PROVIDER = """
import asyncio, sqlite3, sys, threading
if sys.argv[1] == "library first":
    import flask, requests
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

class Mine(sampling.Sampler):
    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, attributes)
    def get_description(self): return "mine"

mine, kept = Mine(), InMemorySpanExporter()
provider = TracerProvider(sampler=mine)
provider.add_span_processor(SimpleSpanProcessor(kept))
early = provider.get_tracer("early")
trace.set_tracer_provider(provider)
import flask, requests
from werkzeug.test import Client

app = flask.Flask(__name__)

async def task():
    with trace.get_tracer("late").start_as_current_span("late"):
        await asyncio.to_thread(call)

def call():
    sqlite3.connect(":memory:").cursor().execute("SELECT 1")
    requests.get(sys.argv[2])

async def tasks(): await asyncio.create_task(task())

@app.route("/<path>")
def index(path):
    with early.start_as_current_span("early"):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    asyncio.run(tasks())
    return ""

for path in ("/health", "/b"):
    Client(app).get(path).close()
assert provider.sampler is mine
print(",".join(sorted(span.name for span in kept.get_finished_spans())), end="")
"""


@pytest.mark.parametrize("order", ["library first", "provider first"])
def test_what_is_excluded_leaves_no_orphans_under_a_sampler_of_the_program_s_own(
    order: str, receiver: Receiver, tmp_path: Path, web: Web
) -> None:
    traced = Traced(receiver, tmp_path, OTEL_PYTHON_EXCLUDED_URLS="/health")
    run = traced(OWN_PROVIDER, order, web.url + "/echo")
    assert (run.returncode, run.stderr) == (0, ""), run
    names = ["GET", "GET", "GET /<path>", "SELECT", "SELECT", "early", "late"]
    assert sorted(span.name for span in run.spans) == run.stdout.split(",") == names, run

"""Flask: which requests have a span, and whose: excluded ones, samplers of the program, contrib's instrumentor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.program import Traced

EXCLUDED = """
from flask import Flask
from opentelemetry import propagate, trace
app = Flask(__name__)
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

@app.route("/health")
@app.route("/work")
def health():
    def told():
        carrier = {}
        with trace.get_tracer("program").start_as_current_span("inside"):
            propagate.inject(carrier)
        return carrier["traceparent"]
    def pieces():
        yield " "
        yield told()
    return app.response_class(pieces(), headers={"told": told()})

client = app.test_client()
for headers in ({}, {"traceparent": CALLER}):
    answer = client.get("/health", headers=headers)
    for told in (answer.headers["told"], answer.text.strip()):
        assert not int(told[-2:], 16) & 1, told  # sampled
        assert not headers or told[:35] == CALLER[:35], told
assert client.get("/work").data
"""


def test_nothing_below_an_excluded_request_is_recorded_and_its_calls_say_so(traced: Traced) -> None:
    for env in (
        {"OTEL_PYTHON_EXCLUDED_URLS": "health"},
        {"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "health", "OTEL_PYTHON_EXCLUDED_URLS": "work"},
        {"OTEL_PYTHON_FLASK_EXCLUDED_URLS": "health", "OTEL_TRACES_SAMPLER": "always_on"},
    ):
        run = traced(EXCLUDED, env=env)
        assert run.returncode == 0, run
        assert [span.name for span in run.spans] == ["GET /work", "inside", "inside"], run


SAMPLER = """
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

class Looking(sampling.Sampler):
    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        seen.append({**attributes})
        assert len(attributes) == len(seen[-1]) and attributes.get("nothing") is None
        assert attributes.copy() == seen[-1] == attributes | {} == eval(repr(attributes))
        wanted = "url.path" in attributes and attributes["url.path"] != "/unwanted"
        kept = sampling.Decision.RECORD_AND_SAMPLE if wanted else sampling.Decision.DROP
        return sampling.SamplingResult(kept, {**attributes, "sampler": True})
    def get_description(self):
        return "looking"

seen, kept = [], InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider(sampler=Looking()))
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(kept))
app = Flask(__name__)
client = app.test_client()
for path in ("/wanted", "/unwanted"):
    client.get(path).close()
assert [one["http.request.method"] for one in seen] == ["GET", "GET"], seen
(span,) = kept.get_finished_spans()
assert span.attributes["url.path"] == "/wanted" and span.attributes["sampler"], span
"""


def test_a_sampler_of_the_program_sees_what_is_known_when_a_request_arrives(traced: Traced) -> None:
    run = traced(SAMPLER)
    assert run.returncode == 0, run


LAZY = """
import io
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider, sampling

class EverySecond(sampling.Sampler):
    def should_sample(self, *args, **kwargs):
        asked.append(args)
        kept = sampling.Decision.DROP if len(asked) % 2 else sampling.Decision.RECORD_AND_SAMPLE
        return sampling.SamplingResult(kept)
    def get_description(self):
        return "every second"

asked = []
trace.set_tracer_provider(TracerProvider(sampler=EverySecond()))
inner, outer = Flask("inner"), Flask("outer")

@inner.route("/a")
def view():
    return "seen"

def lazily(environ, start_response):
    start_response("200 OK", [])
    yield from inner(environ, lambda *args: None)

outer.wsgi_app = lazily
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a", "wsgi.input": io.BytesIO(), "SERVER_NAME": "shop.test"}
environ |= {"SERVER_PORT": "80", "wsgi.url_scheme": "http"}
assert b"".join(outer(environ, lambda *args: None)) == b"seen"
assert len(asked) == 1, asked
"""


def test_a_request_is_decided_once_where_the_framework_inside_is_called_for_the_first_piece(traced: Traced) -> None:
    run = traced(LAZY)
    assert run.returncode == 0, run


ASIDE = """
import flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor
{before}
app = flask.Flask(__name__)
other = flask.Flask("other")
@app.route("/a/<int:number>")
@other.route("/a/<int:number>")
def view(number):
    return "seen"
{after}
for one in (app, other):
    assert one.test_client().get("/a/1").data == b"seen"
"""


def test_a_program_that_applies_contribs_instrumentor_has_its_spans_and_each_request_one(traced: Traced) -> None:
    theirs, ours = "opentelemetry.instrumentation.flask", "otel_run.instrumentors.flask"
    for before, after, scopes in (
        ("FlaskInstrumentor().instrument()", "", [theirs, theirs]),
        ("", "FlaskInstrumentor().instrument_app(app)", [theirs, ours]),
        ("", "FlaskInstrumentor.instrument_app(other)", [ours, theirs]),
        ("FlaskInstrumentor().instrument(); FlaskInstrumentor().uninstrument()", "", []),
    ):
        run = traced(ASIDE.format(before=before, after=after))
        assert run.returncode == 0, run
        assert [span.scope for span in run.spans if span.kind == "SERVER"] == scopes, run
        assert [span.name for span in run.spans] == ["GET /a/<int:number>"] * len(scopes), run

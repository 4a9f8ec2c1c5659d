"""Requests that nobody will see: the server is told so, by every way that context travels, and nothing else happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from libraries.http_programs import NOTHING_LEFT

if TYPE_CHECKING:
    from servers.program import Run, Traced
    from servers.web import Web

# `tell` prints the headers that a server got. `below` is a request's span that the caller has not sampled.
START = """
import asyncio
import contextlib
import json
import sys
import threading
import {library} as library
from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

url = sys.argv[1]
TRACE, FLAGS = 0x1111, TraceFlags({flags})

@contextlib.contextmanager
def below(**state):
    caller = SpanContext(TRACE, 0x2222, True, FLAGS, TraceState(list(state.items())))
    around = trace.set_span_in_context(NonRecordingSpan(caller), Context())
    with trace.get_tracer("app").start_as_current_span("server", around, SpanKind.SERVER) as span:
        yield span

def tell(response):
    print(json.dumps({{name.lower(): value for name, value in response.json()["headers"].items()}}))
"""

LIBRARIES = pytest.mark.parametrize("library", ["requests", "httpx"])


def _program(library: str, body: str, flags: int = 0) -> str:
    return START.format(library=library, flags=flags) + body + NOTHING_LEFT.replace("\n" + " " * 8, "\n")


def _told(run: Run) -> list[dict[str, Any]]:
    assert (run.returncode, run.stderr) == (0, "")
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def _span_ids(run: Run) -> list[str]:
    return [line.removeprefix("span ") for line in run.stdout.splitlines() if line.startswith("span ")]


@LIBRARIES
@pytest.mark.parametrize("flags", [0, 2])
def test_the_header_is_that_of_the_unsampled_parent(library: str, flags: int, web: Web, traced: Traced) -> None:
    body = """
with below() as parent:
    print(f"span {parent.get_span_context().span_id:016x}")
    for number in range(2):
        tell(library.get(url))
        assert trace.get_current_span() is parent
"""
    run = traced(_program(library, body, flags), web.url + "/echo")
    (span_id,) = _span_ids(run)
    assert [told["traceparent"] for told in _told(run)] == [f"00-{0x1111:032x}-{span_id}-{flags:02x}"] * 2
    assert run.spans == []


@LIBRARIES
def test_baggage_and_trace_state_travel(library: str, web: Web, traced: Traced) -> None:
    body = """
with below(vendor="a") as parent:
    print(f"span {parent.get_span_context().span_id:016x}")
    token = context.attach(baggage.set_baggage("tenant", "blue"))
    tell(library.get(url))
    context.detach(token)
    tell(library.get(url))
"""
    run = traced(_program(library, body), web.url + "/echo")
    first, second = _told(run)
    (span_id,) = _span_ids(run)
    assert (first["baggage"], first["tracestate"]) == ("tenant=blue", "vendor=a")
    assert ("baggage" in second, second["tracestate"]) == (False, "vendor=a")
    assert first["traceparent"] == second["traceparent"] == f"00-{0x1111:032x}-{span_id}-00"
    assert run.spans == []


@LIBRARIES
def test_a_propagator_that_the_program_has_set_is_used(library: str, web: Web, traced: Traced) -> None:
    body = """
from opentelemetry import propagate
from opentelemetry.propagators.textmap import TextMapPropagator

class Own(TextMapPropagator):
    fields = {"x-own"}

    def extract(self, carrier, context=None, getter=None):
        return context

    def inject(self, carrier, context=None, setter=None):
        told = trace.get_current_span(context).get_span_context()
        setter.set(carrier, "x-own", f"{told.span_id:016x} {told.trace_flags:d}") if setter else carrier.update(
            {"x-own": f"{told.span_id:016x} {told.trace_flags:d}"}
        )

with below() as parent:
    print(f"span {parent.get_span_context().span_id:016x}")
    tell(library.get(url))
    propagate.set_global_textmap(Own())
    tell(library.get(url))
"""
    run = traced(_program(library, body), web.url + "/echo")
    first, second = _told(run)
    (span_id,) = _span_ids(run)
    assert ("x-own" in first, "traceparent" in second) == (False, False)
    assert second["x-own"] == f"{span_id} 0"
    assert run.spans == []


@LIBRARIES
def test_an_excluded_url_is_told_nothing_and_others_are(library: str, web: Web, traced: Traced) -> None:
    body = """
with below():
    tell(library.get(url + "?health"))
    tell(library.get(url))
tell(library.get(url + "?health"))
tell(library.get(url))
"""
    for sampler in ("parentbased_always_off", "always_off"):
        run = traced(
            _program(library, body),
            web.url + "/echo",
            env={"OTEL_PYTHON_EXCLUDED_URLS": "health", "OTEL_TRACES_SAMPLER": sampler},
        )
        assert ["traceparent" in told for told in _told(run)] == [False, True, False, True]
        assert run.spans == []


@LIBRARIES
def test_who_suppresses_instrumentation_has_told_what_there_is_to_tell(library: str, web: Web, traced: Traced) -> None:
    body = """
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation

with below():
    with suppress_instrumentation():
        tell(library.get(url))
    with suppress_http_instrumentation():
        tell(library.get(url, headers={"traceparent": "given"}))
    tell(library.get(url))
"""
    run = traced(_program(library, body), web.url + "/echo")
    nothing, given, told = _told(run)
    assert ("traceparent" in nothing, given["traceparent"], told["traceparent"][:4]) == (False, "given", "00-0")
    assert run.spans == []


@pytest.mark.parametrize("sampler", ["parentbased_traceidratio", "always_off"])
@LIBRARIES
def test_a_root_that_is_not_sampled_is_a_trace_of_its_own(library: str, sampler: str, web: Web, traced: Traced) -> None:
    run = traced(
        _program(library, "for number in range(3):\n    tell(library.get(url))\n"),
        web.url + "/echo",
        env={"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0"},
    )
    told = [header["traceparent"].split("-") for header in _told(run)]
    assert {(version, flags) for version, _, _, flags in told} == {("00", "02")}
    assert len({trace_id for _, trace_id, _, _ in told}) == len({span_id for _, _, span_id, _ in told}) == 3
    assert run.spans == []


REQUESTS_RESENT = """
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from urllib3.util import Retry

class Own(HTTPAdapter.__base__):
    inner = HTTPAdapter()

    def send(self, request, **kwargs):
        return self.inner.send(request, **kwargs)

    def close(self):
        self.inner.close()

def resend():
    with library.Session() as session:
        session.mount(url, HTTPAdapter(max_retries=Retry(3, status_forcelist=[503])))
        tell(session.get(url + "/redirect"))
        tell(session.get(url + "/digest", auth=HTTPDigestAuth("u", "p")))
        tell(session.get(url + f"/failing/{sys.argv[2]}?with=503,reset"))
        with session.get(url + "/stream", stream=True) as response:
            assert b"".join(response.iter_content(3)).startswith(b"chunk 0")
        session.mount(url, Own())
        tell(session.get(url + "/echo"))
"""

HTTPX_RESENT = """
def resend():
    with library.Client(follow_redirects=True) as client:
        tell(client.get(url + "/redirect"))
        tell(client.get(url + "/digest", auth=library.DigestAuth("u", "p")))
        with client.stream("GET", url + "/stream") as response:
            assert list(response.iter_lines())[0] == "chunk 0"
    asyncio.run(aresend())

async def aresend():
    async with library.AsyncClient(follow_redirects=True) as client:
        for response in await asyncio.gather(*(client.get(url + "/redirect") for number in range(5))):
            tell(response)
        async with client.stream("GET", url + "/stream") as response:
            assert [line async for line in response.aiter_lines()][0] == "chunk 0"
"""


@pytest.mark.parametrize(
    ("library", "resend", "answers"), [("requests", REQUESTS_RESENT, 4), ("httpx", HTTPX_RESENT, 7)]
)
def test_what_is_sent_again_has_a_header_each_time(
    library: str, resend: str, answers: int, web: Web, traced: Traced
) -> None:
    body = """
with below() as parent:
    print(f"span {parent.get_span_context().span_id:016x}")
    resend()
    assert trace.get_current_span() is parent
    thread = threading.Thread(target=resend_in, args=(context.get_current(),))
    thread.start()
    thread.join()
"""
    in_thread = """
def resend_in(around):
    inherited = context.get_current()
    token = context.attach(around)
    resend()
    context.detach(token)
    assert context.get_current() is inherited
"""
    run = traced(_program(library, resend + in_thread + body), web.url, f"{library}-unsampled")
    (span_id,) = _span_ids(run)
    assert [told["traceparent"] for told in _told(run)] == [f"00-{0x1111:032x}-{span_id}-00"] * answers * 2
    assert run.spans == []


@pytest.mark.parametrize(
    ("library", "resend", "answers"), [("requests", REQUESTS_RESENT, 4), ("httpx", HTTPX_RESENT, 7)]
)
def test_what_is_sent_again_of_a_root_has_a_header_each_time(
    library: str, resend: str, answers: int, web: Web, traced: Traced
) -> None:
    run = traced(
        _program(library, resend + "\nresend()\n"),
        web.url,
        f"{library}-root",
        env={"OTEL_TRACES_SAMPLER": "always_off"},
    )
    assert [told["traceparent"][-3:] for told in _told(run)] == ["-02"] * answers
    assert run.spans == []


@LIBRARIES
def test_an_error_of_an_unsampled_request_is_the_programs_own(library: str, closed_port: int, traced: Traced) -> None:
    body = """
with below() as parent:
    for number in range(4):
        try:
            library.get(url)
        except OSError if library.__name__ == "requests" else library.ConnectError as error:
            print(type(error).__name__, type(error.__context__).__name__)
    assert trace.get_current_span() is parent
"""
    run = traced(_program(library, body), f"http://127.0.0.1:{closed_port}")
    expected = "ConnectionError MaxRetryError\n" if library == "requests" else "ConnectError ConnectError\n"
    assert (run.returncode, run.stdout, run.stderr, run.spans) == (0, expected * 4, "", [])


SAMPLER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

class Own(Sampler):
    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        keeps = "keep" in str((attributes or {}).get("url.full"))
        return SamplingResult(Decision.RECORD_AND_SAMPLE if keeps else Decision.DROP, attributes)

    def get_description(self):
        return "own"
"""


@LIBRARIES
def test_a_sampler_of_the_program_sees_every_request(library: str, web: Web, traced: Traced) -> None:
    body = """
trace.set_tracer_provider(TracerProvider(sampler=Own()))
tracer = trace.get_tracer("app")
with below():
    tell(library.get(url))
    tell(library.get(url + "?keep"))
    with tracer.start_as_current_span("between"):
        tell(library.get(url + "?keep"))
"""
    run = traced(_program(library, SAMPLER + body), web.url + "/echo")
    assert [told["traceparent"][-2:] in ("01", "03") for told in _told(run)] == [False, True, True]
    assert [span.attributes for span in run.spans] == [web.described("/echo?keep")] * 2


@LIBRARIES
def test_a_sampled_trace_in_the_middle_of_an_unsampled_one_is_seen(library: str, web: Web, traced: Traced) -> None:
    body = """
with below():
    caller = SpanContext(0x3333, 0x4444, True, TraceFlags(1))
    with trace.use_span(NonRecordingSpan(caller)):
        tell(library.get(url))
    with trace.get_tracer("app").start_as_current_span("dropped too"):
        tell(library.get(url))
"""
    run = traced(_program(library, body), web.url + "/echo")
    (span,) = run.spans
    seen, unseen = _told(run)
    assert (span.attributes, span.parent_id) == (web.described("/echo"), f"{0x4444:016x}")
    assert seen["traceparent"] == f"00-{0x3333:032x}-{span.span_id}-01"
    version, trace_id, _, flags = unseen["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", f"{0x1111:032x}", "00")


def test_an_unsampled_request_between_two_attempts_is_none_of_them(web: Web, traced: Traced) -> None:
    body = """
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

class Asking(Retry):
    def sleep(self, response=None):
        token = context.attach(Context())
        with below():
            tell(library.get(url + "/echo"))
        context.detach(token)

session = library.Session()
session.mount("http://", HTTPAdapter(max_retries=Asking(1, status_forcelist=[503], raise_on_status=False)))
with trace.get_tracer("app").start_as_current_span("kept"):
    session.get(url + "/status/503")
"""
    run = traced(_program("requests", body), web.url)
    assert [told["traceparent"][-3:] for told in _told(run)] == ["-00"]
    told = [span.attributes for span in run.spans if span.kind == "CLIENT"]
    assert told == [web.described("/status/503", 503), web.described("/status/503", 503, resends=1)]


def test_what_is_not_http_is_told_nothing(traced: Traced) -> None:
    body = """
import requests

class Adapter(requests.adapters.BaseAdapter):
    def send(self, request, **kwargs):
        print(sorted(request.headers))
        response = requests.Response()
        response.status_code, response.url, response.request, response._content = 200, request.url, request, b""
        return response

    def close(self):
        pass

with below():
    with requests.Session() as session:
        session.headers.clear()
        session.mount("file://", Adapter())
        session.get("file:///etc/hosts")
    transport = library.MockTransport(lambda request: library.Response(200))
    with library.Client(transport=transport) as client:
        print("traceparent" in client.get("ftp://host/x").request.headers)
"""
    run = traced(_program("httpx", body), "")
    assert (run.returncode, run.stdout, run.stderr, run.spans) == (0, "[]\nFalse\n", "", [])

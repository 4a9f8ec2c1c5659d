"""The span that stands for a process: when there is one, what it tells, and what is below it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Run, Traced
    from servers.receiver import Span
    from servers.web import Web

AUTO = {"OTEL_RUN_PROCESS_SPAN": "auto"}
ON = {"OTEL_RUN_PROCESS_SPAN": "on"}
CALLER = f"00-{'ab' * 16}-{'cd' * 8}-01"
UNSAMPLED = CALLER[:-1] + "0"

BEGIN = """
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind
tracer = trace.get_tracer("t")
def span(name, kind=SpanKind.INTERNAL, **more):
    tracer.start_span(name, kind=kind, **more).end()
"""


def process_of(run: Run) -> Span:
    """Return the only span for a process."""
    (found,) = (span for span in run.spans if "process.pid" in span.attributes)
    return found


def tree(run: Run) -> dict[str, str]:
    """Return the name of each span's parent: "" of a root, "?" of one whose parent has not come."""
    names = {span.span_id: span.name for span in run.spans}
    return {span.name: names.get(span.parent_id, "?") if span.parent_id else "" for span in run.spans}


def test_the_calls_of_a_script_are_one_trace(traced: Traced, web: Web) -> None:
    before = time.time_ns()
    run = traced(
        f"""
import requests, time
first = time.time_ns()
for _ in range(3):
    requests.get("{web.url}/json")
print(first)
""",
        env=AUTO,
    )
    process = process_of(run)
    assert (run.returncode, run.stderr, process.name, process.kind, process.parent_id) == (0, "", "app", "INTERNAL", "")
    assert [(span.kind, span.parent_id, span.links) for span in run.spans if span is not process] == [
        ("CLIENT", process.span_id, [])
    ] * 3
    assert {span.trace_id for span in run.spans} == {process.trace_id}
    # The system counts the start of a process in hundredths of a second.
    assert before - 2e7 <= process.start < int(run.stdout) < process.end
    assert set(process.attributes) == {"process.executable.name", "process.pid", "process.exit.code"}
    assert (process.attributes["process.exit.code"], process.status, process.events) == (0, "UNSET", [])


def test_what_threads_and_tasks_do_is_below_it_too(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
import asyncio, concurrent.futures, threading
async def main():
    task = asyncio.create_task(asyncio.to_thread(span, "task"))
    span("main")
    await task
thread = threading.Thread(target=span, args=["thread"])
thread.start()
thread.join()
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    pool.submit(span, "pool").result()
asyncio.run(main())
with tracer.start_as_current_span("outer"):
    span("inner")
""",
        env=AUTO,
    )
    below = dict.fromkeys(("thread", "pool", "main", "task", "outer"), "app")
    assert tree(run) == {"app": "", **below, "inner": "outer"}


def test_there_is_none_where_something_is_served(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
with tracer.start_as_current_span("request", kind=SpanKind.SERVER):
    span("call", SpanKind.CLIENT)
span("afterwards")
""",
        env=AUTO,
    )
    assert tree(run) == {"request": "", "call": "request", "afterwards": ""}
    assert all(span.links == [] for span in run.spans)


@pytest.mark.parametrize("kind", ["SERVER", "CONSUMER"])
@pytest.mark.parametrize("ratio", ["1", "0"], ids=["sampled", "unsampled"])
def test_it_ends_with_the_first_that_is_served(kind: str, ratio: str, traced: Traced) -> None:
    run = traced(
        BEGIN
        + f"""
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
caller = NonRecordingSpan(SpanContext(1, 2, True, TraceFlags({ratio})))
span("start-up")
span("request", SpanKind.{kind}, context=set_span_in_context(caller))
span("another", SpanKind.{kind})
span("afterwards")
with tracer.start_as_current_span("last"):
    span("below")
""",
        env=AUTO,
    )
    process = process_of(run)
    assert process.attributes["otelrun.process.ended_by"] == "server"
    assert "process.exit.code" not in process.attributes
    requests = {"request": "?"} if ratio == "1" else {}
    assert tree(run) == {
        "app": "",
        "start-up": "app",
        **requests,
        "another": "",
        "afterwards": "",
        "last": "",
        "below": "last",
    }
    links = {span.name: span.links for span in run.spans if span.links}
    link = [(process.trace_id, process.span_id)]
    assert links == {"afterwards": link, "last": link}
    assert process.end <= run.span("another").start


def test_a_root_that_the_program_wants_stays_one(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
with tracer.start_as_current_span("outer"):
    span("wanted", context=context.Context())
span("no wish", context=context.Context())
""",
        env=AUTO,
    )
    assert tree(run) == {"app": "", "outer": "app", "wanted": "", "no wish": "app"}


def test_its_parent_is_who_has_started_it(traced: Traced) -> None:
    env = {"TRACEPARENT": CALLER, "TRACESTATE": "vendor=x", "OTEL_PROPAGATORS": "none"}
    run = traced(BEGIN + "span('one')", env={**AUTO, **env})
    process = process_of(run)
    assert (process.trace_id, process.parent_id, process.trace_state) == ("ab" * 16, "cd" * 8, "vendor=x")
    assert tree(run) == {"app": "?", "one": "app"}


def test_what_a_server_does_is_never_its_child_nor_its_callers(traced: Traced) -> None:
    run = traced(BEGIN + "span('request', SpanKind.SERVER)\nspan('call')", env={**AUTO, "TRACEPARENT": CALLER})
    assert tree(run) == {"request": "", "call": ""}
    assert "ab" * 16 not in {span.trace_id for span in run.spans}


SAMPLED_OUT = {
    "an unsampled caller": {"TRACEPARENT": UNSAMPLED},
    "a ratio of 0": {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
    "a ratio of 0 for roots": {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
}
CALLS = """
import sqlite3, redis, requests
from redis.backoff import NoBackoff
from redis.retry import Retry
answer = requests.get("{url}/echo").json()
print(answer["headers"].get("traceparent", ""))
with tracer.start_as_current_span("outer"):
    span("inner")
try:
    redis.Redis(port={port}, retry=Retry(NoBackoff(), 0)).ping()
except redis.ConnectionError:
    pass
"""


@pytest.mark.parametrize("why", SAMPLED_OUT)
def test_what_is_below_one_that_is_not_sampled_is_not_either(
    why: str, traced: Traced, web: Web, closed_port: int
) -> None:
    source = BEGIN + CALLS.format(url=web.url, port=closed_port)
    run = traced(source, env={**AUTO, **SAMPLED_OUT[why]})
    assert (run.returncode, run.stderr, run.spans) == (0, "", [])
    told = run.stdout.strip()
    assert told.endswith(("-00", "-02")), run
    if "caller" in why:
        assert told.startswith(CALLER[:35]), run


def test_a_sampled_caller_is_followed_where_roots_are_dropped(traced: Traced, web: Web, closed_port: int) -> None:
    source = BEGIN + CALLS.format(url=web.url, port=closed_port)
    env = {"TRACEPARENT": CALLER, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    run = traced(source, env={**AUTO, **env})
    assert tree(run) == {"app": "?", "GET": "app", "outer": "app", "inner": "outer", "PING": "app"}, run
    assert {span.trace_id for span in run.spans} == {"ab" * 16}


def test_a_caller_that_cannot_be_read_is_named_once_and_ignored(traced: Traced) -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import opentelemetry.trace'])"
    run = traced(BEGIN + f"span('one')\n{child}", env={**AUTO, "TRACEPARENT": CALLER + "-", "TRACESTATE": "=,="})
    assert tree(run) == {"app": "", "one": "app"}
    (line,) = run.stderr.splitlines()
    assert line.startswith(f'otel-run: TRACEPARENT="{CALLER}-"')


def test_one_that_is_always_there_stands_for_a_program_that_does_nothing(traced: Traced) -> None:
    run = traced("print('nothing')", env={**ON, "OTEL_RUN_PROCESS_SPAN_MAX_AGE": "1"})
    process = process_of(run)
    assert run.spans == [process]
    assert (run.stdout, run.stderr, process.attributes["process.exit.code"]) == ("nothing\n", "", 0)


def test_one_that_is_always_there_outlasts_what_is_served_and_all_bounds(traced: Traced) -> None:
    env = {"OTEL_RUN_PROCESS_SPAN_MAX_AGE": "1", "OTEL_RUN_PROCESS_SPAN_MAX_SPANS": "1"}
    run = traced(BEGIN + "span('request', SpanKind.SERVER)\nspan('one')\nspan('two')", env={**ON, **env})
    assert tree(run) == {"app": "", "request": "", "one": "app", "two": "app"}
    assert "otelrun.process.ended_by" not in process_of(run).attributes


def test_off_leaves_everything_a_root(traced: Traced) -> None:
    run = traced(BEGIN + "span('one')", env={"OTEL_RUN_PROCESS_SPAN": "off", "TRACEPARENT": CALLER})
    assert tree(run) == {"one": ""}
    assert "ab" * 16 not in {span.trace_id for span in run.spans}


@pytest.mark.parametrize("how", [AUTO, ON], ids=["auto", "on"])
def test_what_the_caller_has_told_for_all_goes_on_to_whom_is_called(
    how: dict[str, str], traced: Traced, web: Web
) -> None:
    run = traced(
        BEGIN
        + f"""
import requests, subprocess, sys
def ask():
    return requests.get("{web.url}/echo").json()["headers"].get("baggage")
print(baggage.get_all())
print(ask())
with tracer.start_as_current_span("outer"):
    context.attach(baggage.set_baggage("own", "1"))
    print(ask())
    print(subprocess.check_output(["sh", "-c", "echo $BAGGAGE"], text=True).strip())
    context.attach(context.Context())
with tracer.start_as_current_span("request", context=context.Context(), kind=SpanKind.SERVER):
    print(ask())
""",
        env={**how, "BAGGAGE": "job=nightly"},
    )
    assert run.stdout.splitlines() == ["{}", "job=nightly", *["job=nightly,own=1"] * 2, "None"], run


def test_the_programs_own_provider_has_it_too(traced: Traced, web: Web) -> None:
    run = traced(
        f"""
import requests
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
requests.get("{web.url}/json")
""",
        env=AUTO,
    )
    assert (run.returncode, run.stderr, tree(run)) == (0, "", {"app": "", "GET": "app"})


def test_an_exception_that_ends_the_program_is_told_once(traced: Traced) -> None:
    (traced.folder / "orders.py").write_text("def total():\n    return {}['theirs']\n")
    run = traced("import orders\norders.total()", env={**AUTO, "OTEL_RUN_TRACE": "orders:total"})
    process, function = process_of(run), run.span("total")
    told = {name: process.attributes.get(name) for name in ("process.exit.code", "error.type")}
    assert told == {"process.exit.code": 1, "error.type": "KeyError"}
    assert (process.status, process.status_message) == ("ERROR", "KeyError: 'theirs'")
    assert (process.events, [name for name, _ in function.events]) == ([], ["exception"])
    assert function.parent_id == process.span_id


def test_an_exception_that_no_span_has_told_is_told_by_the_process(traced: Traced) -> None:
    run = traced(BEGIN + "span('one')\n{}['theirs']", env=AUTO)
    ((name, event),) = process_of(run).events
    assert (name, event["exception.type"], event["exception.message"]) == ("exception", "KeyError", "'theirs'")
    assert event["exception.stacktrace"] in run.stderr + "\n"


def test_the_signal_that_kills_it_is_named(traced: Traced) -> None:
    run = traced(BEGIN + "import os, signal\nspan('one')\nos.kill(os.getpid(), signal.SIGTERM)", env=AUTO)
    process = process_of(run)
    told = (process.attributes["process.exit.code"], process.attributes["error.type"], process.status, process.events)
    assert (run.returncode, told) == (-15, (143, "SIGTERM", "ERROR", []))

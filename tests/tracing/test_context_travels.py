"""The current span in worker threads of frameworks, and how long a thread keeps what it has inherited."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation import _SPAN_KEY

from libraries.contexts import BEGIN, parents
from otel_run.tracing.inherited import LIFE, Inherited, inherited
from otel_run.tracing.span import Unsampled

if TYPE_CHECKING:
    from servers.program import Traced

REMOTE = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(1))
LOCAL = trace.SpanContext(1, 2, is_remote=False)


def around(span: trace.Span) -> Context:
    return Context({_SPAN_KEY: span, "key": "value"})


def test_what_has_no_span_of_this_process_is_inherited_as_it_is() -> None:
    for context in (
        Context(),
        Context(key="value"),
        around(trace.NonRecordingSpan(REMOTE)),
        around(trace.INVALID_SPAN),
    ):
        assert inherited(context) is context


def test_what_a_sampler_of_the_program_s_own_provider_has_refused_is_forgotten_too() -> None:
    assert type(inherited(around(trace.NonRecordingSpan(LOCAL)))) is Inherited


def test_the_thread_of_a_thread_inherits_no_longer_than_the_first() -> None:
    first = inherited(around(Unsampled(REMOTE)))
    assert type(first) is Inherited
    assert inherited(first) is first


@pytest.mark.parametrize("ask", [lambda context: context.get("key"), lambda context: context.copy()])
def test_below_what_is_not_recorded_it_is_forgotten_some_time_after_the_start(ask: object) -> None:
    assert callable(ask)
    context = around(Unsampled(REMOTE))
    lately, long_ago = (Inherited(context, time.time_ns() - LIFE + shift) for shift in (60 * 10**9, -1))
    assert (ask(lately), dict(lately)) == (ask(context), dict(context))
    assert (ask(long_ago) or None, dict(long_ago)) == (None, {})


FRAMEWORKS = """
import asyncio, os
import anyio.to_thread
from asgiref.sync import async_to_sync, sync_to_async
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

def items():
    for name in ("iterated 1", "iterated 2"):
        yield work(name)

async def coroutine():
    work("async_to_sync")

async def main():
    for name in ("request", "next request"):
        with tracer.start_as_current_span(name):
            prefix = "" if name == "request" else "next "
            await anyio.to_thread.run_sync(work, prefix + "anyio")
            await run_in_threadpool(work, prefix + "starlette")
            await sync_to_async(work)(prefix + "sync_to_async")
            await sync_to_async(work, thread_sensitive=False)(prefix + "not sensitive")
            if not prefix:
                print([item async for item in iterate_in_threadpool(items())])
                await sync_to_async(async_to_sync(coroutine))()
    await anyio.to_thread.run_sync(work, "anyio alone")
    await sync_to_async(work)("sync_to_async alone")

asyncio.run(main())
"""


def test_the_worker_threads_of_frameworks_work_below_the_request(traced: Traced) -> None:
    run = traced(BEGIN + FRAMEWORKS)
    names = ["anyio", "starlette", "sync_to_async", "not sensitive"]
    below = dict.fromkeys([*names, "iterated 1", "iterated 2", "async_to_sync"], "request")
    nexts = {f"next {name}": "next request" for name in names}
    roots = dict.fromkeys(["request", "next request", "anyio alone", "sync_to_async alone"], "")
    assert parents(run) == {**below, **nexts, **roots}


def test_a_scheduler_that_a_request_has_started_does_not_stay_in_its_trace(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
ticked = threading.Semaphore(0)
go = threading.Semaphore(0)

def keep():
    for tick in range(3):
        go.acquire()
        with tracer.start_as_current_span(f"tick {tick}"):
            helper = threading.Thread(target=work, args=(f"helper {tick}",))
            helper.start()
            helper.join()
        ticked.release()

span = tracer.start_span("request", start_time=time.time_ns() - 700 * 10**9)
with trace.use_span(span):
    keeper = threading.Thread(target=keep)
    keeper.start()
go.release()
ticked.acquire()
span.end(time.time_ns() - 600 * 10**9)
go.release(2)
keeper.join()
"""
    )
    helpers = {f"helper {tick}": f"tick {tick}" for tick in range(3)}
    assert parents(run) == {"request": "", "tick 0": "request", "tick 1": "", "tick 2": "", **helpers}

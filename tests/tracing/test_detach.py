"""Contexts that are left elsewhere than they were entered: counted, and told to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.contexts import BEGIN, parents

if TYPE_CHECKING:
    from servers.program import Traced

# An async generator that is given up is closed by the event loop, in a task of its own.
GIVEN_UP = """
import asyncio, logging
logging.basicConfig(level=logging.DEBUG)
before = logging.getLogger("opentelemetry.context").level, list(logging.getLogger().handlers)

async def with_span():
    with tracer.start_as_current_span("inside"):
        yield 1

async def with_token():
    token = context.attach(context.set_value("key", "value"))
    try:
        yield 1
    finally:
        context.detach(token)

async def main():
    for items in (with_span(), with_token(), with_token()):
        async for item in items:
            break
        del items
        await asyncio.sleep(0.01)
    work("after")

with tracer.start_as_current_span("request"):
    asyncio.run(main())
assert before == (logging.getLogger("opentelemetry.context").level, list(logging.getLogger().handlers))
mismatch = sys.modules.get("otel_run.tracing.mismatch")
report = sys.modules.get("otel_run.report")
print(mismatch.count, [note for note in report.notes if note[0] == "context"])
"""


def test_generators_that_are_closed_in_another_context_are_counted(traced: Traced) -> None:
    run = traced(BEGIN + GIVEN_UP, env={"OTEL_RUN_STRICT": "true"})
    assert "Failed to detach" not in run.stderr
    assert "Traceback" not in run.stderr
    note = ("context", "left elsewhere", "what was current there stays; further ones are only counted")
    assert run.stdout == f"3 [{note}]\n"
    names = {span.span_id: span.name for span in run.spans}
    assert {span.name: names.get(span.parent_id) for span in run.spans} == {
        "request": None,
        "inside": "request",
        # The program has left it in the middle of the span.
        "after": "inside",
    }


def test_a_generator_that_is_finished_by_another_thread_is_counted(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
def items():
    with tracer.start_as_current_span("inside"):
        yield work("first")
        yield work("second")

generator = items()
next(generator)
thread = threading.Thread(target=lambda: list(generator))
context.attach(context.Context())
thread.start()
thread.join()
print(sys.modules["otel_run.tracing.mismatch"].count)
"""
    )
    assert parents(run) == {"inside": "", "first": "inside", "second": ""}
    assert run.stdout == "1\n"


@pytest.mark.parametrize("level", ["DEBUG", "ERROR"])
def test_a_token_that_is_used_twice_is_said_for_it_is_a_mistake(level: str, traced: Traced) -> None:
    run = traced(
        BEGIN
        + f"""
import logging
logging.basicConfig(level=logging.{level})
token = context.attach(context.Context())
context.detach(token)
context.detach(token)
print(sys.modules["otel_run.tracing.mismatch"].count)
"""
    )
    assert (run.returncode, run.stdout) == (0, "0\n")
    assert run.stderr.count("ERROR:opentelemetry.context:Failed to detach context") == 1

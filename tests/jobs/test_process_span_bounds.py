"""What never ends is no single trace: an age and a number of spans after which roots are roots again, linked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from endings.states import END, HANGING, ONE, SHORT, UP, check
from jobs.test_process_span import BEGIN, UNSAMPLED, process_of, tree

if TYPE_CHECKING:
    from pathlib import Path

    from endings.states import Ending
    from servers.program import Traced

AUTO = {"OTEL_RUN_PROCESS_SPAN": "auto"}
TWO = {**AUTO, "OTEL_RUN_PROCESS_SPAN_MAX_SPANS": "2"}
YOUNG = {**AUTO, "OTEL_RUN_PROCESS_SPAN_MAX_AGE": "60000"}
POLLING = """
with tracer.start_as_current_span("poll 0"):
    span("below 0")
    span("below 0 too")
span("poll 1")
{wait}
with tracer.start_as_current_span("poll 2"):
    span("below 2")
span("poll 3", links=[trace.Link(trace.SpanContext(1, 2, True))])
"""
# The agent has its clock by name, in the one module that looks at the age.
TEN_MINUTES_LATER = """
from otel_run.tracing import process_span
real = process_span.time_ns
process_span.time_ns = lambda: real() + 600 * 10**9
"""


@pytest.mark.parametrize("why", ["spans", "age"])
def test_a_program_that_goes_on_and_on_has_roots_again_with_a_link(why: str, traced: Traced) -> None:
    wait = TEN_MINUTES_LATER if why == "age" else ""
    run = traced(BEGIN + POLLING.format(wait=wait), env=TWO if why == "spans" else YOUNG)
    process = process_of(run)
    assert (run.returncode, run.stderr) == (0, ""), run
    assert process.attributes["otelrun.process.ended_by"] == why
    assert "process.exit.code" not in process.attributes
    assert tree(run) == {
        "app": "",
        **dict.fromkeys(("poll 0", "poll 1"), "app"),
        **dict.fromkeys(("below 0", "below 0 too"), "poll 0"),
        "poll 2": "",
        "below 2": "poll 2",
        "poll 3": "",
    }
    link = (process.trace_id, process.span_id)
    own = (f"{1:032x}", f"{2:016x}")
    assert {span.name: span.links for span in run.spans if span.links} == {"poll 2": [link], "poll 3": [own, link]}
    assert len({span.trace_id for span in run.spans if not span.parent_id}) == 3


def test_what_was_sampled_out_is_drawn_again_after_the_bounds(traced: Traced) -> None:
    run = traced(BEGIN + POLLING.format(wait=""), env={**TWO, "TRACEPARENT": UNSAMPLED})
    assert tree(run) == {"poll 2": "", "below 2": "poll 2", "poll 3": ""}
    assert run.span("poll 2").links == []


PINGS = """
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
client = redis.Redis(port={port}, retry=Retry(NoBackoff(), 0))
for _ in range(9):
    try:
        client.ping()
    except redis.ConnectionError:
        pass
"""


def test_what_needs_no_span_to_be_dropped_counts_too(traced: Traced, closed_port: int) -> None:
    run = traced(PINGS.format(port=closed_port), env={**TWO, "TRACEPARENT": UNSAMPLED})
    assert [(span.name, span.parent_id) for span in run.spans] == [("PING", "")] * 7


def test_a_call_of_a_library_counts_once(traced: Traced, closed_port: int) -> None:
    run = traced(PINGS.format(port=closed_port), env=TWO)
    process = process_of(run)
    pings = [span for span in run.spans if span is not process]
    link = [(process.trace_id, process.span_id)]
    assert [(span.parent_id, span.links) for span in pings] == [(process.span_id, [])] * 2 + [("", link)] * 7


def test_calls_beyond_the_limit_of_a_function_are_counted_on_it(traced: Traced) -> None:
    (traced.folder / "orders.py").write_text("def total(): pass\n")
    run = traced(
        "import orders\nfor _ in range(99): orders.total()",
        env={**AUTO, "OTEL_RUN_TRACE": "orders:total", "OTEL_RUN_TRACE_LIMIT": "3"},
    )
    told = [span for span in run.spans if span.name == "total"]
    assert {span.parent_id for span in told} == {process_of(run).span_id}
    assert process_of(run).attributes["otelrun.calls.orders.total"] == 99 - len(told)


def test_a_request_that_comes_while_it_is_made_is_a_request_as_any(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
from otel_run.tracing import process_span
process = process_span.of_process
make = process._make
def make_slowly(around):
    span("request", SpanKind.SERVER)
    return make(around)
process._make = make_slowly
span("first")
span("second")
""",
        env=AUTO,
    )
    process = process_of(run)
    assert process.attributes["otelrun.process.ended_by"] == "server"
    assert tree(run) == {"app": "", "request": "", "first": "", "second": ""}
    link = [(process.trace_id, process.span_id)]
    assert {span.name: span.links for span in run.spans if span.links} == {"first": link, "second": link}


def test_a_forked_child_has_bounds_of_its_own(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
import os
span("before")
if not os.fork():
    for number in range(3):
        span(f"child {number}")
    os._exit(0)
os.wait()
span("parent 0")
span("parent 1")
""",
        env=TWO,
    )
    process = process_of(run)
    below = dict.fromkeys(("before", "child 0", "child 1", "parent 0"), "app")
    assert tree(run) == {"app": "", **below, "child 2": "", "parent 1": ""}
    link = [(process.trace_id, process.span_id)]
    assert (run.span("child 2").links, run.span("parent 1").links) == (link, link)


def test_a_forked_child_that_serves_ends_nothing_of_its_parents(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
import os
span("before")
if not os.fork():
    span("first in the child")
    span("request", SpanKind.SERVER)
    span("afterwards")
    os._exit(0)
os.wait()
span("parent")
""",
        env=AUTO,
    )
    process = process_of(run)
    assert process.attributes["process.exit.code"] == 0
    below = dict.fromkeys(("before", "first in the child", "parent"), "app")
    assert tree(run) == {"app": "", **below, "request": "", "afterwards": ""}
    assert run.span("afterwards").links == [(process.trace_id, process.span_id)]


def test_life_that_goes_on_after_an_end_has_roots_with_a_link(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
import os
span("before")
try:
    os.execv("/nowhere", ["nowhere"])
except FileNotFoundError:
    span("afterwards")
""",
        env=AUTO,
    )
    process = process_of(run)
    assert tree(run) == {"app": "", "before": "app", "afterwards": ""}
    assert run.span("afterwards").links == [(process.trace_id, process.span_id)]


def test_an_end_that_does_not_come_before_anything_was_done_costs_nothing(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
import os
try:
    os.execv("/nowhere", ["nowhere"])
except FileNotFoundError:
    span("afterwards")
""",
        env=AUTO,
    )
    assert tree(run) == {"app": "", "afterwards": "app"}


ENDINGS: dict[str, Ending] = {
    "an exit handler of its own": (f"import atexit; atexit.register(tracer.start_span('late').end)\n{END}", 0),
    "an exception": (END + "raise KeyError('theirs')", 1),
    "os._exit": (END + "import os; os._exit(7)", 7),
    "SIGTERM": (END + "import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
    "another program": (END + "import os; os.execv('/bin/sh', ['sh', '-c', 'exit 3'])", 3),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_it_leaves_within_the_budget_however_the_process_ends(ending: str, tmp_path: Path) -> None:
    late = ["late"] if "handler" in ending else []
    begin = ONE + "tracer = trace.get_tracer('t')\n"
    check(ENDINGS[ending], tmp_path, ["app", "one", *late], states=(UP, HANGING), env={**SHORT, **AUTO}, begin=begin)

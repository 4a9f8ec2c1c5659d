"""Threads: whose span their work is below, and that nobody can tell them from threads of a bare Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.contexts import BEGIN, parents
from process.children import both

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced


def test_a_thread_works_below_the_span_it_was_started_in(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
class Overriding(threading.Thread):
    def run(self):
        work("overriding")

def nest():
    with tracer.start_as_current_span("nest"):
        inner = threading.Thread(target=work, args=("nested",))
        inner.start()
        inner.join()

def started(*threads):
    for thread in threads:
        thread.start()
    return threads

made_outside = threading.Thread(target=work, args=("made outside",))
with tracer.start_as_current_span("request"):
    threads = started(
        made_outside,
        threading.Thread(target=work, args=("thread",)),
        threading.Thread(target=work, args=("daemon",), daemon=True),
        threading.Timer(0.01, work, ("timer",)),
        Overriding(),
        threading.Thread(target=nest),
    )
    made_inside = threading.Thread(target=work, args=("made inside",))
with tracer.start_as_current_span("next request"):
    threads += started(threading.Thread(target=work, args=("next",)))
threads += started(made_inside, threading.Thread(target=work, args=("alone",)))
for thread in threads:
    thread.join()
print(trace.get_current_span() is trace.INVALID_SPAN)
"""
    )
    below = dict.fromkeys(["made outside", "thread", "daemon", "timer", "overriding", "nest"], "request")
    roots = dict.fromkeys(["request", "next request", "made inside", "alone"], "")
    assert parents(run) == {**below, **roots, "nested": "nest", "next": "next request"}
    assert run.stdout == "True\n"


def test_the_context_of_opentelemetry_travels_and_no_other_variable(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
from contextvars import ContextVar
variable = ContextVar("variable", default="default")
variable.set("set")
context.attach(baggage.set_baggage("tenant", "shop"))
context.attach(context.set_value("key", "value"))

def tell():
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    print(baggage.get_all(), context.get_value("key"), variable.get() == ("set" if inherits else "default"))

for thread in threading.Thread(target=tell), threading.Timer(0, tell):
    thread.start()
    thread.join()
"""
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "{'tenant': 'shop'} value True\n" * 2, "")


LATE = """
asked, go = threading.Event(), threading.Event()

def keep():
    work("at once")
    asked.set()
    go.wait()
    work("first")
    context.attach(baggage.set_baggage("tenant", "shop"))
    work("second")
    print(trace.get_current_span() is trace.INVALID_SPAN)

ago = time.time_ns() - int(float(sys.argv[1]) * 1e9)
span = tracer.start_span("request", start_time=ago - 1000)
with trace.use_span(span):
    keeper = threading.Thread(target=keep)
    keeper.start()
asked.wait()
span.end(ago)
go.set()
keeper.join()
"""


def test_a_job_goes_on_below_a_request_that_has_ended_lately(traced: Traced) -> None:
    run = traced(BEGIN + LATE, "240")
    assert parents(run) == {"request": "", "at once": "request", "first": "request", "second": "request"}
    assert run.stdout == "False\n"


def test_a_thread_that_lives_on_begins_traces_of_its_own_when_the_request_is_long_over(traced: Traced) -> None:
    run = traced(BEGIN + LATE, "301")
    assert parents(run) == {"request": "", "at once": "request", "first": "", "second": ""}
    assert run.stdout == "True\n"


LIKENESS = (
    BEGIN
    + """
import inspect, traceback

def frames(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

for name in ("start", "_bootstrap_inner", "run", "join"):
    method = getattr(threading.Thread, name)
    print(inspect.signature(method), method.__name__, method.__qualname__, method.__doc__, method.__module__)

class Uninitialised(threading.Thread):
    def __init__(self):
        self.mine = 1

seen = []
def hook(args):
    print("hook", args.exc_type, frames(args.exc_value), args.exc_value.__context__, args.exc_value.__cause__)

def traces(frame, event, arg):
    seen.append((event, frame.f_code.co_name))

with tracer.start_as_current_span("request"):
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(10,), name="T", daemon=True)
    attributes = sorted(vars(thread))
    print(attributes, thread._target == done.wait, thread._args, thread)
    thread.start()
    print(sorted(vars(thread)) == attributes, thread.name, thread.is_alive(), thread.daemon)
    done.set()
    thread.join()
    print(sorted(set(vars(thread)) - set(attributes)))
    for wrong in thread, Uninitialised():
        before = sorted(vars(wrong))
        try:
            wrong.start()
        except RuntimeError as error:
            print(error, error.__context__, error.__cause__, frames(error)[-1], len(frames(error)) <= 3)
        print(sorted(vars(wrong)) == before)
    raising = threading.Thread(target=raises, args=(ValueError("told by the interpreter"),), name="R")
    raising.start()
    raising.join()
    threading.excepthook = hook
    raising = threading.Thread(target=raises, args=(ValueError("told to the hook"),))
    raising.start()
    raising.join()
    threading.settrace(traces)
    tracing = threading.Thread(target=work, args=("traced",))
    tracing.start()
    tracing.join()
    threading.settrace(None)
    print([name for event, name in seen if event == "call"][:2])
    print([thread.name for thread in threading.enumerate()])
"""
)


def test_a_thread_looks_and_fails_as_without_us(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(LIKENESS)
    bare, ours = both(["app.py"], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    assert ours == bare
    assert (ours[0], "told by the interpreter" in ours[2], "hook" in ours[1]) == (0, True, True), ours


def test_what_a_thread_has_inherited_is_freed_with_it(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
import gc, weakref
gc.disable()
value = Value()
known = weakref.ref(value)
errors = []
threading.excepthook = lambda args: errors.append(args.exc_value)
token = context.attach(context.set_value("key", value))
threads = [threading.Thread(target=work, args=("kept",)), threading.Thread(target=raises, args=(ValueError(),))]
for thread in threads:
    thread.start()
    thread.join()
context.detach(token)
del token, value
print(known(), len(threads), len(errors))
"""
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "None 2 1\n", ""), run


APPLIED = """
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
ThreadingInstrumentor().instrument()
"""
BOTH_WAYS = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as pool:
    with tracer.start_as_current_span("request"):
        thread = threading.Thread(target=work, args=("thread",))
        thread.start()
        thread.join()
        pool.submit(work, "task").result()
    pool.submit(work, "alone").result()
ours = sys.modules.get("otel_run.instrumentors.threading")
print(ours is not None and ours.ThreadingInstrumentor().is_instrumented_by_opentelemetry)
"""


def test_contrib_s_applied_by_the_program_takes_our_place_for_threads(traced: Traced) -> None:
    run = traced(BEGIN + APPLIED + BOTH_WAYS)
    assert parents(run) == {"request": "", "thread": "request", "task": "request", "alone": ""}
    assert run.stdout == "False\n"


@pytest.mark.parametrize(("disabled", "thread", "task"), [("threading", "", "request"), ("*", "", "")])
def test_switched_off_by_its_name_nothing_travels(disabled: str, thread: str, task: str, traced: Traced) -> None:
    run = traced(BEGIN + BOTH_WAYS, env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled})
    assert parents(run) == {"request": "", "thread": thread, "task": task, "alone": ""}
    assert run.stdout == "False\n"

"""Spans that end late, in exit handlers or in children, are delivered, and each once."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, environment, run
from servers.fickle import fickle

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced


def _names(tmp_path: Path, source: str, **env: str) -> list[str]:
    (tmp_path / "app.py").write_text(source)
    with fickle() as receiver:
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **env)
        done = run([*OTEL_RUN, sys.executable, "-W", "ignore", "app.py"], tmp_path, env=variables)
    assert (done.returncode, done.stderr) == (0, ""), done
    return sorted(span.name for span in receiver.spans)


def test_spans_of_exit_handlers_older_than_the_agents_waking(tmp_path: Path) -> None:
    source = """
import atexit
def work():
    trace.get_tracer("t").start_span("at exit").end()
atexit.register(work)
from opentelemetry import trace
trace.get_tracer("t").start_span("before").end()
"""
    assert _names(tmp_path, source) == ["at exit", "before"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_that_end_by_themselves(method: str, tmp_path: Path) -> None:
    source = f"""
import multiprocessing
def work(number):
    from opentelemetry import trace
    trace.get_tracer("t").start_span(f"child {{number}}").end()
if __name__ == "__main__":
    from opentelemetry import trace
    trace.get_tracer("t").start_span("parent").end()
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=work, args=(number,)) for number in range(3)]
    for child in children: child.start()
    for child in children: child.join()
"""
    assert _names(tmp_path, source) == ["child 0", "child 1", "child 2", "parent"]


def test_a_flush_in_a_forked_child_sends_nothing_of_the_parents(tmp_path: Path) -> None:
    source = """
import os
from opentelemetry import trace
trace.get_tracer("t").start_span("parent").end()
child = os.fork()
if child == 0:
    trace.get_tracer_provider().force_flush()
    trace.get_tracer_provider().shutdown()
    os._exit(0)
os.waitpid(child, 0)
"""
    assert _names(tmp_path, source) == ["parent"]


def test_many_threads_at_once_start_one_thread_of_ours_and_lose_nothing(tmp_path: Path) -> None:
    source = """
import sys, threading
from opentelemetry import trace
sys.setswitchinterval(1e-6)
tracer = trace.get_tracer("t")
barrier = threading.Barrier(12)
def work(number):
    barrier.wait()
    for index in range(20):
        tracer.start_span(f"{number}-{index}").end()
threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    names = _names(tmp_path, source, OTEL_BSP_SCHEDULE_DELAY="0", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="7")
    assert len(names) == len(set(names)) == 240


OWN = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry import trace
provider = TracerProvider()
"""
ADD = "provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))\n"
SET = "trace.set_tracer_provider(provider)\n"
SPAN = "trace.get_tracer('t').start_span('one').end()\n"


@pytest.mark.parametrize("steps", [SET + SET, ADD + SET, SET + ADD], ids=["set twice", "added first", "added later"])
def test_a_provider_of_the_programs_own_delivers_each_span_once(steps: str, tmp_path: Path) -> None:
    source = OWN + steps.replace(SET + SET, SET + "import logging; logging.disable()\n" + SET) + SPAN
    assert _names(tmp_path, source) == ["one"]


TOLD_TO_END = """
import os, signal, threading
from otel_run import native
from otel_run.export import thread

start_new_thread, taken = native.start_new_thread, 0

def take(*_):
    global taken
    taken += 1

def start_while_told_to_end(*args):
    os.kill(os.getpid(), signal.SIGTERM)
    return start_new_thread(*args)

def start_often():
    for number in range(1, 201):
        thread.start(lambda: None, {}, lambda: None)
        pause = threading.Event()
        for _ in range(1000):
            if taken == number:
                break
            pause.wait(0.005)
        else:
            print(f"the main thread was not told of the signal {number}", flush=True)
            break
    os._exit(0)

signal.signal(signal.SIGTERM, take)
start_new_thread(start_often, ())
native.start_new_thread = start_while_told_to_end
while True:
    threading.Event().wait()
"""


def test_a_signal_that_comes_while_our_thread_is_started_is_not_lost_to_the_main_thread(traced: Traced) -> None:
    run = traced(TOLD_TO_END)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", ""), run


INTERRUPTED = """
import signal, time
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags
from otel_run.export.batch import BatchProcessor

class Late(BaseException): pass
def late(*_): raise Late
signal.signal(signal.SIGALRM, late)

class Sender:
    destination = ""
    def pack(self, spans): return list(spans)
    def send(self, spans, timeout):
        from otel_run.export.sender import DELIVERED
        return DELIVERED
    def rest(self): pass
    close = rest

span = ReadableSpan("a span", context=SpanContext(1, 2, False, TraceFlags(1)))
interrupted, blocked, stuck = 0, 0, 0
for number in range(300):
    processor = BatchProcessor("test", Sender, 1000, 10, 1000, 200, 2, lambda span: span)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.000003 + number % 60 / 1000000)
        processor.on_end(span)
        for _ in range(1000000): pass
    except Late:
        interrupted += 1
    blocked += bool(signal.pthread_sigmask(signal.SIG_SETMASK, ()))
    processor.on_end(span)
    stuck += not processor.force_flush(10000)
    processor._rest()
print(interrupted, blocked, stuck)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that sends signals")
def test_a_signals_handler_that_raises_while_our_thread_is_started_blocks_no_signal_and_stops_no_export(
    tmp_path: Path,
) -> None:
    done = run([sys.executable, "-c", INTERRUPTED], tmp_path)
    assert (done.stdout, done.stderr) == ("300 0 0\n", "")


FORKS_AT_ONCE = """
import os, threading, time
from otel_run.export import thread
thread._PATIENCE = 0.05
thread.before_forks(lambda: time.sleep(0.3))
statuses = []
def fork():
    child = os.fork()
    if child == 0:
        os._exit(not thread.gate.acquire(blocking=False))
    statuses.append(os.waitpid(child, 0)[1])
threads = [threading.Thread(target=fork) for _ in range(3)]
for one in threads: one.start()
for one in threads: one.join()
print(statuses, thread.gate.acquire(blocking=False))
"""


def test_forks_at_once_that_have_waited_in_vain_leave_the_gate_open(tmp_path: Path) -> None:
    done = run([sys.executable, "-W", "ignore", "-c", FORKS_AT_ONCE], tmp_path)
    assert (done.stdout, done.stderr) == ("[0, 0, 0] True\n", "")

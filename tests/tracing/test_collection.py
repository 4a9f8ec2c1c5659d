"""Spans that end in destructors, while the thread is in the middle of a processor of the program's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Traced

# A processor with a lock, which is collected in while it holds that; as the SDK's own batch processor may be.
PROGRAM = """
import gc, sys, threading
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

class Locking(SpanProcessor):
    def __init__(self):
        self.lock, self.names = threading.Lock(), []
    def on_end(self, span):
        assert self.lock.acquire(timeout=10), "it waits for itself"
        gc.collect()
        self.names.append(span.name)
        self.lock.release()

class Left:
    def __init__(self, span):
        self.span, self.itself = span, self
    def __del__(self):
        self.span.end()

locking = Locking()
if sys.argv[1] == "own provider":
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
trace.get_tracer_provider().add_span_processor(locking)
# Of an instrumentor of ours, so that it is our span in either case.
tracer = trace.get_tracer("otel_run.test")
Left(tracer.start_span("left behind"))
tracer.start_span("first").end()
{then}
print(locking.names)
"""


@pytest.mark.parametrize("provider", ["ours", "own provider"])
def test_a_span_that_ends_while_a_processor_holds_its_lock_is_handed_on_later(traced: Traced, provider: str) -> None:
    run = traced(PROGRAM.replace("{then}", 'tracer.start_span("second").end()'), provider)
    assert (run.returncode, run.stdout, run.stderr) == (0, "['first', 'left behind', 'second']\n", ""), run
    assert sorted(span.name for span in run.spans) == ["first", "left behind", "second"]


def test_a_flush_hands_on_what_has_waited(traced: Traced) -> None:
    run = traced(PROGRAM.replace("{then}", "trace.get_tracer_provider().force_flush()"), "ours")
    assert (run.returncode, run.stdout, run.stderr) == (0, "['first', 'left behind']\n", ""), run


@pytest.mark.parametrize("provider", ["ours", "own provider"])
def test_what_has_waited_leaves_at_the_end(traced: Traced, provider: str) -> None:
    run = traced(PROGRAM.replace("{then}", ""), provider)
    assert (run.returncode, run.stdout, run.stderr) == (0, "['first']\n", ""), run
    assert sorted(span.name for span in run.spans) == ["first", "left behind"]

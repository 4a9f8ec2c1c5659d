"""The price of one call of a function: bare, traced by OTEL_RUN_TRACE, and with a span by hand.

`python tests/bench/functions.py` prints nanoseconds a call, medians and minima of many short loops that take turns in
one process, so that what else the machine does falls on all alike. The spans go to a processor that does nothing.
By the SDK's own tracer the spans by hand cost what they would without us. The last line of the table, an untraced
function of the same module, is to be read against the first: there shall be no difference.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling

from otel_run import settings
from otel_run.functions import replaced
from otel_run.functions.spans import FunctionSpans
from otel_run.tracing.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Tracer

CALLS, ROUNDS = 2000, 61
UNLIMITED = 2**31 - 1
OFF = sampling.ParentBased(sampling.TraceIdRatioBased(0))


class Ignored(SpanProcessor):
    """Does nothing."""


def ours(sampler: sampling.Sampler) -> Tracer:
    """Return a tracer of otel-run's."""
    provider = Provider(settings.current(), Resource({}), sampler)
    provider.add_own_processor(Ignored())
    return provider.get_tracer("bench")


def theirs(sampler: sampling.Sampler) -> Tracer:
    """Return one of the SDK's."""
    provider = TracerProvider(sampler, Resource({}))
    provider.add_span_processor(Ignored())
    return provider.get_tracer("bench")


def made() -> Callable[[int], int]:
    """Return a function of its own, as small as can be."""

    def add(number: int) -> int:
        return number + 1

    return add


def traced(tracer: Tracer, limit: int = UNLIMITED, *arguments: str) -> Callable[[int], int]:
    """Return one that is traced."""
    function: Any = made()
    replaced.trace(function, FunctionSpans(tracer, function, "bench", "add", None, arguments, limit))
    return function  # type: ignore[no-any-return]


def by_hand(tracer: Tracer) -> Callable[[int], int]:
    """Return one whose author has written a span."""

    def add(number: int) -> int:
        with tracer.start_as_current_span("add"):
            return number + 1

    return add


def by_hand_with_attributes(tracer: Tracer) -> Callable[[int], int]:
    """Return one whose author tells what we tell."""
    told: dict[str, Any] = {"code.function.name": "bench.add", "code.file.path": __file__, "code.line.number": 66}

    def add(number: int) -> int:
        with tracer.start_as_current_span("add", attributes=told):
            return number + 1

    return add


def variants() -> dict[str, tuple[Context, Callable[[int], int]]]:
    """Return what is compared: the context around, and the function."""
    on, off, sdk_on, sdk_off = ours(sampling.DEFAULT_ON), ours(OFF), theirs(sampling.DEFAULT_ON), theirs(OFF)
    kept, unsampled, sdk_unsampled, nothing = (
        on.start_span("a"),
        off.start_span("a"),
        sdk_off.start_span("a"),
        Context(),
    )
    below, below_unsampled = trace.set_span_in_context(kept), trace.set_span_in_context(unsampled)
    traced(on)
    return {
        "bare": (below, made()),
        "traced, sampled": (below, traced(on)),
        "traced, sampled, an argument": (below, traced(on, UNLIMITED, "number")),
        "by hand, sampled": (below, by_hand(on)),
        "by hand, sampled, three attributes": (below, by_hand_with_attributes(on)),
        "by hand, sampled, the SDK": (below, by_hand(sdk_on)),
        "traced, unsampled": (below_unsampled, traced(off)),
        "by hand, unsampled": (below_unsampled, by_hand(off)),
        "by hand, unsampled, the SDK": (trace.set_span_in_context(sdk_unsampled), by_hand(sdk_off)),
        "traced, nothing sampled at all": (nothing, traced(off)),
        "traced, over the limit": (below, traced(on, 1)),
        "untraced, same module": (below, made()),
    }


def loop(around: Context, function: Callable[[int], int]) -> float:
    """Return nanoseconds a call."""
    token = context.attach(around)
    function(0)
    began = time.perf_counter_ns()
    for number in range(CALLS):
        function(number)
    took = time.perf_counter_ns() - began
    context.detach(token)
    return took / CALLS


def main() -> None:
    """Print the table."""
    compared = variants()
    found: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(ROUNDS):
        gc.collect()
        for name, (around, function) in compared.items():
            found[name].append(loop(around, function))
    print(f"Python {sys.version.split()[0]}: nanoseconds a call, median and minimum of {ROUNDS} loops of {CALLS}")
    for name, took in found.items():
        print(f"  {name:<36}{statistics.median(took):>8.0f}{min(took):>8.0f}")


if __name__ == "__main__":
    main()

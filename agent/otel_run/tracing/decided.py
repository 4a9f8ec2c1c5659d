"""Sampling decisions that were made already: for all that belongs to a request, and is not its child.

What an excluded request calls must not become an orphan trace, whatever sampler there is. What a request leaves
behind (a background task) is a trace of its own, and is kept if the request was: a root sampler would draw again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import get_current
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace import sampling as sdk
from opentelemetry.trace import get_current_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

# In the context: True, every span is kept; False, none is; absent, the sampler decides.
IS_KEPT = "otel-run-is-kept"


class Decided(sdk.Sampler):
    """A sampler that asks another, unless the context says that there is nothing to decide."""

    def __init__(self, sampler: sdk.Sampler) -> None:
        self.sampler = sampler
        self._looks = _looks(sampler)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> sdk.SamplingResult:
        """Return the other's decision, or the one that was made."""
        # None is how the SDK passes on the current one, for spans of the program's own.
        around = get_current() if parent_context is None else parent_context
        is_kept = around.get(IS_KEPT) if around else None
        if is_kept is None:
            if self._looks and attributes is not None:
                # What all others hand over. It may be changed, compared, pickled.
                attributes = dict(attributes)
            # The SDK gives none, and some samplers take none.
            more = () if trace_state is None else (trace_state,)
            return self.sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, *more)
        decision = sdk.Decision.RECORD_AND_SAMPLE if is_kept else sdk.Decision.DROP
        # As each of the SDK's samplers, the parent's state: what others have in it travels on.
        state = trace_state or get_current_span(around).get_span_context().trace_state
        return sdk.SamplingResult(decision, attributes if is_kept else None, state)

    def get_description(self) -> str:
        """Describe the other."""
        return self.sampler.get_description()


def _looks(sampler: sdk.Sampler) -> bool:
    """Tell whether a sampler may look at attributes, which none of the specification's does."""
    if type(sampler).__module__ != sdk.__name__:
        return True
    return any(_looks(part) for part in vars(sampler).values() if isinstance(part, sdk.Sampler))


class Rule:
    """What of a sampler's decisions is known without asking it."""

    __slots__ = ("bound", "drops_below", "follows")

    def __init__(self, follows: bool, bound: int) -> None:
        # A span with a parent is kept if that is.
        self.follows = follows
        # Any other is, if the low 64 bits of its trace id are below this.
        self.bound = bound
        # Whether all is dropped that is below what is dropped.
        self.drops_below = follows or bound == 0


# The sampler must be asked, each time.
ASK = Rule(False, -1)


def rule_of(sampler: sdk.Sampler) -> Rule:
    """Return the rule of a sampler: ASK for all but the specification's."""
    if isinstance(sampler, Decided):
        sampler = sampler.sampler
    if type(sampler) is not sdk.ParentBased:
        bound = _bound_of(sampler)
        return ASK if bound is None else Rule(False, bound)
    bound = _bound_of(sampler._root)
    parts = ("remote_parent_sampled", "remote_parent_not_sampled", "local_parent_sampled", "local_parent_not_sampled")
    bounds = [_bound_of(getattr(sampler, f"_{part}")) for part in parts]
    return ASK if bound is None or bounds != [_ALL, 0, _ALL, 0] else Rule(True, bound)


_ALL = sdk.TraceIdRatioBased.TRACE_ID_LIMIT + 1


def _bound_of(sampler: sdk.Sampler) -> int | None:
    if type(sampler) is sdk.TraceIdRatioBased:
        return sampler.bound
    if type(sampler) is sdk.StaticSampler:
        return {sdk.Decision.DROP: 0, sdk.Decision.RECORD_AND_SAMPLE: _ALL}.get(sampler._decision)
    return None


def decide_first(tracer: object) -> None:
    """Have a tracer's sampler asked only where nothing is decided. Its provider's stays as the program knows it."""
    # Of a provider that is disabled it is another kind.
    if isinstance(tracer, Tracer) and not isinstance(tracer.sampler, Decided):
        tracer.sampler = Decided(tracer.sampler)

"""The sampler that the settings name: the specification's six, or an entry point's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import sampling as sdk

from otel_run.patching import candidates

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.settings import Settings

_SAMPLERS: dict[str, Callable[[float], sdk.Sampler]] = {
    "always_on": lambda _ratio: sdk.ALWAYS_ON,
    "always_off": lambda _ratio: sdk.ALWAYS_OFF,
    "traceidratio": sdk.TraceIdRatioBased,
    "parentbased_always_on": lambda _ratio: sdk.ParentBased(sdk.ALWAYS_ON),
    "parentbased_always_off": lambda _ratio: sdk.ParentBased(sdk.ALWAYS_OFF),
    "parentbased_traceidratio": lambda ratio: sdk.ParentBased(sdk.TraceIdRatioBased(ratio)),
}


def build(settings: Settings) -> sdk.Sampler:
    """Return the sampler; raises if an entry point's factory does."""
    if settings.sampler in _SAMPLERS:
        return _SAMPLERS[settings.sampler](settings.ratio)
    points = dict(candidates.entry_points("opentelemetry_traces_sampler"))
    sampler: sdk.Sampler = candidates.make(points[settings.sampler], settings.sampler_arg)
    return sampler


def one_percent() -> sdk.Sampler:
    """Return what stands in for a sampler that can't be built: failing open is the expensive mistake."""
    return sdk.ParentBased(sdk.TraceIdRatioBased(0.01))

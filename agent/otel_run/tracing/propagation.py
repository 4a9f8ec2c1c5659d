"""How context travels between services: the propagators of OTEL_PROPAGATORS, each failing alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators import textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_run import report
from otel_run.boundary import contained, without_exit
from otel_run.patching import candidates

if TYPE_CHECKING:
    from otel_run.settings import Settings

# Loaded without a look at the entry points, which is what nearly every process needs.
_BUILT_IN = {"tracecontext": TraceContextTextMapPropagator, "baggage": W3CBaggagePropagator}


class Contained(textmap.TextMapPropagator):
    """Somebody's propagator, whose errors cost nothing but its own headers."""

    def __init__(self, name: str, propagator: textmap.TextMapPropagator) -> None:
        self._unit = f"propagator {name}"
        self._propagator = propagator

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        """Return the context with what the carrier says, or as it was."""
        found: Context | None = contained(self._unit, without_exit, self._propagator.extract, carrier, context, getter)
        if found is not None:
            return found
        return context if context is not None else get_current()

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Write the context into the carrier."""
        contained(self._unit, without_exit, self._propagator.inject, carrier, context, setter)

    @property
    def fields(self) -> set[str]:
        """Return the names of the headers that it writes."""
        return contained(self._unit, lambda: self._propagator.fields) or set()


def install(settings: Settings) -> None:
    """Make the propagators of the settings the global ones."""
    built = [] if "none" in settings.propagators else [_build(name) for name in settings.propagators]
    propagate.set_global_textmap(CompositePropagator([one for one in built if one is not None]))


def _build(name: str) -> textmap.TextMapPropagator | None:
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    value = dict(candidates.entry_points("opentelemetry_propagator")).get(name)
    if value is None:
        hint = f"pip install opentelemetry-propagator-{name.replace('b3multi', 'b3')}"
        report.warn(f"propagator {name}", "not installed", f"context does not travel by it. hint: {hint}")
        return None
    loaded: Any = contained(f"propagator {name}", _load, value)
    return Contained(name, loaded) if loaded is not None else None


def _load(value: str) -> textmap.TextMapPropagator:
    propagator: textmap.TextMapPropagator = candidates.make(value)
    return propagator

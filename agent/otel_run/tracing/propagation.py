"""How context travels between services: the propagators of OTEL_PROPAGATORS, each failing alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import propagate
from opentelemetry.baggage import _BAGGAGE_KEY
from opentelemetry.context import Context, get_current
from opentelemetry.propagators import textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_run import report
from otel_run.boundary import contained, without_exit
from otel_run.patching import candidates
from otel_run.tracing import process_span, w3c
from otel_run.tracing.w3c_baggage import Baggage, with_baggage

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping
    from typing import Protocol

    from opentelemetry.trace import Span, SpanContext

    from otel_run.settings import Settings
    from otel_run.tracing.span import Unsampled

    class Headers(Protocol):
        """What a request brings; names are in lower case."""

        def header(self, name: str) -> str | None:
            """Return a header's value; of several, joined by commas (RFC 9110, 5.3)."""

        def names(self) -> Iterable[str]:
            """Return the names of all."""


# Loaded without a look at the entry points, which is what nearly every process needs.
_BUILT_IN = {"tracecontext": w3c.TraceContext, "baggage": Baggage}


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


# What `install` made, if that is of the specification's propagators: `tracecontext`, and mostly `baggage`.
_default: CompositePropagator | None = None
_tells_baggage = True


def install(settings: Settings) -> None:
    """Make the propagators of the settings the global ones."""
    global _default, _tells_baggage
    built = [] if "none" in settings.propagators else [_build(name) for name in settings.propagators]
    installed = CompositePropagator([one for one in built if one is not None])
    _tells_baggage = "baggage" in settings.propagators
    is_plain = "tracecontext" in settings.propagators and _BUILT_IN.keys() >= set(settings.propagators)
    _default = installed if is_plain else None
    propagate.set_global_textmap(installed)


def inject(span: Span, around: Context, carrier: MutableMapping[str, str]) -> None:
    """Write the context of `span`, which stands inside the context `around`, into `carrier`.

    The same as `propagate.inject` writes, which calls fifteen functions for what is mostly one header.
    """
    told = span.get_span_context()
    # The program may have set propagators of its own since.
    is_plain = propagate._HTTP_TEXT_FORMAT is _default and told.is_valid
    if is_plain and not told.trace_state and not (_tells_baggage and _has_baggage(around)):
        carrier["traceparent"] = told_as_header(told)
    else:
        propagate.inject(carrier, Context(around, **{_SPAN_KEY: span}))


def _has_baggage(around: Context) -> object:
    return process_span.baggage or around.get(_BAGGAGE_KEY)


def inject_unsampled(span: Unsampled, around: Context, carrier: MutableMapping[str, str]) -> None:
    """Do what `inject` does for a span that stands for all that is asked for below it: mostly the same header."""
    if propagate._HTTP_TEXT_FORMAT is not _default or (_tells_baggage and _has_baggage(around)):
        inject(span, around, carrier)
        return
    if not span.traceparent:
        told = span.get_span_context()
        if told.trace_state or not told.is_valid:
            inject(span, around, carrier)
            return
        span.traceparent = told_as_header(told)
    carrier["traceparent"] = span.traceparent


def told_as_header(told: SpanContext) -> str:
    """Return what `traceparent` tells of a span (W3C Trace Context Level 2)."""
    # By position: a SpanContext's properties are functions of Python's.
    return "00-%032x-%016x-%02x" % (told[0], told[1], told[3])  # noqa: UP031 - half the time of the other ways


def extract(headers: Headers, around: Context) -> Context:
    """Return the context `around` with what the caller tells in `headers`; nothing that it tells raises.

    The same as `propagate.extract` finds, for the propagators that nearly everybody uses without their machinery.
    """
    installed = propagate.get_global_textmap()
    if installed is not _default:
        return contained("propagators", without_exit, installed.extract, headers, around, _HEADERS) or around
    told = headers.header("traceparent")
    if told is not None:
        parent = w3c.parse(told, headers.header("tracestate"))
        if parent is not None:
            around = Context(around, **{_SPAN_KEY: NonRecordingSpan(parent)})
    return with_baggage(headers.header("baggage"), around) if _tells_baggage else around


class _Getter(textmap.Getter["Headers"]):
    def get(self, carrier: Headers, key: str) -> list[str] | None:
        value = carrier.header(key.lower())
        return None if value is None else [value]

    def keys(self, carrier: Headers) -> list[str]:
        return list(carrier.names())


_HEADERS = _Getter()


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

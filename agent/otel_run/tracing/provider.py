"""The SDK's provider, made from our settings alone, and able to step behind one that the program brings."""

from __future__ import annotations

import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from otel_run import forks
from otel_run.boundary import contained
from otel_run.patching import candidates
from otel_run.patching.wrap import Patch
from otel_run.tracing import collection
from otel_run.tracing import resource as resources
from otel_run.tracing.decided import decide_first
from otel_run.tracing.follower import Follower
from otel_run.tracing.ids import RandomIds
from otel_run.tracing.processors import Processors
from otel_run.tracing.tracer import adopt

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.util.types import Attributes

    from otel_run.patching.wrap import Finish
    from otel_run.settings import Settings


class Provider(TracerProvider):
    """Our provider. Everything is given: the SDK reads no environment and registers no exit handler."""

    def __init__(self, settings: Settings, resource: Resource, sampler: Sampler) -> None:
        self._processors = processors = Processors()
        super().__init__(
            sampler=sampler,
            resource=resource,
            shutdown_on_exit=False,
            active_span_processor=processors,
            id_generator=contained("id generator", _id_generator, settings.id_generator) or RandomIds(),
            span_limits=_limits(settings),
            # Else the SDK looks for one in the environment, and raises in the program's get_tracer() if it fails.
            meter_provider=NoOpMeterProvider(),
        )
        self._keeps_instance_id = "service.instance.id" in settings.resource_attributes
        self._ours: list[SpanProcessor] = []
        self._asked_before: dict[tuple[str, str | None, str | None], trace.Tracer] = {}
        # Weakly, as the SDK does: a provider is gone when nobody holds it.
        begin_child = weakref.WeakMethod(self._begin_child)
        forks.in_child(lambda: (begin := begin_child()) and begin())

    def add_own_processor(self, processor: SpanProcessor) -> None:
        """Add a processor of ours; it comes along when we step behind the program's provider."""
        self._ours.append(processor)
        self._processors.add_own(processor)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Return a tracer as the SDK does, but without the filter that it adds to the program's `warnings`."""
        asked = (instrumenting_module_name, instrumenting_library_version, schema_url)
        # Programs ask for theirs before each span, and the SDK compiles a regular expression each time.
        if not attributes and instrumenting_module_name and asked in self._asked_before:
            return self._asked_before[asked]
        before = list(warnings.filters)
        tracer: trace.Tracer = super().get_tracer(*asked, attributes)
        for added in [one for one in warnings.filters if one not in before and _is_of_sdk(one)]:
            warnings.filters.remove(added)  # type: ignore[attr-defined]
        decide_first(tracer)
        adopt(tracer)
        if not attributes:
            self._asked_before[asked] = tracer
        return tracer

    def follow(self, theirs: trace.TracerProvider) -> bool:
        """Step behind `theirs`: its sampler, resource and exporters also for spans of tracers of ours.

        Returns False, and changes nothing, if it is not one of the SDK's. Tracers that instrumentors
        hold already are re-pointed in place, so that it doesn't matter who was imported first.
        """
        if not isinstance(theirs, TracerProvider) or theirs is self:
            return False
        collection.watch()
        for processor in self._ours:
            theirs.add_span_processor(Follower(theirs, processor))
        self.sampler = theirs.sampler
        self.id_generator = theirs.id_generator
        self._resource = theirs._resource
        self._span_limits = theirs._span_limits
        self._active_span_processor = theirs._active_span_processor
        for tracer in list(self._tracers.values()):
            tracer.sampler = self.sampler
            tracer.resource = theirs._resource
            tracer.span_processor = theirs._active_span_processor
            tracer.id_generator = theirs.id_generator
            tracer._span_limits = theirs._span_limits
        # Theirs are everybody's now: the program's own, those of instrumentors, and ours.
        Patch("sampling", theirs, "get_tracer", _begin_get_tracer).apply()
        for tracer in (*self._tracers.values(), *theirs._tracers.values()):
            decide_first(tracer)
        return True

    def shutdown(self) -> None:
        """Have each processor deliver. Ours go on taking spans: the process is not over yet."""
        self._active_span_processor.shutdown()

    def _handle_fork(self) -> None:
        # Not the SDK's: it runs detectors in a thread pool here, in the middle of the fork, where the lock
        # of concurrent.futures is still held if that was imported after us. The child would never start.
        # And it replaces a service.instance.id that the operator has set.
        forks.notice()

    def _begin_child(self) -> None:
        self._tracers_lock = threading.Lock()
        chosen = self._resource.attributes.get("service.instance.id") if self._keeps_instance_id else None
        self._update_resource(resources.after_fork(chosen))


def _begin_get_tracer(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish:
    return _finish_get_tracer


def _finish_get_tracer(tracer: Any, error: BaseException | None) -> None:
    if error is None:
        decide_first(tracer)
        scope = getattr(tracer, "_instrumentation_scope", None)
        # The program's own tracers stay what they are.
        if scope is not None and scope.name.startswith("otel_run."):
            adopt(tracer)


def _is_of_sdk(warning_filter: Any) -> bool:
    """Tell whose a filter is: the program may add some of its own meanwhile, in another thread."""
    return getattr(warning_filter[3], "pattern", "") == "opentelemetry.sdk.trace"


def _id_generator(name: str) -> IdGenerator:
    if name == "random":
        return RandomIds()
    found = dict(candidates.entry_points("opentelemetry_id_generator"))
    generator: IdGenerator = candidates.make(found[name])
    return generator


def _limits(settings: Settings) -> SpanLimits:
    # None would make the SDK look into the environment.
    unset = SpanLimits.UNSET
    length = settings.attribute_value_length_limit
    span_length = settings.span_attribute_value_length_limit
    return SpanLimits(
        max_attributes=settings.attribute_count_limit,
        max_events=settings.span_event_count_limit,
        max_links=settings.span_link_count_limit,
        max_span_attributes=settings.span_attribute_count_limit,
        max_event_attributes=settings.event_attribute_count_limit,
        max_link_attributes=settings.link_attribute_count_limit,
        max_attribute_length=unset if length is None else length,
        max_span_attribute_length=unset if span_length is None else span_length,
    )

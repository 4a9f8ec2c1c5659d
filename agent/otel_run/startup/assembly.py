"""Putting the tracing together: resource, sampler, processors, propagators, and the global provider.

Each part fails alone: without its exporter the program still propagates context, without one propagator
the others still do.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.version import __version__ as sdk_version

from otel_run import report
from otel_run.boundary import contained
from otel_run.export import pipeline
from otel_run.patching.wrap import DoesNotFit
from otel_run.sampling import build as sampling
from otel_run.startup import lifetime, process_span, service
from otel_run.startup.program import running
from otel_run.tracing import chatter, collection, propagation, resource
from otel_run.tracing.provider import Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from otel_run.settings import Settings
    from otel_run.tracing import started

_provider: Provider | None = None
_followed: trace.TracerProvider | None = None


def assemble(found: Settings) -> None:
    """Build everything and make it the program's, unless the program has a provider of its own already."""
    global _provider
    _check_sdk()
    contained("chatter", chatter.calm, found)
    contained("propagators", propagation.install, found)
    name = found.service_name or found.resource_attributes.get("service.name")
    called = name or service.service_name(running())
    report.note("service.name", called, "from the environment" if name else "derived from what is run")
    sampler = contained("sampler", sampling.build, found)
    if sampler is None:
        # Never 100 % in place of a sampler that failed.
        sampler = sampling.one_percent()
    provider = _provider = Provider(found, resource.build(found, called), sampler)
    exporters = pipeline.build(found, called, contained("lanes", _watch_starts, found))
    for processor in exporters.processors:
        provider.add_own_processor(processor)
    _make_global(provider)
    contained("process span", process_span.begin, provider, found)
    lifetime.at_end(lambda _for_good: collection.hand_on_postponed())
    lifetime.at_end(exporters.close)
    lifetime.guard()


def _watch_starts(found: Settings) -> started.Known | None:
    """Have what begins watched, if anybody shows it; return what is known of it."""
    if "tree" not in found.exporters and "file" not in found.exporters:
        return None
    from otel_run.tracing import started

    started.watch()
    return started.known


def _check_sdk() -> None:
    """Raise DoesNotFit if the program has brought an SDK that lacks what we build on."""
    if not hasattr(TracerProvider, "_update_resource"):
        raise DoesNotFit(f"the program's opentelemetry-sdk {sdk_version} is too old; 1.45.1 or a later one is needed")


def _make_global(provider: Provider) -> None:
    if trace._TRACER_PROVIDER is not None:
        _give_way(trace._TRACER_PROVIDER)
        return
    # Not by set_tracer_provider: it can be called once, and that call belongs to the program.
    trace._TRACER_PROVIDER = provider
    trace.set_tracer_provider = _set_tracer_provider(trace.set_tracer_provider)


def _set_tracer_provider(original: Callable[..., None]) -> Callable[..., None]:
    import functools

    @functools.wraps(original)
    def set_tracer_provider(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        contained("the program's own provider", _notice)

    return set_tracer_provider


def _notice() -> None:
    if trace._TRACER_PROVIDER is not _provider and trace._TRACER_PROVIDER is not None:
        _give_way(trace._TRACER_PROVIDER)


def _give_way(theirs: trace.TracerProvider) -> None:
    """Let the program's provider be the provider: our spans go through it, and its spans to our exporters too."""
    global _followed
    assert _provider is not None
    if theirs is _followed:
        return
    _followed = theirs
    kind = f"{type(theirs).__module__}.{type(theirs).__qualname__}"
    if _provider.follow(theirs):
        report.note("provider", "the program's own", f"{kind}; spans go to its exporters and to ours")
    else:
        report.note("provider", "the program's own", f"{kind}; what goes through it is not seen by our exporters")

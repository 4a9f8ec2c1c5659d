"""From the settings' exporter names to span processors: one for each exporter, so that each fails alone."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_run.boundary import contained, without_exit
from otel_run.export import otlp
from otel_run.export.batch import BatchProcessor
from otel_run.export.sender import ExporterSender
from otel_run.patching import candidates

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace.export import SpanExporter

    from otel_run.export.sender import Sender
    from otel_run.export.spool import Spool
    from otel_run.export.tree_segments import Known
    from otel_run.settings import Settings

# Seconds between two batches, at most: somebody looks while the program runs.
_DELAYS = {"tree": 0.05, "file": 1.0}


class LateGate:
    """The last gate (redact.py), made by the thread that is the first to send: its masks are many modules."""

    def __init__(self, found: Settings) -> None:
        self._found = found
        self._mask: Callable[[ReadableSpan], ReadableSpan] | None = None

    def make(self) -> None:
        """Make it, once; each thread does so before its first span, and only one of them imports at a time."""
        if self._mask is None:
            from otel_run.export import redact

            self._mask = redact.build(self._found)

    def __call__(self, span: ReadableSpan) -> ReadableSpan:
        """Return what may leave of a span."""
        assert self._mask is not None
        return self._mask(span)


class ConsoleProcessor(SpanProcessor):
    """Prints each span to stdout when it ends, in step with the program's own output (specification, stdout)."""

    def __init__(self, redact: Callable[[ReadableSpan], ReadableSpan]) -> None:
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        self._redact = redact
        self._exporter: SpanExporter = ConsoleSpanExporter()

    def on_end(self, span: ReadableSpan) -> None:
        """Print a sampled span."""
        if span.context is not None and span.context.trace_flags.sampled:
            contained("exporter console", self._exporter.export, (self._redact(span),))


class Pipeline:
    """The processors of all exporters, and their common end."""

    def __init__(self, processors: list[SpanProcessor]) -> None:
        self.processors = processors

    def close(self, for_good: bool = False) -> None:
        """Deliver everything, all exporters side by side, within the one exit budget; `for_good` as finish_close."""
        batches = [processor for processor in self.processors if isinstance(processor, BatchProcessor)]
        for processor, wish in [(processor, processor.begin_close()) for processor in batches]:
            processor.finish_close(wish, for_good)


def build(found: Settings, service: str, known: Known | None = None) -> Pipeline:
    """Return the pipeline of the exporters that the settings name; `none` is none of them.

    `known` are the spans that are open, if somebody watches them.
    """
    if "none" in found.exporters:
        return Pipeline([])
    gate = LateGate(found)
    built = [contained(f"exporter {name}", _processor, name, found, gate, service, known) for name in found.exporters]
    return Pipeline([processor for processor in built if processor is not None])


def _processor(name: str, found: Settings, gate: LateGate, service: str, known: Known | None) -> SpanProcessor:
    if name == "console":
        gate.make()
        return ConsoleProcessor(gate)
    return BatchProcessor(
        name,
        _behind(gate, _sender(name, found, service, gate, known)),
        delay=min(found.bsp_schedule_delay / 1000, _DELAYS.get(name, math.inf)),
        timeout=otlp.seconds(found.bsp_export_timeout),
        queue_size=found.bsp_max_queue_size,
        batch_size=found.bsp_max_export_batch_size,
        exit_budget=found.exit_timeout / 1000,
        redact=gate,
        endpoint=otlp.endpoint(found) if name.startswith("otlp") else "",
        queue_weight=found.queue_max_bytes,
        spool=_spool(found, service) if name.startswith("otlp") else None,
    )


def _spool(found: Settings, service: str) -> tuple[str, Callable[[], Spool]] | None:
    if not found.spool_dir:
        return None
    folder = _from_here(found.spool_dir)

    def make() -> Spool:
        from otel_run.export.spool import Spool

        return Spool(folder, service, found.spool_max_bytes, "spool")

    return folder, make


def _from_here(path: str) -> str:
    """Return a path that stays: the program may change its folder before there is anything to write."""
    try:
        # A slash at its end says that it is a folder.
        return os.path.join(os.path.abspath(path), "") if path.endswith(os.sep) else os.path.abspath(path)
    except OSError:  # the current folder is no more
        return path


def _behind(gate: LateGate, build: Callable[[], Sender]) -> Callable[[], Sender]:
    def build_both() -> Sender:
        gate.make()
        return build()

    return build_both


def _sender(name: str, found: Settings, service: str, gate: LateGate, known: Known | None) -> Callable[[], Sender]:
    """Return what builds the sender, later, in the thread that uses it.

    Modules of others are imported now: some refuse to be once the interpreter has begun to exit
    (gRPC's, whatever uses concurrent.futures), which is when a short program's only batch leaves.
    """
    if (name == "otlp" and found.otlp_protocol == "grpc") or name == "otlp_proto_grpc":
        from otel_run.export import otlp_grpc

        exporter = candidates.load(otlp_grpc.EXPORTER)
        return lambda: otlp_grpc.build(found, exporter)
    if name in ("otlp", "otlp_proto_http"):
        return lambda: otlp.HttpSender(found)
    if name == "file":
        return _file_sender(found, service)
    if name == "tree":
        return _tree_sender(found, gate, known)
    value = dict(candidates.entry_points("opentelemetry_traces_exporter"))[name]
    without_exit(candidates.load, value)
    return lambda: ExporterSender(candidates.make(value), name)


def _tree_sender(found: Settings, gate: LateGate, known: Known | None) -> Callable[[], Sender]:
    from otel_run.export.tree_stream import Stream

    # Now: what stderr is may change later.
    stream = Stream()

    def build() -> Sender:
        from otel_run.export.tree import TreeSender

        return TreeSender(found, known, gate, stream)

    return build


def _file_sender(found: Settings, service: str) -> Callable[[], Sender]:
    place = _from_here(found.trace_file)

    def build() -> Sender:
        from otel_run.export.file import FileSender

        return FileSender(place, service, found.trace_file_max_bytes, found.trace_file_keep)

    return build

"""From the start of a span to bytes for the wire, in a loop: the SDK with its encoder, or otel-run's own.

`hot_loop.py sdk|ours BATCHES` prints the microseconds of CPU a span of each batch: made, given eight attributes, ended,
kept by a processor and, for a batch of 512, encoded; ours is masked on the way too. Nothing is sent.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Tracer

BATCH = 512


class Kept(SpanProcessor):
    """Keeps ended spans, as a batch does."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


def build_sdk(kept: Kept) -> tuple[Tracer, Callable[[list[ReadableSpan]], bytes]]:
    """Return what OpenTelemetry's packages make spans and bytes with."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(kept)

    def encode(spans: list[ReadableSpan]) -> bytes:
        encoded: bytes = encode_spans(spans).SerializeToString()
        return encoded

    return provider.get_tracer("bench", "1"), encode


def build_ours(kept: Kept) -> tuple[Tracer, Callable[[list[ReadableSpan]], bytes]]:
    """Return what otel-run makes spans and bytes with."""
    from otel_run import settings
    from otel_run.export import redact
    from otel_run.export.encode import Encoder
    from otel_run.sampling import build as sampling
    from otel_run.tracing import resource
    from otel_run.tracing.provider import Provider

    found, _ = settings.read({}, lambda _group: [])
    provider = Provider(found, resource.build(found, "shop"), sampling.build(found))
    provider.add_own_processor(kept)
    gate, encoder = redact.build(found), Encoder()
    return provider.get_tracer("bench", "1"), lambda spans: encoder.encode(map(gate, spans))


def make(tracer: Tracer, number: int) -> None:
    """Make the span of an HTTP client's call: what is known before it, and what its answer tells."""
    before: dict[str, Any] = {
        "http.request.method": "GET",
        "url.full": f"http://127.0.0.1:8080/prices/{number}",
        "server.address": "127.0.0.1",
        "server.port": 8080,
    }
    span = tracer.start_span("GET", kind=SpanKind.CLIENT, attributes=before)
    span.set_attribute("http.response.status_code", 200)
    span.set_attribute("network.protocol.version", "1.1")
    span.set_attribute("network.peer.address", "127.0.0.1")
    span.set_attribute("network.peer.port", 8080)
    span.end()


def main(which: str, batches: int) -> None:
    """Print the figures of one of them."""
    kept = Kept()
    tracer, encode = {"sdk": build_sdk, "ours": build_ours}[which](kept)
    took, size = [], 0
    for _ in range(batches):
        gc.collect()
        began = time.process_time()
        for number in range(BATCH):
            make(tracer, number)
        size = len(encode(kept.spans))
        took.append((time.process_time() - began) / BATCH * 1e6)
        kept.spans.clear()
    print(json.dumps({"microseconds": took[1:], "bytes": size / BATCH}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

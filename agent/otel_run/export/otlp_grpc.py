"""OTLP over gRPC: the exporter package's, loaded only when it is asked for.

Source: OpenTelemetry Protocol Specification 1.x, "OTLP/gRPC".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run import report, settings
from otel_run.export.otlp import endpoint, seconds
from otel_run.export.sender import ExporterSender, Outcome, shown

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.export.encode import Encoder
    from otel_run.settings import Settings


# As an entry point is written; whoever wants it loads it when that may be done.
EXPORTER = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter:OTLPSpanExporter"


def build(found: Settings, exporter_class: Any) -> GrpcSender:
    """Return the sender of these settings; `exporter_class` is EXPORTER's."""
    # It reads this one whatever it is given, and raises for an empty one.
    with settings.Hidden("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"):
        return GrpcSender(found, exporter_class)


class _Encoded(list[Any]):
    """One message that is encoded already, in the place of the spans, which the exporter counts."""


class GrpcSender(ExporterSender):
    """The exporter package's gRPC exporter, with every option given so that it parses no variable.

    It would retry by itself, for as long as its timeout, and log four lines each time. Here it makes one
    attempt at a time, as our HTTP does, and its log is read for the reason of a failure.
    """

    # OTLP specification, "OTLP/gRPC Response": all other codes are final.
    _RETRYABLE = frozenset(
        ("CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
    )

    def __init__(self, found: Settings, exporter_class: Any) -> None:
        import logging

        import grpc

        url = endpoint(found)
        insecure = url.lower().startswith("http://") or ("://" not in url and found.otlp_insecure)
        compression = grpc.Compression.Gzip if found.otlp_compression == "gzip" else grpc.Compression.NoCompression
        exporter = exporter_class(
            endpoint=url,
            insecure=insecure,
            credentials=None if insecure else _credentials(grpc, found),
            headers=tuple(found.otlp_headers.items()) or None,
            timeout=seconds(found.otlp_timeout),
            compression=compression,
            # An empty list would mean its default one; no error has this code.
            retryable_error_codes=[grpc.StatusCode.OK],
        )
        super().__init__(exporter, shown(url))
        self._timeout = seconds(found.otlp_timeout)
        self._logged: Any = None
        self._encoder: Encoder | None = None
        translate = exporter._translate_data
        exporter._translate_data = lambda data: data[0] if type(data) is _Encoded else translate(data)
        logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
        logger.addFilter(self._read)

    def _read(self, record: Any) -> bool:
        self._logged = record
        return report.debug

    def record(self, parcel: list[ReadableSpan]) -> bytes:
        """Return the spans as our own encoder has them."""
        if self._encoder is None:
            from otel_run.export.encode import Encoder

            self._encoder = Encoder()
        return self._encoder.encode(parcel)

    def send_record(self, record: bytes, timeout: float) -> Outcome:
        """Export what is encoded already, once."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        message: Any = ExportTraceServiceRequest()
        message.ParseFromString(record)
        return self.send(_Encoded((message,)), timeout)

    def send(self, parcel: list[Any], timeout: float) -> Outcome:
        """Export one batch, once."""
        self._logged = None
        self.exporter._timeout = max(0.01, min(timeout, self._timeout))  # type: ignore[attr-defined]
        outcome = super().send(parcel, timeout)
        if outcome.delivered:
            return outcome
        # "Failed to export %s to %s, error code: %s, error details: %s"
        arguments: tuple[Any, ...] = self._logged.args if self._logged is not None else ()
        code = next((argument.name for argument in arguments if hasattr(argument, "name")), "")
        reason = str(arguments[-1]).rpartition(": ")[2] if code else "the export failed"
        retry = not code or code in self._RETRYABLE
        answered = retry and code not in ("", "UNAVAILABLE", "DEADLINE_EXCEEDED")
        return Outcome(False, f"{code} {reason}".strip(), retry=retry, answered=answered)


def _credentials(grpc: Any, found: Settings) -> Any:
    """Return TLS credentials; unlike the exporter's own, with a client certificate and the system's CAs."""

    def read(path: str | None) -> bytes | None:
        if not path:
            return None
        with open(path, "rb") as file:
            return file.read()

    return grpc.ssl_channel_credentials(
        read(found.otlp_certificate), read(found.otlp_client_key), read(found.otlp_client_certificate)
    )

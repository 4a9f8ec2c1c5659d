"""OTLP over gRPC: the exporter package's, loaded only when it is asked for.

Source: OpenTelemetry Protocol Specification 1.x, "OTLP/gRPC".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run import report
from otel_run.export.otlp import endpoint, seconds
from otel_run.export.sender import ExporterSender, Outcome, shown

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.settings import Settings


class GrpcSender(ExporterSender):
    """The exporter package's gRPC exporter, with every option given so that it parses no variable.

    It would retry by itself, for as long as its timeout, and log four lines each time. Here it makes one
    attempt at a time, as our HTTP does, and its log is read for the reason of a failure.
    """

    # OTLP specification, "OTLP/gRPC Response": all other codes are final.
    _RETRYABLE = frozenset(
        ("CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
    )

    def __init__(self, settings: Settings, exporter_class: Any) -> None:
        import logging

        import grpc

        url = endpoint(settings)
        insecure = url.lower().startswith("http://") or ("://" not in url and settings.otlp_insecure)
        compression = grpc.Compression.Gzip if settings.otlp_compression == "gzip" else grpc.Compression.NoCompression
        exporter = exporter_class(
            endpoint=url,
            insecure=insecure,
            credentials=None if insecure else _credentials(grpc, settings),
            headers=tuple(settings.otlp_headers.items()) or None,
            timeout=seconds(settings.otlp_timeout),
            compression=compression,
            # An empty list would mean its default one; no error has this code.
            retryable_error_codes=[grpc.StatusCode.OK],
        )
        super().__init__(exporter, shown(url))
        self._timeout = seconds(settings.otlp_timeout)
        self._record: Any = None
        logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
        logger.addFilter(self._read)

    def _read(self, record: Any) -> bool:
        self._record = record
        return report.debug

    def send(self, parcel: list[ReadableSpan], timeout: float) -> Outcome:
        """Export one batch, once."""
        self._record = None
        self.exporter._timeout = max(0.01, min(timeout, self._timeout))  # type: ignore[attr-defined]
        outcome = super().send(parcel, timeout)
        if outcome.delivered:
            return outcome
        # "Failed to export %s to %s, error code: %s, error details: %s"
        arguments: tuple[Any, ...] = self._record.args if self._record is not None else ()
        code = next((argument.name for argument in arguments if hasattr(argument, "name")), "")
        reason = str(arguments[-1]).rpartition(": ")[2] if code else "the export failed"
        return Outcome(False, f"{code} {reason}".strip(), retry=not code or code in self._RETRYABLE)


def _credentials(grpc: Any, settings: Settings) -> Any:
    """Return TLS credentials; unlike the exporter's own, with a client certificate and the system's CAs."""

    def read(path: str | None) -> bytes | None:
        if not path:
            return None
        with open(path, "rb") as file:
            return file.read()

    return grpc.ssl_channel_credentials(
        read(settings.otlp_certificate), read(settings.otlp_client_key), read(settings.otlp_client_certificate)
    )

"""OTLP over HTTP (protobuf) and over gRPC, set up from our settings alone.

HTTP is ours: one attempt at a time, so that the batch processor decides about retries and no exit waits
for a back-off. gRPC is the exporter package's, loaded only when it is asked for.
Source: OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP Response", "OTLP/gRPC".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run import __version__, report
from otel_run.export.sender import DELIVERED, ExporterSender, Outcome, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.settings import Settings

_RETRYABLE = (429, 502, 503, 504)
_NO_LIMIT = 3600.0  # seconds, for a timeout of 0


def endpoint(settings: Settings) -> str:
    """Return where traces go: the traces endpoint as it is, or the base URL and `/v1/traces`."""
    grpc = settings.otlp_protocol == "grpc"
    if settings.otlp_traces_endpoint:
        return settings.otlp_traces_endpoint
    base = settings.otlp_endpoint or ("http://localhost:4317" if grpc else "http://localhost:4318")
    return base if grpc else _with_scheme(base).rstrip("/") + "/v1/traces"


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def seconds(milliseconds: int) -> float:
    """Return a timeout in seconds; 0 is no limit."""
    return milliseconds / 1000 if milliseconds else _NO_LIMIT


class HttpSender:
    """Posts each batch to an OTLP/HTTP receiver."""

    def __init__(self, settings: Settings) -> None:
        # Imported here, in the sending thread: a program that exports nothing never pays for these.
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
        from opentelemetry.sdk.version import __version__ as sdk_version

        from otel_run.export.connection import Connection

        self._encode: Any = encode_spans
        self._response: Any = ExportTraceServiceResponse
        self._timeout = seconds(settings.otlp_timeout)
        self._gzip = settings.otlp_compression == "gzip"
        headers = {
            "content-type": "application/x-protobuf",
            "user-agent": f"otel-run/{__version__} OTel-OTLP-Exporter-Python/{sdk_version}",
            **({"content-encoding": "gzip"} if self._gzip else {}),
            **settings.otlp_headers,
        }
        self._connection = Connection(
            _with_scheme(endpoint(settings)),
            headers,
            settings.otlp_certificate,
            settings.otlp_client_certificate,
            settings.otlp_client_key,
        )
        self.destination = self._connection.shown
        self._encoded: tuple[Sequence[ReadableSpan], bytes] | None = None

    def send(self, spans: Sequence[ReadableSpan], timeout: float) -> Outcome:
        """Post one batch, once."""
        body = self._body(spans)
        try:
            answer = self._connection.post(body, min(timeout, self._timeout))
        except OSError as error:
            return Outcome(False, _reason(error), retry=True)
        if 200 <= answer.status < 300:
            self._tell_partial_success(answer.body)
            self._encoded = None
            return DELIVERED
        retry = answer.status in _RETRYABLE
        after = _retry_after(answer.retry_after) if retry else None
        return Outcome(False, f"{answer.status} {answer.reason}".strip(), retry=retry, after=after)

    def rest(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _body(self, spans: Sequence[ReadableSpan]) -> bytes:
        # A batch that is tried again is the same list: it is encoded once.
        if self._encoded is not None and self._encoded[0] is spans:
            return self._encoded[1]
        body: bytes = self._serialize(spans)
        if self._gzip:
            import gzip

            body = gzip.compress(body, compresslevel=1)
        self._encoded = (spans, body)
        return body

    def _serialize(self, spans: Sequence[ReadableSpan]) -> bytes:
        try:
            encoded: bytes = self._encode(spans).SerializeToString()
        except (TypeError, ValueError) as error:  # a lone surrogate in a name, a number of 65 bits
            if len(spans) == 1:
                report.warn("exporter otlp", "1 span lost", f"it can't be encoded: {type(error).__name__}: {error}")
                return b""
            # A TracesData is a list of ResourceSpans, and so may be joined from parts.
            return b"".join(self._serialize([span]) for span in spans)
        return encoded

    def _tell_partial_success(self, body: bytes) -> None:
        if not body:
            return
        from google.protobuf.message import DecodeError

        response = self._response()
        try:
            response.ParseFromString(body)
        except DecodeError:
            return
        partial = response.partial_success
        if partial.rejected_spans or partial.error_message:
            report.warn(f"otlp {self.destination}", f"rejected {partial.rejected_spans} spans", partial.error_message)


def _reason(error: OSError) -> str:
    """Return the plainest part of a failure: "Connection refused", "timed out"."""
    reason = getattr(error, "verify_message", None) or error.strerror or str(error) or type(error).__name__
    return str(reason).strip()


def _retry_after(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3), number or date."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    import time
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


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

    def send(self, spans: Sequence[ReadableSpan], timeout: float) -> Outcome:
        """Export one batch, once."""
        self._record = None
        self.exporter._timeout = max(0.01, min(timeout, self._timeout))  # type: ignore[attr-defined]
        outcome = super().send(spans, timeout)
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

"""OTLP over HTTP (protobuf) and over gRPC, set up from our settings alone.

HTTP is ours, on urllib3: one attempt at a time, so that the batch processor decides about retries and no
exit waits for a back-off. gRPC is the exporter package's, loaded only when it is asked for.
Source: OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP Response", "OTLP/gRPC".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run import __version__, report
from otel_run.export.sender import DELIVERED, ExporterSender, Outcome

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
    """Posts each batch to an OTLP/HTTP receiver over one kept connection."""

    def __init__(self, settings: Settings) -> None:
        # Imported here, in the sending thread: a program that exports nothing never pays for these.
        import urllib3
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.sdk.version import __version__ as sdk_version

        self.destination = _with_scheme(endpoint(settings))
        self._encode: Any = encode_spans
        self._urllib3 = urllib3
        self._timeout = seconds(settings.otlp_timeout)
        self._gzip = settings.otlp_compression == "gzip"
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": f"otel-run/{__version__} OTel-OTLP-Exporter-Python/{sdk_version}",
            **({"content-encoding": "gzip"} if self._gzip else {}),
            **settings.otlp_headers,
        }
        self._pool = _pool(self.destination, settings)
        self._encoded: tuple[Sequence[ReadableSpan], bytes] | None = None

    def send(self, spans: Sequence[ReadableSpan], timeout: float) -> Outcome:
        """Post one batch, once."""
        body = self._body(spans)
        limit = self._urllib3.Timeout(total=max(0.01, min(timeout, self._timeout)))
        try:
            response = self._pool.request(
                "POST", self.destination, body=body, headers=self._headers, timeout=limit, retries=False, redirect=False
            )
        except self._urllib3.exceptions.HTTPError as error:
            return Outcome(False, _reason(error), retry=True)
        if 200 <= response.status < 300:
            _tell_partial_success(response.data, self.destination)
            self._encoded = None
            return DELIVERED
        retry = response.status in _RETRYABLE
        after = _retry_after(response.headers.get("retry-after")) if retry else None
        return Outcome(False, f"{response.status} {response.reason or ''}".strip(), retry=retry, after=after)

    def _body(self, spans: Sequence[ReadableSpan]) -> bytes:
        # A batch that is tried again is the same list: it is encoded once.
        if self._encoded is not None and self._encoded[0] is spans:
            return self._encoded[1]
        body: bytes = self._encode(spans).SerializeToString()
        if self._gzip:
            import gzip

            body = gzip.compress(body, compresslevel=1)
        self._encoded = (spans, body)
        return body

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()


def _pool(url: str, settings: Settings) -> Any:
    """Return a pool manager with TLS, mTLS and the environment's proxy for `url`."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    options: dict[str, Any] = {"num_pools": 1, "maxsize": 1, "cert_reqs": "CERT_REQUIRED"}
    if settings.otlp_certificate:
        options["ca_certs"] = settings.otlp_certificate
    if settings.otlp_client_certificate:
        options["cert_file"] = settings.otlp_client_certificate
        options["key_file"] = settings.otlp_client_key
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(_with_scheme(proxy), **options)
    return urllib3.PoolManager(**options)


def _reason(error: Exception) -> str:
    """Return the last and plainest part of a urllib3 error: "Connection refused", "Read timed out"."""
    text = str(error).rpartition(": ")[2] or type(error).__name__
    if "[Errno" in text:
        text = text.partition("] ")[2]
    return text.strip(" .()'\"").partition(". (")[0] or type(error).__name__


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


def _tell_partial_success(body: bytes, destination: str) -> None:
    if not body:
        return
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        response = ExportTraceServiceResponse()
        response.ParseFromString(body)  # type: ignore[no-untyped-call]
    except DecodeError:
        return
    partial = response.partial_success
    if partial.rejected_spans or partial.error_message:
        report.warn(f"otlp {destination}", f"rejected {partial.rejected_spans} spans", partial.error_message)


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
            # An empty list would mean its default one; a client never sees this code from a server.
            retryable_error_codes=[grpc.StatusCode.UNAUTHENTICATED],
        )
        super().__init__(exporter, url)
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

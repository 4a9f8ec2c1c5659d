"""OTLP over HTTP, in protobuf: one attempt at a time, so that no exit waits for a back-off of ours.

When to try again is decided by the batch processor's state (state.py). Set up from our settings alone.
Source: OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP Request", "OTLP/HTTP Response".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run import __version__, report
from otel_run.export.sender import DELIVERED, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_run.settings import Settings

_RETRYABLE = (429, 502, 503, 504)
_GZIP = 31  # zlib's words for: the largest window, and gzip's header and trailer around it
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
        from opentelemetry.sdk.version import __version__ as sdk_version

        from otel_run.export import otlp_answer
        from otel_run.export.connection import Connection
        from otel_run.export.encode import Encoder

        self._encoder = Encoder()
        self._answers = otlp_answer
        self._timeout = seconds(settings.otlp_timeout)
        self._gzip = settings.otlp_compression == "gzip"
        if self._gzip:
            import zlib

            self._zlib = zlib
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
        self._told: str | None = None

    def pack(self, spans: Iterable[ReadableSpan]) -> bytes:
        """Return the body of a request; none for spans that can't be encoded, as the encoder has said."""
        return self._compressed(self._encoder.encode(spans))

    def record(self, parcel: bytes) -> bytes:
        """Return the body as it was before it was compressed."""
        return self._zlib.decompress(parcel, _GZIP) if self._gzip and parcel else parcel

    def send_record(self, record: bytes, timeout: float) -> Outcome:
        """Post a request that is encoded already, once."""
        return self.send(self._compressed(record), timeout)

    def _compressed(self, body: bytes) -> bytes:
        if not self._gzip or not body:
            return body
        compressor = self._zlib.compressobj(1, self._zlib.DEFLATED, _GZIP)
        return compressor.compress(body) + compressor.flush()

    def send(self, parcel: bytes, timeout: float) -> Outcome:
        """Post one batch, once."""
        if not parcel:
            return DELIVERED
        try:
            answer = self._connection.post(parcel, min(timeout, self._timeout))
        except OSError as error:
            return Outcome(False, _reason(error), retry=True)
        if 200 <= answer.status < 300:
            rejected = self._tell_partial_success(answer.body)
            return Outcome(True, rejected=rejected) if rejected else DELIVERED
        retry = answer.status in _RETRYABLE
        after = self._answers.retry_after(answer.retry_after) if retry else None
        return Outcome(False, f"{answer.status} {answer.reason}".strip(), retry=retry, after=after, answered=True)

    def rest(self) -> None:
        """Close a connection that is of no use any more."""
        self._connection.rest()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _tell_partial_success(self, body: bytes) -> int:
        """Return how many spans were rejected."""
        partial = self._answers.partial_success(body)
        if partial is None:
            return 0
        rejected, message = partial
        # A receiver that finds the same fault with each batch is one line.
        tell = report.warn if message != self._told else report.note
        self._told = message
        tell(f"otlp {self.destination}", f"rejected {rejected} span{'' if rejected == 1 else 's'}", message)
        return rejected


def _reason(error: OSError) -> str:
    """Return the plainest part of a failure: "Connection refused", "timed out"."""
    reason = getattr(error, "verify_message", None) or error.strerror or str(error) or type(error).__name__
    return str(reason).strip()

"""What delivers a batch, and what came of it. An exporter of anybody's becomes a sender here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter


class Outcome:
    """What came of one attempt: delivered, worth another try (`retry`), or refused for good."""

    __slots__ = ("after", "answered", "delivered", "hint", "reason", "rejected", "retry")

    def __init__(
        self,
        delivered: bool,
        reason: str = "",
        retry: bool = False,
        after: float | None = None,
        hint: str = "OTEL_EXPORTER_OTLP_HEADERS",
        answered: bool = False,
        rejected: int = 0,
    ) -> None:
        self.delivered = delivered
        # For the user: "connection refused", "401 Unauthorized".
        self.reason = reason
        self.retry = retry
        # Seconds that the receiver asked us to wait.
        self.after = after
        # Where to look if it was refused.
        self.hint = hint
        # Whether the receiver is there, though it doesn't take this now.
        self.answered = answered
        # How many of the spans that were delivered it has not taken, by its own words.
        self.rejected = rejected


DELIVERED = Outcome(True)


def shown(url: str) -> str:
    """Return a URL as it may be printed: without user, password and query."""
    scheme, separator, rest = url.partition("?")[0].rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


class Sender(Protocol):
    """Delivers batches to one place. Called by one thread at a time."""

    # For the user: "http://localhost:4318/v1/traces".
    destination: str

    def pack(self, spans: Iterable[ReadableSpan]) -> Any:
        """Take a batch, span by span, and return what `send` wants of it; it is sent until that succeeds."""
        ...

    def send(self, parcel: Any, timeout: float) -> Outcome:
        """Try once to deliver what `pack` has returned, within `timeout` seconds."""
        ...

    def record(self, parcel: Any) -> bytes | None:
        """Return what `pack` has returned as an OTLP message (ExportTraceServiceRequest); None if that can't be."""
        ...

    def send_record(self, record: bytes, timeout: float) -> Outcome:
        """Try once to deliver such a message."""
        ...

    def rest(self) -> float | None:
        """Nothing more is to be sent now: let go of what is of no use later.

        Return None; or, of one that has things to do also when no span comes, for how many seconds it has none.
        """
        ...

    def close(self) -> None:
        """Give back all that is held; `send` takes it again."""
        ...


class ExporterSender:
    """A `SpanExporter` as a sender. It has done its own retries, so what it failed to export is lost."""

    def __init__(self, exporter: SpanExporter, destination: str) -> None:
        # Not above: only exporters of others take this module, which brings the SDK's own processors.
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.exporter = exporter
        self.destination = destination
        self._success = SpanExportResult.SUCCESS

    def pack(self, spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
        """Return the spans."""
        return list(spans)

    def send(self, parcel: list[ReadableSpan], timeout: float) -> Outcome:  # noqa: ARG002 - exporters know none
        """Export once."""
        if self.exporter.export(parcel) is self._success:
            return DELIVERED
        return Outcome(False, "the exporter reports a failure", hint="its settings")

    def record(self, parcel: list[ReadableSpan]) -> bytes | None:  # noqa: ARG002 - it may be of any form
        """Return None: what they send is theirs."""
        return None

    def send_record(self, record: bytes, timeout: float) -> Outcome:  # noqa: ARG002 - exporters take spans
        """Refuse."""
        return Outcome(False, "the exporter takes spans alone", retry=True)

    def rest(self) -> None:
        """Do nothing: what an exporter holds is its own."""

    def close(self) -> None:
        """Do nothing: spans may end, and be exported, until the very end of the process."""

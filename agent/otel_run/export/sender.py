"""What delivers a batch, and what came of it. An exporter of anybody's becomes a sender here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class Outcome:
    """What came of one attempt: delivered, worth another try (`retry`), or refused for good."""

    __slots__ = ("after", "delivered", "hint", "reason", "retry")

    def __init__(
        self,
        delivered: bool,
        reason: str = "",
        retry: bool = False,
        after: float | None = None,
        hint: str = "OTEL_EXPORTER_OTLP_HEADERS",
    ) -> None:
        self.delivered = delivered
        # For the user: "connection refused", "401 Unauthorized".
        self.reason = reason
        self.retry = retry
        # Seconds that the receiver asked us to wait.
        self.after = after
        # Where to look if it was refused.
        self.hint = hint


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

    def send(self, spans: Sequence[ReadableSpan], timeout: float) -> Outcome:
        """Try once to deliver `spans` within `timeout` seconds."""
        ...

    def rest(self) -> None:
        """Give back what is held between batches: a descriptor kept open may be somebody else's by then."""
        ...


class ExporterSender:
    """A `SpanExporter` as a sender. It has done its own retries, so what it failed to export is lost."""

    def __init__(self, exporter: SpanExporter, destination: str) -> None:
        self.exporter = exporter
        self.destination = destination

    def send(self, spans: Sequence[ReadableSpan], timeout: float) -> Outcome:  # noqa: ARG002 - exporters know none
        """Export once."""
        if self.exporter.export(spans) is SpanExportResult.SUCCESS:
            return DELIVERED
        return Outcome(False, "the exporter reports a failure", hint="its settings")

    def rest(self) -> None:
        """Do nothing: exporters have no such state."""

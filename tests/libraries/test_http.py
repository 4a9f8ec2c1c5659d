"""What HTTP clients share: which server a URL names, and that no failure of ours stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_run.instrumentors.http import Answer, HttpClient, server_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://host/", ("host", 80)),
        ("https://HOST", ("host", 443)),
        ("https://u:p@host:8443/x?y", ("host", 8443)),
        ("http://[::1]:8080/", ("::1", 8080)),
        ("http+unix://%2Fvar%2Frun%2FDocker.sock/info", ("/var/run/Docker.sock", None)),
        ("http+docker://localhost/info", ("localhost", None)),
        ("http://host:port/", (None, None)),
        ("http://[/", (None, None)),
    ],
)
def test_the_server_is_read_from_the_url(url: str, server: tuple[str | None, int | None]) -> None:
    assert server_of(url) == server


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Give the spans that have ended, and check that each test leaves the context as it was."""
    before = context.get_current()
    yield InMemorySpanExporter()
    assert context.get_current() == before


def _client(exporter: InMemorySpanExporter, read: Any, **options: Any) -> HttpClient:
    provider = TracerProvider(**options)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return HttpClient(provider.get_tracer("test"), (), read)


def _only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def test_a_response_that_cannot_be_read_still_ends_the_span(spans: InMemorySpanExporter) -> None:
    def read(response: object) -> Answer:
        raise LookupError("strange response")

    finish = _client(spans, read).begin("GET", "http://host/", {})
    assert finish is not None
    with pytest.raises(LookupError):
        finish(object(), None)
    assert _only(spans).name == "GET"


def test_an_exception_that_has_no_text_still_ends_the_span(spans: InMemorySpanExporter) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise LookupError("no text")

    finish = _client(spans, None).begin("GET", "http://host/", {})
    assert finish is not None
    with pytest.raises(LookupError):
        finish(None, MuteError())
    assert _only(spans).attributes is not None
    assert str(_only(spans).attributes["error.type"]).endswith("MuteError")  # type: ignore[index]


def test_headers_that_take_no_context_do_not_cost_the_span(spans: InMemorySpanExporter) -> None:
    from types import MappingProxyType

    headers: Any = MappingProxyType({"a": "b"})
    finish = _client(spans, lambda response: Answer(200, None, {})).begin("GET", "http://host/", headers)
    assert finish is not None
    finish(object(), None)
    assert _only(spans).attributes == {
        "http.request.method": "GET",
        "url.full": "http://host/",
        "server.address": "host",
        "server.port": 80,
        "http.response.status_code": 200,
    }


def test_a_response_is_not_read_for_a_span_that_is_not_recorded(spans: InMemorySpanExporter) -> None:
    headers: dict[str, str] = {}
    finish = _client(spans, None, sampler=ALWAYS_OFF).begin("GET", "http://host/", headers)
    assert finish is not None
    current = trace.get_current_span().get_span_context()
    finish(object(), None)  # `read` is None: calling it would fail
    assert list(headers) == ["traceparent"]
    version, trace_id, span_id, flags = headers["traceparent"].split("-")
    assert (version, int(trace_id, 16), int(span_id, 16)) == ("00", current.trace_id, current.span_id)
    assert int(flags, 16) & 1 == 0


def test_what_is_not_http_gets_no_span(spans: InMemorySpanExporter) -> None:
    headers: dict[str, str] = {}
    assert _client(spans, None).begin("GET", "file:///etc/hosts", headers) is None
    assert headers == {}

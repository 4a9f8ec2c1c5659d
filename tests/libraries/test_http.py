"""What HTTP clients share: which server a URL names, and that no failure of ours stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import greenlet
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from otel_run.instrumentors.http import Answer, HttpClient, server_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.program import Traced
    from servers.web import Web


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
        ("http://a/", ("a", 80)),
        ("http://host?x", ("host", 80)),
        ("http://host#x", ("host", 80)),
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

    exchange = _client(spans, read).begin("GET", "http://host/", {})
    assert exchange is not None
    with pytest.raises(LookupError):
        exchange.finish(object(), None)
    assert _only(spans).name == "GET"


def test_an_exception_that_has_no_text_still_ends_the_span(spans: InMemorySpanExporter) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise LookupError("no text")

    exchange = _client(spans, None).begin("GET", "http://host/", {})
    assert exchange is not None
    with pytest.raises(LookupError):
        exchange.finish(None, MuteError())
    assert _only(spans).attributes is not None
    assert str(_only(spans).attributes["error.type"]).endswith("MuteError")  # type: ignore[index]


def test_a_greenlet_that_is_killed_is_a_cancelled_call(spans: InMemorySpanExporter) -> None:
    exchange = _client(spans, None).begin("GET", "http://host/", {})
    assert exchange is not None
    exchange.finish(None, greenlet.GreenletExit())
    assert (_only(spans).status.status_code, _only(spans).events) == (StatusCode.UNSET, ())


def test_headers_that_take_no_context_do_not_cost_the_span(spans: InMemorySpanExporter) -> None:
    from types import MappingProxyType

    headers: Any = MappingProxyType({"a": "b"})
    exchange = _client(spans, lambda response: Answer(200, None, {})).begin("GET", "http://host/", headers)
    assert exchange is not None
    exchange.finish(object(), None)
    assert _only(spans).attributes == {
        "http.request.method": "GET",
        "url.full": "http://host/",
        "server.address": "host",
        "server.port": 80,
        "http.response.status_code": 200,
    }


def test_a_response_is_not_read_for_a_span_that_is_not_recorded(spans: InMemorySpanExporter) -> None:
    headers: dict[str, str] = {}
    exchange = _client(spans, None, sampler=ALWAYS_OFF).begin("GET", "http://host/", headers)
    assert exchange is not None
    current = trace.get_current_span().get_span_context()
    exchange.finish(object(), None)  # `read` is None: calling it would fail
    assert list(headers) == ["traceparent"]
    version, trace_id, span_id, flags = headers["traceparent"].split("-")
    assert (version, int(trace_id, 16), int(span_id, 16)) == ("00", current.trace_id, current.span_id)
    assert int(flags, 16) & 1 == 0


def test_what_is_not_http_gets_no_span(spans: InMemorySpanExporter) -> None:
    headers: dict[str, str] = {}
    assert _client(spans, None).begin("GET", "file:///etc/hosts", headers) is None
    assert headers == {}


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_nothing_is_masked_where_the_user_said_off(library: str, web: Web, traced: Traced) -> None:
    run = traced(
        f"""
        import sys
        import {library} as library

        library.get(sys.argv[1], headers={{"X-Api-Key": "shown"}})
        try:
            library.get("http://user:shown@127.0.0.1:1/?token=shown")
        except Exception as error:
            print(error)
        """,
        f"http://user:shown@{web.host}:{web.port}/echo?token=shown",
        env={
            "OTEL_RUN_REDACT": "off",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": "x-api-key",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": "key",
        },
    )
    answered, refused = run.spans
    assert answered.attributes["url.full"] == f"http://user:shown@{web.host}:{web.port}/echo?token=shown"
    assert answered.attributes["http.request.header.x-api-key"] == ["shown"]
    assert refused.attributes["url.full"] == "http://user:shown@127.0.0.1:1/?token=shown"
    assert refused.status_message == run.stdout.strip()


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_a_template_names_the_span_and_samplers_see_it(library: str, web: Web, traced: Traced) -> None:
    run = traced(
        f"""
        import sys
        import {library} as library

        library.get(sys.argv[1] + "/status/204")
        library.request("BREW", sys.argv[1] + "/status/418?a=b")
        library.get(sys.argv[1] + "/echo")
        """,
        web.url,
        env={"OTEL_RUN_URL_TEMPLATES": f"{web.url}/status/{{code}},/status/*,/nothing"},
    )
    assert [(span.name, span.attributes.get("url.template")) for span in run.spans] == [
        ("GET /status/{code}", "/status/{code}"),
        ("HTTP /status/{code}", "/status/{code}"),
        ("GET", None),
    ]


def test_the_peer_of_a_unix_socket_is_its_path() -> None:
    client = HttpClient(TracerProvider().get_tracer("test"), (), lambda response: Answer(200, None, {}))
    assert client.describe_peer("/run/docker.sock") == {"network.peer.address": "/run/docker.sock"}
    assert client.describe_peer(b"\0docker") == {"network.peer.address": "\0docker"}
    assert client.describe_peer(("::1", 80, 0, 0)) == {"network.peer.address": "::1", "network.peer.port": 80}


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_a_token_that_ends_with_a_newline_does_not_leave_by_the_error_it_causes(
    library: str, web: Web, traced: Traced
) -> None:
    run = traced(
        f"""
        import sys
        import {library} as library

        def log_in(request):
            request.headers["Authorization"] = "Bearer hidden\\n"
            return request

        try:
            library.get(sys.argv[1], auth=log_in)
        except Exception as error:
            print(error)
        """,
        web.url + "/echo",
    )
    (span,) = run.spans
    assert "hidden" in run.stdout
    assert span.status_message.endswith(" header value [REDACTED]")
    assert "hidden" not in str(span)


def test_a_header_that_is_a_number_is_captured(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        session = requests.Session()
        request = session.prepare_request(requests.Request("GET", sys.argv[1]))
        request.headers["X-Number"] = 5
        print(session.send(request).json()["headers"]["X-Number"])
        """,
        web.url + "/echo",
        env={"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": ".*number"},
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "5\n", "")
    assert run.span("GET").attributes["http.request.header.x-number"] == ["5"]


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_a_method_of_bytes_is_known_by_its_name(library: str, web: Web, traced: Traced) -> None:
    run = traced(f"import {library}, sys; {library}.request(b'GET', sys.argv[1])", web.url + "/echo")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.span("GET").attributes == web.described("/echo")


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_an_excluded_url_gets_no_span_from_an_instrumentor_below_and_keeps_its_header(
    library: str, web: Web, traced: Traced
) -> None:
    given = "00-11111111111111111111111111111111-2222222222222222-01"
    run = traced(
        f"""
        import sys
        import {library} as library
        import urllib3  # another's instrumentor waits for it
        from opentelemetry import context

        url = sys.argv[1] + "/echo?health"
        print("traceparent" in library.get(url).text.lower())
        print("{given}" in library.get(url, headers={{"traceparent": "{given}"}}).text)
        try:
            library.get("http://127.0.0.1:1/health")
        except OSError if library.__name__ == "requests" else library.ConnectError:
            pass
        assert not context.get_current()
        library.get(sys.argv[1] + "/echo")
        """,
        web.url,
        env={
            # Not OTEL_PYTHON_EXCLUDED_URLS, which the one below reads too.
            f"OTEL_PYTHON_{library.upper()}_EXCLUDED_URLS": "health",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "threading",
        },
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "False\nTrue\n", "")
    assert [span.attributes for span in run.spans] == [web.described("/echo")]

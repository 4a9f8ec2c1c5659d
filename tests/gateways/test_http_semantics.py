"""What is told of requests to real servers and of their answers; waitress and uvicorn, with all that can be set."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from gateways.bare_applications import APPLICATION, COMMANDS, Answer, Headers, assert_it_said_nothing, read
from otel_run.patching import candidates
from servers.serving import Server, Serving
from tracing.w3c_cases import GOOD

if TYPE_CHECKING:
    from servers.receiver import Receiver, Span
    from servers.web import Web

SETTINGS = {
    "OTEL_TRACES_SAMPLER": "always_on",
    "OTEL_PYTHON_EXCLUDED_URLS": "excluded",
    "OTEL_RUN_PROBES": "drop",
    "OTEL_RUN_RESPONSE_HEADER": "traceresponse,server-timing",
    "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET,HEAD,OPTIONS,PURGE",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-Sent.*,authorization,content-type,referer",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": "x-m.*,set-cookie,location",
    "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": ".*mine",
}


@pytest.fixture(scope="module")
def serving(receiver: Receiver, web: Web, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """Give a function that runs servers with no instrumentor but ours."""
    others = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)
    folder = tmp_path_factory.mktemp("semantics")
    return Serving(receiver, folder, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=others, WEB=web.url)


class Asked(NamedTuple):
    """What was answered to each request of a server that has ended since, and its spans."""

    gateway: str
    server: Server
    answers: dict[str, Answer]

    def span(self, path: str) -> Span:
        """Return the only span of a request with that path."""
        (found,) = (span for span in self.server.requests if span.attributes["url.path"] == path)
        return found


SENT: Headers = [
    ("X-Sent", "a"),
    ("x-sent-too", "b"),
    ("X-SENT", "c"),
    ("X-Sent-Mine", "d"),
    ("X-Other", "e"),
    ("Authorization", "Bearer x"),
    ("Content-Type", "text/plain"),
    ("Referer", "http://me:x@h/?token=x"),
    ("User-Agent", "test/1"),
    ("X-Forwarded-For", "192.0.2.1"),
]
REQUESTS: dict[str, dict[str, Any]] = {
    "/all?a=b&token=x": {"headers": SENT},
    "/status/404": {},
    "/status/503": {},
    "/raise": {},
    "/purge": {"method": "PURGE"},
    "/post": {"method": "POST"},
    "/lower": {"method": "get"},
    "/head": {"method": "HEAD"},
    "/a%2Fb/%C3%A9?": {},
    "/excluded": {"headers": [("traceparent", GOOD)]},
    "/call/excluded": {},
    "/probe": {"headers": [("User-Agent", "kube-probe/1.31")]},
    "/unsampled": {"headers": [("traceparent", GOOD[:-1] + "0")]},
    "*": {"method": "OPTIONS"},
    "http://b.example/absolute?x=1": {},
}


@pytest.fixture(scope="module", params=COMMANDS)
def asked(serving: Serving, request: pytest.FixtureRequest) -> Asked:
    """Give a server with settings, each request once."""
    command = COMMANDS[request.param]
    if request.param == "asgi":
        command = (*command, "--http", "h11")
    with serving(APPLICATION, *command, env=SETTINGS) as server:
        answers = {path: read(server.ask(path, **how)) for path, how in REQUESTS.items()}
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(b"GET /old HTTP/1.0\r\n\r\n")
            answers["/old"] = read(b"".join(iter(lambda: connection.recv(65536), b"")))
    assert_it_said_nothing(server)
    return Asked(request.param, server, answers)


def _common(asked: Asked, path: str) -> dict[str, Any]:
    """Return the stable attributes of a GET that was answered with 200."""
    span = asked.span(path)
    return {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.path": path,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": asked.server.port,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": span.attributes["network.peer.port"],
        "network.protocol.version": "1.1",
    }


# Of the answer, which is the same each time.
TOLD_BACK = {
    "http.response.header.x-many": ["a", "b"],
    "http.response.header.x-mine": ["[REDACTED]"],
    "http.response.header.set-cookie": ["[REDACTED]"],
    "http.response.header.location": ["http://h/?token=REDACTED"],
}
OLD = (
    "http.method", "http.scheme", "http.host", "http.target", "http.flavor", "http.user_agent", "http.client_ip",
    "http.status_code", "net.host.name", "net.host.port", "net.peer.ip", "net.peer.port", "net.sock.peer.addr",
    "net.sock.peer.port",
)  # fmt: skip


def _stable(span: Span) -> dict[str, Any]:
    return {name: value for name, value in span.attributes.items() if name not in OLD and name not in TOLD_BACK}


def test_all_that_can_be_told(asked: Asked) -> None:
    span = asked.span("/all")
    port = span.attributes["network.peer.port"]
    # WSGI servers join headers that came twice.
    sent = ["a, c"] if asked.gateway == "wsgi" else ["a", "c"]
    new = {
        **_common(asked, "/all"),
        **TOLD_BACK,
        "url.query": "a=b&token=REDACTED",
        "client.address": "192.0.2.1",
        "user_agent.original": "test/1",
        "http.request.header.x-sent": sent,
        "http.request.header.x-sent-too": ["b"],
        "http.request.header.x-sent-mine": ["[REDACTED]"],
        "http.request.header.authorization": ["[REDACTED]"],
        "http.request.header.content-type": ["text/plain"],
        "http.request.header.referer": ["http://REDACTED:REDACTED@h/?token=REDACTED"],
    }
    old = {
        "http.method": "GET",
        "http.scheme": "http",
        "http.host": f"127.0.0.1:{asked.server.port}",
        "http.target": "/all?a=b&token=REDACTED",
        "http.flavor": "1.1",
        "http.user_agent": "test/1",
        "http.client_ip": "192.0.2.1",
        "http.status_code": 200,
        "net.host.name": "127.0.0.1",
        "net.host.port": asked.server.port,
        "net.peer.ip": "127.0.0.1",
        "net.peer.port": port,
        "net.sock.peer.addr": "127.0.0.1",
        "net.sock.peer.port": port,
    }
    assert (span.name, span.status, span.events) == ("GET", "UNSET", [])
    assert span.attributes == new | old


@pytest.mark.parametrize(("status", "told"), [(404, ("UNSET", None)), (503, ("ERROR", "503"))])
def test_server_errors_are_errors_and_client_errors_are_not(status: int, told: object, asked: Asked) -> None:
    span = asked.span(f"/status/{status}")
    assert asked.answers[f"/status/{status}"].status == span.attributes["http.response.status_code"] == status
    assert (span.status, span.attributes.get("error.type")) == told
    assert (span.status_message, span.events) == ("", [])


def test_an_exception_is_an_error_with_its_event(asked: Asked) -> None:
    span = asked.span("/raise")
    assert asked.answers["/raise"].status == 500
    assert _stable(span) == {**_common(asked, "/raise"), "http.response.status_code": 500, "error.type": "app.Failed"}
    assert (span.name, span.status, span.status_message) == ("GET", "ERROR", "")
    ((name, event),) = span.events
    assert name == "exception"
    assert set(event) == {"exception.type", "exception.message", "exception.stacktrace"}
    assert (event["exception.type"], event["exception.message"]) == ("app.Failed", "no http://h/?token=REDACTED")
    assert "in answer" in event["exception.stacktrace"]
    assert event["exception.stacktrace"].rstrip().endswith("app.Failed: no http://h/?token=REDACTED")


def test_methods(asked: Asked) -> None:
    found = {
        path: (span.name, span.attributes["http.request.method"], span.attributes.get("http.request.method_original"))
        for path in ("/purge", "/post", "/head", "*")
        for span in [asked.span(path)]
    }
    assert found == {
        "/purge": ("PURGE", "PURGE", None),
        "/post": ("HTTP", "_OTHER", "POST"),
        "/head": ("HEAD", "HEAD", None),
        "*": ("OPTIONS", "OPTIONS", None),
    }
    if asked.answers["/lower"].status == 200:  # waitress refuses it
        lower = asked.span("/lower")
        assert (lower.name, lower.attributes["http.request.method_original"]) == ("HTTP", "get")
    head = asked.span("/head")
    assert (head.status, head.attributes["http.response.status_code"]) == ("UNSET", 200)


def test_paths_and_hosts_as_they_came(asked: Asked) -> None:
    assert "url.query" not in asked.span("/a%2Fb/%C3%A9").attributes
    whole = asked.span("/absolute")
    assert whole.attributes["url.query"] == "x=1"


def test_a_request_of_http_1_0_has_no_host(asked: Asked) -> None:
    told = {**_common(asked, "/old"), "network.protocol.version": "1.0"}
    # What waitress calls itself.
    told["server.address"] = {"wsgi": "waitress.invalid", "asgi": "127.0.0.1"}[asked.gateway]
    assert asked.answers["/old"].status == 200
    assert _stable(asked.span("/old")) == told


def test_what_is_excluded_has_no_span_and_nothing_below_it(asked: Asked) -> None:
    paths = {span.attributes.get("url.path", "") for span in asked.server.spans}
    assert paths.isdisjoint({"/excluded", "/call/excluded", "/probe"})
    assert [span for span in asked.server.spans if span.kind != "SERVER"] == []
    called = asked.answers["/call/excluded"].called
    assert called["traceparent"][-3:] == "-02"
    for path in ("/excluded", "/call/excluded", "/probe"):
        assert asked.answers[path].values("traceresponse") == asked.answers[path].values("server-timing") == []


@pytest.mark.parametrize("path", ["/all?a=b&token=x", "/status/503", "/head", "/unsampled"])
def test_the_client_is_told_its_trace(path: str, asked: Asked) -> None:
    span = asked.span(path.partition("?")[0])
    flags = "01" if path == "/unsampled" else "03"
    told = f"00-{span.trace_id}-{span.span_id}-{flags}"
    answer = asked.answers[path]
    assert answer.values("traceresponse") == [told]
    assert answer.values("server-timing") == [f'traceparent;desc="{told}"']
    # The application's own are all there, before them.
    assert [value for name, value in answer.headers if name.lower() == "x-many"] == ["a", "b"]

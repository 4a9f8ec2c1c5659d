"""httpx under `otel-run`, sync and async, against a real server: each request on the wire is one span."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web

# Gets each URL it is given, by a client with the given options, and prints the body or the name of the error.
GET = {
    "sync": """
import sys
import httpx

with httpx.Client({options}) as client:
    for url in sys.argv[1:]:
        try:
            print(client.get(url).text)
        except httpx.HTTPError as error:
            print(type(error).__name__)
""",
    "async": """
import asyncio
import sys
import httpx

async def main():
    async with httpx.AsyncClient({options}) as client:
        for url in sys.argv[1:]:
            try:
                print((await client.get(url)).text)
            except httpx.HTTPError as error:
                print(type(error).__name__)

asyncio.run(main())
""",
}


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest) -> str:
    """Give the program, in both forms."""
    return GET[request.param]


def test_a_request_is_a_span_that_the_server_sees_as_its_parent(get: str, web: Web, traced: Traced) -> None:
    run = traced(get.format(options=""), web.url + "/echo")
    (span,) = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert (span.name, span.kind, span.status, span.events) == ("GET", "CLIENT", "UNSET", [])
    assert span.scope == "otel_run.instrumentors.httpx"
    assert span.attributes == web.described("/echo")
    # The flags: sampled, and (a later bit) that the trace id is random.
    assert any(f'"traceparent": "00-{span.trace_id}-{span.span_id}-{flags}"' in run.stdout for flags in ("01", "03"))


def test_statuses_of_400_and_more_are_errors_without_a_description(get: str, web: Web, traced: Traced) -> None:
    paths = ["/status/204", "/status/404", "/status/503"]
    run = traced(get.format(options=""), *[web.url + path for path in paths])
    assert [(s.attributes, s.status, s.status_message, s.events) for s in run.spans] == [
        (web.described("/status/204", 204), "UNSET", "", []),
        (web.described("/status/404", 404), "ERROR", "", []),
        (web.described("/status/503", 503), "ERROR", "", []),
    ]


def test_what_fails_on_the_way_is_an_error(get: str, web: Web, closed_port: int, traced: Traced) -> None:
    closed = f"http://127.0.0.1:{closed_port}/x?token=hidden"
    run = traced(get.format(options="timeout=0.3"), closed, web.url + "/reset", web.url + "/slow?seconds=2")
    refused, reset, slow = run.spans
    assert run.stdout == "ConnectError\nReadError\nReadTimeout\n"
    assert [span.status for span in run.spans] == ["ERROR"] * 3
    assert refused.attributes == {
        "http.request.method": "GET",
        "url.full": f"http://127.0.0.1:{closed_port}/x?token=REDACTED",
        "server.address": "127.0.0.1",
        "server.port": closed_port,
        "error.type": "httpx.ConnectError",
    }
    assert refused.status_message != ""
    assert refused.events == [
        ("exception", {"exception.type": "httpx.ConnectError", "exception.message": refused.status_message})
    ]
    assert reset.attributes == web.described("/reset", None, **{"error.type": "httpx.ReadError"})
    assert slow.attributes == web.described("/slow?seconds=2", None, **{"error.type": "httpx.ReadTimeout"})
    assert slow.duration_ms < 1500
    assert "hidden" not in str(run.spans)


def test_a_redirect_is_followed_by_a_sibling(get: str, web: Web, traced: Traced) -> None:
    under_a_parent = get.format(options="follow_redirects=True").replace(
        "import httpx\n",
        "import httpx\nfrom opentelemetry import context, trace\n"
        "context.attach(trace.set_span_in_context(trace.get_tracer('app').start_span('parent')))\n",
    )
    run = traced(under_a_parent, web.url + "/redirect")
    first, second = run.spans
    assert first.attributes == web.described("/redirect", 302)
    assert second.attributes == web.described("/echo", resends=1)
    assert first.parent_id == second.parent_id != ""
    assert run.stdout.lower().count('"traceparent"') == 1
    assert second.span_id in run.stdout


def test_secrets_of_a_url_stay_in_the_process(get: str, web: Web, traced: Traced) -> None:
    run = traced(get.format(options=""), f"http://user:hidden@{web.host}:{web.port}/echo?api_key=hidden&q=1")
    (span,) = run.spans
    assert '"path": "/echo?api_key=hidden&q=1"' in run.stdout  # the server gets it all
    assert span.attributes["url.full"] == f"http://REDACTED:REDACTED@{web.host}:{web.port}/echo?api_key=REDACTED&q=1"
    assert "hidden" not in str(span)


def test_excluded_urls_are_left_alone(get: str, web: Web, traced: Traced) -> None:
    run = traced(
        get.format(options=""),
        web.url + "/echo?health",
        web.url + "/echo?other",
        env={"OTEL_PYTHON_EXCLUDED_URLS": "health"},
    )
    assert [span.attributes for span in run.spans] == [web.described("/echo?other")]
    assert ["traceparent" in line for line in run.stdout.splitlines()] == [False, True]


def test_headers_are_captured_by_name_and_masked(get: str, web: Web, traced: Traced) -> None:
    headers = "headers=[('X-Tenant', 'blue'), ('X-Tenant', 'green'), ('Cookie', 'hidden')]"
    run = traced(
        get.format(options=headers),
        web.url + "/redirect?a=b",
        env={
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": "x-.*,cookie,traceparent",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE": "Location",
        },
    )
    (span,) = run.spans
    assert span.attributes == web.described("/redirect?a=b", 302) | {
        "http.request.header.x-tenant": ["blue", "green"],
        "http.request.header.cookie": ["[REDACTED]"],
        "http.response.header.location": ["/echo"],
    }


def test_old_names_are_added_on_request(web: Web, traced: Traced) -> None:
    run = traced(
        GET["sync"].format(options=""), web.url + "/echo", env={"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup,database"}
    )
    (span,) = run.spans
    assert span.attributes == web.described("/echo") | {
        "http.method": "GET",
        "http.url": web.url + "/echo",
        "http.scheme": "http",
        "http.host": web.host,
        "net.peer.name": web.host,
        "net.peer.port": web.port,
        "http.status_code": 200,
        "http.flavor": "1.1",
        "net.protocol.version": "1.1",
        "net.sock.peer.addr": web.host,
        "net.sock.peer.port": web.port,
    }


def test_transports_mounts_auth_flows_and_subclasses_are_seen_once(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import httpx

        class Own(httpx.BaseTransport):
            def handle_request(self, request):
                return httpx.Response(418)

        class Around(httpx.BaseTransport):
            inner = httpx.HTTPTransport()

            def handle_request(self, request):
                return self.inner.handle_request(request)

        class Twice(httpx.Auth):
            def auth_flow(self, request):
                response = yield request
                request.url = request.url.copy_with(path="/echo")
                yield request

        class Client(httpx.Client):
            def send(self, request, **kwargs):
                return super().send(request, **kwargs)

        url = sys.argv[1]
        seen = []
        hooks = {"request": [lambda request: seen.append("traceparent" in request.headers)]}
        with Client(mounts={"all://own": Own(), "all://": Around()}, event_hooks=hooks) as client:
            print(client.get("http://own/tea").status_code)
            print(client.get(url + "/echo?mounted").status_code)
            response = client.get(url + "/status/401", auth=Twice())
            print([name for name, _ in response.request.headers.raw].count(b"traceparent"), seen[0])
            with client.stream("GET", url + "/stream") as response:
                print(response.is_stream_consumed, len(list(response.iter_lines())))
        """,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "418\n200\n1 False\nFalse 5\n"
    assert [span.attributes for span in run.spans] == [
        {
            "http.request.method": "GET",
            "url.full": "http://own/tea",
            "server.address": "own",
            "server.port": 80,
            "http.response.status_code": 418,
            "error.type": "418",
        },
        web.described("/echo?mounted"),
        web.described("/status/401", 401),
        web.described("/echo", resends=1),
        web.described("/stream"),
    ]


def test_a_hundred_concurrent_requests_keep_their_parents(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import asyncio
        import sys
        import httpx
        from opentelemetry import trace

        async def get(client, number):
            with trace.get_tracer("app").start_as_current_span(f"parent {number}") as parent:
                await client.get(f"{sys.argv[1]}/slow?seconds=0.02&n={number}")
                assert trace.get_current_span() is parent

        async def main():
            async with httpx.AsyncClient(timeout=30) as client:
                await asyncio.gather(*(get(client, number) for number in range(100)))

        asyncio.run(main())
        """,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    children = {span.parent_id: span for span in run.spans if span.kind == "CLIENT"}
    assert len(run.spans) == 200
    for number in range(100):
        child = children[run.span(f"parent {number}").span_id]
        assert child.attributes == web.described(f"/slow?seconds=0.02&n={number}")


def test_a_cancelled_request_is_no_error(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import asyncio
        import sys
        import httpx
        from opentelemetry import context

        async def main():
            async with httpx.AsyncClient() as client:
                try:
                    await asyncio.wait_for(client.get(sys.argv[1]), 0.1)
                except asyncio.TimeoutError:
                    print("given up", dict(context.get_current()))

        asyncio.run(main())
        """,
        web.url + "/slow?seconds=2",
    )
    (span,) = run.spans
    assert run.stdout == "given up {}\n"
    assert (span.status, span.events) == ("UNSET", [])
    assert span.attributes == web.described("/slow?seconds=2", None)


def test_an_unsampled_request_hands_on_that_it_is_unsampled(get: str, web: Web, traced: Traced) -> None:
    run = traced(get.format(options=""), web.url + "/echo", env={"OTEL_TRACES_SAMPLER": "always_off"})
    assert run.spans == []
    assert '-00"' in run.stdout or '-02"' in run.stdout


def test_the_program_gets_what_it_would_get_without_us(closed_port: int, traced: Traced) -> None:
    run = traced(
        """
        import inspect
        import sys
        import httpx

        answer = httpx.Response(200, extensions={"http_version": b"HTTP/2"})
        with httpx.Client(transport=httpx.MockTransport(lambda request: answer)) as client:
            assert client.get("http://host/") is answer
        assert str(inspect.signature(httpx.Client._send_single_request)).startswith("(self, request")
        assert inspect.iscoroutinefunction(httpx.AsyncClient._send_single_request)
        try:
            httpx.get(sys.argv[1])
        except httpx.ConnectError as error:
            print(type(error.__cause__).__module__, type(error.__context__).__module__, error.request.url)
        """,
        f"http://127.0.0.1:{closed_port}/",
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"httpcore httpcore http://127.0.0.1:{closed_port}/\n"
    assert [span.attributes.get("network.protocol.version") for span in run.spans] == ["2", None]


def test_a_client_made_before_us_is_seen_and_one_after_us_is_not(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import httpx
        import opentelemetry.trace  # the provider is built now
        from otel_run.instrumentors.httpx import HttpxInstrumentor

        with httpx.Client() as client:
            HttpxInstrumentor().instrument()
            client.get(sys.argv[1] + "/echo?1")
            HttpxInstrumentor().uninstrument()
            client.get(sys.argv[1] + "/echo?2")
        """,
        web.url,
        env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "httpx"},
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [span.attributes for span in run.spans] == [web.described("/echo?1")]

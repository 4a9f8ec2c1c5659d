"""requests under `otel-run`, against a real server: each request on the wire is one span, and nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web

# Gets each URL it is given and prints the body, or the name of the error.
GET = """
import sys
import requests

for url in sys.argv[1:]:
    try:
        print(requests.get(url, timeout=5).text)
    except requests.RequestException as error:
        print(type(error).__name__)
"""


def test_a_request_is_a_span_that_the_server_sees_as_its_parent(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        print(requests.get(sys.argv[1]).json()["headers"]["traceparent"])
        """,
        web.url + "/echo",
    )
    (span,) = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert (span.name, span.kind, span.status, span.events) == ("GET", "CLIENT", "UNSET", [])
    assert span.scope == "otel_run.instrumentors.requests"
    assert span.attributes == web.described("/echo")
    # The flags: sampled, and (a later bit) that the trace id is random.
    assert run.stdout in [f"00-{span.trace_id}-{span.span_id}-{flags}\n" for flags in ("01", "03")]


def test_statuses_of_400_and_more_are_errors_without_a_description(web: Web, traced: Traced) -> None:
    paths = ["/status/204", "/status/404", "/status/503"]
    run = traced(GET, *[web.url + path for path in paths])
    assert [(s.attributes, s.status, s.status_message, s.events) for s in run.spans] == [
        (web.described("/status/204", 204), "UNSET", "", []),
        (web.described("/status/404", 404), "ERROR", "", []),
        (web.described("/status/503", 503), "ERROR", "", []),
    ]


def test_a_refused_connection_is_an_error_whose_message_holds_no_secret(closed_port: int, traced: Traced) -> None:
    run = traced(GET, f"http://127.0.0.1:{closed_port}/x?token=hidden&a=b")
    (span,) = run.spans
    assert run.stdout == "ConnectionError\n"
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": f"http://127.0.0.1:{closed_port}/x?token=REDACTED&a=b",
        "server.address": "127.0.0.1",
        "server.port": closed_port,
        "error.type": "requests.exceptions.ConnectionError",
    }
    assert span.status == "ERROR"
    assert "/x?token=REDACTED&a=b" in span.status_message
    ((name, event),) = span.events
    assert (name, event) == (
        "exception",
        {"exception.type": "requests.exceptions.ConnectionError", "exception.message": span.status_message},
    )
    assert "hidden" not in str(span)


def test_a_lost_connection_and_a_timeout_are_errors(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        for path in ("/reset", "/slow?seconds=2"):
            try:
                requests.get(sys.argv[1] + path, timeout=0.2)
            except requests.RequestException as error:
                print(type(error).__name__)
        """,
        web.url,
    )
    assert run.stdout == "ConnectionError\nReadTimeout\n"
    timeout = {"error.type": "requests.exceptions.ReadTimeout"} | web.peer
    assert [(s.attributes, s.status) for s in run.spans] == [
        (web.described("/reset", None, **{"error.type": "requests.exceptions.ConnectionError"}), "ERROR"),
        (web.described("/slow?seconds=2", None, **timeout), "ERROR"),
    ]
    assert run.spans[1].duration_ms < 1500


def test_redirects_and_repeated_requests_are_siblings_each_with_its_own_context(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests
        from opentelemetry import trace

        def again(response, **kwargs):
            # As HTTPDigestAuth does it: past the session, with a copy of the request.
            if response.status_code == 401:
                second = response.request.copy()
                second.url = second.url.replace("/status/401", "/echo")
                return response.connection.send(second, **kwargs)

        with trace.get_tracer("app").start_as_current_span("parent"):
            for response in (
                requests.post(sys.argv[1] + "/redirect", data="x"),
                requests.get(sys.argv[1] + "/status/401", hooks={"response": again}),
            ):
                assert [name.lower() for name in response.json()["headers"]].count("traceparent") == 1
                print(response.json()["headers"]["traceparent"].split("-")[2])
        """,
        web.url,
    )
    parent = run.span("parent")
    post, got, refused, repeated = (span for span in run.spans if span is not parent)
    assert {span.parent_id for span in (post, got, refused, repeated)} == {parent.span_id}
    assert post.attributes == web.described("/redirect", 302) | {"http.request.method": "POST"}
    assert got.attributes == web.described("/echo", resends=1)
    assert refused.attributes == web.described("/status/401", 401)
    assert repeated.attributes == web.described("/echo", resends=1)
    assert run.stdout.split() == [got.span_id, repeated.span_id]


def test_adapters_and_sessions_of_the_program_are_seen_once(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests
        from requests.adapters import BaseAdapter, HTTPAdapter

        class Timeout(HTTPAdapter):
            def send(self, request, **kwargs):
                kwargs["timeout"] = 5
                return super().send(request, **kwargs)

        class Own(BaseAdapter):
            def send(self, request, **kwargs):
                response = requests.Response()
                response.status_code, response.url, response.request = 418, request.url, request
                response._content, response.raw = b"tea", None
                return response

            def close(self):
                pass

        class Inherited(Own):
            pass

        class Delegate(Own):
            inner = HTTPAdapter()

            def send(self, request, **kwargs):
                return self.inner.send(request, **kwargs)

        class Cache(HTTPAdapter):
            def send(self, request, **kwargs):
                return kept or super().send(request, **kwargs)

        class Session(requests.Session):
            def send(self, request, **kwargs):
                kwargs["timeout"] = 5
                return super().send(request, **kwargs)

        kept = None
        for number, adapter in enumerate((Timeout(), Own(), Inherited(), Own(), Delegate(), Cache())):
            with Session() as session:
                session.mount("http://", adapter)
                response = session.get(f"{sys.argv[1]}/echo?{number}")
                print(type(response).__name__, response.status_code)
        kept = response
        with Session() as session:
            session.mount("http://", Cache())
            assert session.get(f"{sys.argv[1]}/cached") is kept
        """,
        web.url,
    )
    assert run.stderr == ""
    assert run.stdout.split("\n")[:-1] == [f"Response {status}" for status in (200, 418, 418, 418, 200, 200)]
    # What an adapter of another kind does below is not looked at, and the tea has neither version nor peer.
    tea = {"http.response.status_code": 418, "error.type": "418"}
    unknown = {number: web.described(f"/echo?{number}", None, **tea) for number in (1, 2, 3)}
    delegated = web.described("/echo?4")
    for name in web.peer:
        del delegated[name]
    assert [span.attributes for span in run.spans] == [
        (unknown | {4: delegated}).get(number, web.described(f"/echo?{number}")) for number in range(6)
    ]


def test_secrets_of_a_url_stay_in_the_process(web: Web, traced: Traced) -> None:
    url = f"http://user:hidden@{web.host}:{web.port}/echo?api_key=hidden&q=1"
    run = traced(GET, url)
    (span,) = run.spans
    assert '"path": "/echo?api_key=hidden&q=1"' in run.stdout  # the server gets it all
    assert '"Authorization": "Basic' in run.stdout
    assert span.attributes["url.full"] == f"http://REDACTED:REDACTED@{web.host}:{web.port}/echo?api_key=REDACTED&q=1"
    assert "hidden" not in str(span)


def test_excluded_urls_are_left_alone(web: Web, traced: Traced) -> None:
    run = traced(
        GET,
        web.url + "/echo?health",
        web.url + "/echo?other",
        env={
            "OTEL_PYTHON_REQUESTS_EXCLUDED_URLS": "health,(?i)METRICS$",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "urllib3",  # another's, if it is installed
        },
    )
    assert [span.attributes for span in run.spans] == [web.described("/echo?other")]
    assert ["traceparent" in line for line in run.stdout.splitlines()] == [False, True]


def test_headers_are_captured_by_name_and_masked(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        requests.get(sys.argv[1], headers={"X-Tenant": "blue", "Authorization": "Bearer hidden", "X-Inner": "hidden"})
        """,
        web.url + "/echo",
        env={
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": "x-.*,authorization,traceparent",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_RESPONSE": "content-TYPE,content",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS": "inner",
        },
    )
    (span,) = run.spans
    assert span.attributes == web.described("/echo") | {
        "http.request.header.x-tenant": ["blue"],
        "http.request.header.x-inner": ["[REDACTED]"],
        "http.request.header.authorization": ["[REDACTED]"],
        "http.response.header.content-type": ["application/json"],
    }


@pytest.mark.parametrize("opt_in", ["http", "http/dup"])
def test_old_names_are_added_on_request(opt_in: str, web: Web, traced: Traced) -> None:
    run = traced(GET, web.url + "/status/500", env={"OTEL_SEMCONV_STABILITY_OPT_IN": opt_in})
    old = {
        "http.method": "GET",
        "http.url": web.url + "/status/500",
        "http.scheme": "http",
        "http.host": web.host,
        "net.peer.name": web.host,
        "net.peer.port": web.port,
        "http.status_code": 500,
        "http.flavor": "1.1",
        "net.protocol.version": "1.1",
        "net.sock.peer.addr": web.host,
        "net.sock.peer.port": web.port,
    }
    (span,) = run.spans
    assert span.attributes == web.described("/status/500", 500) | (old if opt_in == "http/dup" else {})


def test_an_unknown_method_is_kept_beside_the_name_http(web: Web, traced: Traced) -> None:
    run = traced("import requests, sys; requests.request('BREW', sys.argv[1])", web.url + "/echo")
    (span,) = run.spans
    assert span.name == "HTTP"
    assert span.attributes == web.described("/echo") | {
        "http.request.method": "_OTHER",
        "http.request.method_original": "BREW",
    }


def test_an_unsampled_request_hands_on_that_it_is_unsampled(web: Web, traced: Traced) -> None:
    run = traced(
        "import requests, sys; print(requests.get(sys.argv[1]).json()['headers']['traceparent'])",
        web.url + "/echo",
        env={"OTEL_TRACES_SAMPLER": "always_off"},
    )
    assert run.spans == []
    assert run.stdout.endswith(("-00\n", "-02\n"))


def test_requests_in_threads_keep_their_parents(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import threading
        import requests
        from opentelemetry import trace

        session, tracer = requests.Session(), trace.get_tracer("app")

        def get(number):
            with tracer.start_as_current_span(f"parent {number}"):
                session.get(f"{sys.argv[1]}/slow?seconds=0.05&n={number}")

        threads = [threading.Thread(target=get, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """,
        web.url,
    )
    for number in range(20):
        parent = run.span(f"parent {number}")
        (child,) = [span for span in run.spans if span.parent_id == parent.span_id]
        assert child.attributes == web.described(f"/slow?seconds=0.05&n={number}")


def test_the_program_gets_what_it_would_get_without_us(web: Web, closed_port: int, traced: Traced) -> None:
    run = traced(
        """
        import inspect
        import pickle
        import sys
        import requests
        from opentelemetry import context, trace

        with requests.Session() as session, session.get(sys.argv[1] + "/stream", stream=True) as response:
            assert not response._content_consumed
            assert b"".join(response.iter_content()).startswith(b"chunk 0")
            assert pickle.loads(pickle.dumps(session)).get(sys.argv[1] + "/echo").ok
        assert str(inspect.signature(requests.adapters.HTTPAdapter.send)).startswith("(self, request")
        try:
            requests.get(sys.argv[2])
        except requests.ConnectionError as error:
            assert isinstance(error.__context__, requests.packages.urllib3.exceptions.MaxRetryError)
            assert error.__cause__ is None
        assert not trace.get_current_span().is_recording()
        assert not context.get_current()
        try:
            requests.Session().send("no request")
        except Exception as error:
            print(type(error).__name__)
        """,
        web.url,
        f"http://127.0.0.1:{closed_port}",
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "AttributeError\n", "")
    assert [span.status for span in run.spans] == ["UNSET", "UNSET", "ERROR"]


def test_a_session_made_before_us_is_seen_and_one_after_us_is_not(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests
        import opentelemetry.trace  # the provider is built now
        from otel_run.instrumentors.requests import RequestsInstrumentor

        class Own(requests.adapters.BaseAdapter):
            def send(self, request, **kwargs):
                return requests.adapters.HTTPAdapter().send(request, **kwargs)

        session = requests.Session()
        session.mount("http://localhost", Own())
        RequestsInstrumentor().instrument()
        session.get(sys.argv[1] + "/echo")
        session.get(sys.argv[1].replace("127.0.0.1", "localhost") + "/echo")
        RequestsInstrumentor().uninstrument()
        session.get(sys.argv[1] + "/echo")
        session.get(sys.argv[1].replace("127.0.0.1", "localhost") + "/echo")
        """,
        web.url,
        env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "requests,urllib3"},  # the second is another's, if installed
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [span.attributes["server.address"] for span in run.spans] == ["127.0.0.1", "localhost"]

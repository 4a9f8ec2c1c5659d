"""What requests and urllib3 send again for one call: siblings that are counted, each with its own context."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web

# A session that retries by urllib3, inside a span of the program.
RETRYING = """
import sys
import requests
from opentelemetry import context, trace
from requests.adapters import HTTPAdapter, Retry

def retrying(total=3, backoff=0.0):
    retry = Retry(total=total, backoff_factor=backoff, status_forcelist=[503])
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session

url = sys.argv[1]
with trace.get_tracer("app").start_as_current_span("parent"):
    before = context.get_current()
    {body}
    assert context.get_current() is before
"""


def _failing(*failures: str) -> str:
    """Return a path that fails in these ways, once each."""
    return f"/failing/{uuid.uuid4().hex}?with={','.join(failures)}"


def _sender(body: str) -> str:
    """Return the span that the server was told of."""
    told: dict[str, Any] = {name.lower(): value for name, value in json.loads(body)["headers"].items()}
    return str(told["traceparent"].split("-")[2])


def test_each_attempt_of_urllib3_is_a_sibling_and_the_last_is_what_the_server_answered(
    web: Web, traced: Traced
) -> None:
    path = _failing("503", "reset", "503")
    run = traced(RETRYING.format(body="print(retrying().get(url).text)"), web.url + path)
    parent = run.span("parent")
    attempts = [span for span in run.spans if span is not parent]
    assert (run.returncode, run.stderr) == (0, "")
    assert [(span.attributes, span.status, span.parent_id) for span in attempts] == [
        (web.described(path, 503), "ERROR", parent.span_id),
        (web.described(path, None, 1, **{"error.type": "ConnectionResetError"}), "ERROR", parent.span_id),
        (web.described(path, 503, 2), "ERROR", parent.span_id),
        (web.described(path, 200, 3), "UNSET", parent.span_id),
    ]
    assert _sender(run.stdout) == attempts[-1].span_id
    assert len({span.span_id for span in attempts}) == 4


def test_the_wait_between_two_attempts_belongs_to_no_span(web: Web, traced: Traced) -> None:
    path = _failing("503", "503", "503")
    run = traced(RETRYING.format(body="retrying(backoff=0.3).get(url)"), web.url + path)
    attempts = [span for span in run.spans if span.name == "GET"]
    assert len(attempts) == 4
    # urllib3 waits at least 0.6 s before the last but one.
    assert run.span("parent").duration_ms > 600
    assert sum(span.duration_ms for span in attempts) < run.span("parent").duration_ms - 500


def test_attempts_without_success_end_with_the_exception_of_requests(web: Web, traced: Traced) -> None:
    path = _failing("503", "503")
    body = """
    try:
        retrying(total=1).get(url)
    except requests.exceptions.RetryError as error:
        print(type(error.__context__).__name__)"""
    run = traced(RETRYING.format(body=body.strip()), web.url + path)
    first, second = (span for span in run.spans if span.name == "GET")
    assert run.stdout == "MaxRetryError\n"
    assert first.attributes == web.described(path, 503)
    assert second.attributes == web.described(path, 503, 1) | {"error.type": "requests.exceptions.RetryError"}
    assert "too many 503 error responses" in second.status_message


def test_redirects_and_logins_count_on_whatever_was_sent_before(web: Web, traced: Traced) -> None:
    path = _failing("503", "302")
    run = traced(
        RETRYING.format(
            body="""print(retrying().get(url).text)
    digest = requests.auth.HTTPDigestAuth("u", "p")
    print(requests.get(url.partition("/failing")[0] + "/digest", auth=digest).text)"""
        ),
        web.url + path,
        env={"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup"},
    )
    spans = [span for span in run.spans if span.name == "GET"]
    told = ("url.full", "http.response.status_code", "http.request.resend_count", "http.resend_count")
    assert [tuple(span.attributes.get(name) for name in told) for span in spans] == [
        (web.url + path, 503, None, None),
        (web.url + path, 302, 1, 1),
        (web.url + "/echo", 200, 2, 2),
        (web.url + "/digest", 401, None, None),
        (web.url + "/digest", 200, 1, 1),
    ]
    assert {span.parent_id for span in spans} == {run.span("parent").span_id}
    assert [_sender(line) for line in run.stdout.splitlines()] == [spans[2].span_id, spans[4].span_id]


def test_what_the_program_itself_sends_again_is_no_resend(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        session = requests.Session()
        prepared = session.prepare_request(requests.Request("GET", sys.argv[1] + "/echo?1"))
        session.send(prepared)
        session.send(prepared)
        session.send(prepared.copy())

        def log_in(response, **kwargs):
            # Another call, in the middle of this one; and then the next, by hand.
            requests.get(sys.argv[1] + "/redirect")

        session.get(sys.argv[1] + "/echo?2", hooks={"response": log_in})
        response = session.get(sys.argv[1] + "/redirect", allow_redirects=False)
        session.send(response.next)
        """,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    told = ("url.full", "http.request.resend_count")
    assert [tuple(span.attributes.get(name) for name in told) for span in run.spans] == [
        (web.url + "/echo?1", None),
        (web.url + "/echo?1", None),
        (web.url + "/echo?1", None),
        (web.url + "/echo?2", None),
        (web.url + "/redirect", None),
        (web.url + "/echo", 1),
        (web.url + "/redirect", None),
        (web.url + "/echo", None),
    ]  # fmt: skip


def test_an_adapter_without_a_session_and_urllib3_alone(web: Web, traced: Traced) -> None:
    path = _failing("503")
    body = """
    prepared = requests.Request("GET", url).prepare()
    adapter = HTTPAdapter(max_retries=Retry(status_forcelist=[503]))
    print(adapter.send(prepared).status_code)
    import urllib3
    with urllib3.PoolManager() as pool:
        print("traceparent" in pool.request("GET", url, retries=2).data.decode().lower())"""
    run = traced(
        RETRYING.format(body=body.strip()),
        web.url + path,
        env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "urllib3"},  # another's, if it is installed
    )
    assert run.stdout == "200\nFalse\n"
    assert [span.attributes for span in run.spans if span.name == "GET"] == [
        web.described(path, 503),
        web.described(path, 200, 1),
    ]


def test_a_request_of_urllib3_by_the_body_that_is_sent_is_no_attempt(web: Web, traced: Traced) -> None:
    body = """
    import urllib3
    class Upload:
        def __len__(self):
            return 4

        def read(self, size):
            with urllib3.PoolManager() as pool:
                return pool.request("GET", url + "?body").data[:0] or self.rest.pop()

        rest = [b"", b"data"]

    print(requests.post(url, data=Upload()).status_code)"""
    run = traced(RETRYING.format(body=body.strip()), web.url + "/echo")
    assert run.stdout == "200\n"
    assert [span.attributes["url.full"] for span in run.spans if span.name == "POST"] == [web.url + "/echo"]
    assert [span.name for span in run.spans] == ["parent", "POST"]


def test_each_attempt_is_sampled_and_traced_for_itself_without_a_parent(web: Web, traced: Traced) -> None:
    path = _failing("503", "503")
    source = RETRYING.replace('with trace.get_tracer("app").start_as_current_span("parent"):', "if True:")
    run = traced(source.format(body="retrying().get(url)"), web.url + path)
    assert [span.attributes for span in run.spans] == [
        web.described(path, 503),
        web.described(path, 503, 1),
        web.described(path, 200, 2),
    ]
    assert len({span.trace_id for span in run.spans}) == 3


def test_unsampled_attempts_leave_nothing_but_their_context(web: Web, traced: Traced) -> None:
    path = _failing("503")
    run = traced(
        RETRYING.format(body="print(retrying().get(url).text)"),
        web.url + path,
        env={"OTEL_TRACES_SAMPLER": "always_off"},
    )
    assert (run.returncode, run.stderr, run.spans) == (0, "", [])
    assert len(_sender(run.stdout)) == 16


def test_a_proxy_is_the_peer_and_the_server_is_who_was_asked(web: Web, proxy: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        print(requests.get(sys.argv[1], proxies={"http": sys.argv[2]}).text)
        """,
        web.url + "/echo?proxied",
        proxy.url,
    )
    (span,) = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert span.attributes == web.described("/echo?proxied", **proxy.peer)
    assert _sender(run.stdout) == span.span_id

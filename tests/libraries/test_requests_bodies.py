"""When the span of a request ends: with the body where requests reads it, with the headers where the program does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.http_programs import NOTHING_LEFT

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web


def test_a_slow_body_is_part_of_the_span_where_requests_reads_it(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        requests.get(sys.argv[1] + "/body/whole")
        requests.get(sys.argv[1] + "/body/redirect")
        requests.get(sys.argv[1] + "/body/whole", stream=True).close()
        """
        + NOTHING_LEFT,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    read, redirect, redirected, streamed = run.spans
    assert [span.attributes for span in run.spans] == [
        web.described("/body/whole"),
        web.described("/body/redirect", 302),
        web.described("/echo", 200, 1),
        web.described("/body/whole"),
    ]
    assert min(read.duration_ms, redirect.duration_ms) >= 250
    assert max(redirected.duration_ms, streamed.duration_ms) < 250


def test_a_body_that_breaks_off_is_an_error_beside_the_status(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        for path, timeout in (("/body/cut", 5), ("/body/whole", 0.1)):
            try:
                requests.get(sys.argv[1] + path, timeout=timeout)
            except requests.RequestException as error:
                print(type(error).__name__, type(error.__context__).__name__)
                del error
        """
        + NOTHING_LEFT,
        web.url,
    )
    cut, late = run.spans
    assert run.stderr == ""
    assert run.stdout == "ChunkedEncodingError ProtocolError\nConnectionError ReadTimeoutError\n"
    assert cut.attributes == web.described("/body/cut", **{"error.type": "requests.exceptions.ChunkedEncodingError"})
    assert late.attributes == web.described("/body/whole", **{"error.type": "requests.exceptions.ConnectionError"})
    assert [span.status for span in run.spans] == ["ERROR", "ERROR"]
    assert "Read timed out" in late.status_message
    ((_, event),) = late.events
    assert event == {
        "exception.type": "requests.exceptions.ConnectionError",
        "exception.message": late.status_message,
    }


@pytest.mark.parametrize(
    "use",
    [
        "pass",
        "response.close()",
        "list(response.iter_content(3))",
        "list(response.iter_lines())",
        "next(response.iter_content(3))",
        "response.content",
        "response.raw.read()",
        "kept = response.iter_content(3); next(kept)",
    ],
)
def test_a_streamed_response_ends_with_its_headers_whatever_becomes_of_it(use: str, web: Web, traced: Traced) -> None:
    run = traced(
        f"""
        import sys
        import requests

        def use(response):
            {use}

        with requests.Session() as session:
            session.stream = True
            use(session.get(sys.argv[1] + "/stream"))
            response = requests.get(sys.argv[1] + "/stream", stream=True)
            use(response)
            del response
        """
        + NOTHING_LEFT,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [(span.attributes, span.status) for span in run.spans] == [(web.described("/stream"), "UNSET")] * 2


def test_the_span_is_not_current_while_the_body_is_read_nor_in_hooks(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests
        from opentelemetry import trace

        def look(response, **kwargs):
            assert trace.get_current_span() is parent
            requests.get(sys.argv[1] + "/echo?inner")

        with trace.get_tracer("app").start_as_current_span("parent") as parent:
            requests.get(sys.argv[1] + "/body/whole", hooks={"response": look})
        """
        + NOTHING_LEFT,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    parent, outer, inner = run.spans
    assert outer.parent_id == inner.parent_id == parent.span_id
    assert (outer.attributes, inner.attributes) == (web.described("/body/whole"), web.described("/echo?inner"))


def test_a_body_that_nobody_reads_ends_with_the_headers(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import time
        import requests

        class Stop(Exception):
            pass

        def stop(response, **kwargs):
            time.sleep(0.3)
            raise Stop

        def replace(response, **kwargs):
            time.sleep(0.3)
            other = requests.Response()
            other.status_code, other.url, other.raw = 200, response.url, response.raw
            other._content = b"mine"
            return other

        try:
            requests.get(sys.argv[1] + "/echo", hooks={"response": stop})
        except Stop:
            print(requests.get(sys.argv[1] + "/echo", hooks={"response": replace}).text)
        """
        + NOTHING_LEFT,
        web.url,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "mine\n", "")
    assert [(span.attributes, span.status) for span in run.spans] == [(web.described("/echo"), "UNSET")] * 2
    assert max(span.duration_ms for span in run.spans) < 250


def test_a_failing_redirect_does_not_spoil_what_was_answered(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import requests

        with requests.Session() as session:
            session.max_redirects = 0
            try:
                session.get(sys.argv[1] + "/redirect")
            except requests.TooManyRedirects as error:
                print(type(error).__name__)
                del error
        """
        + NOTHING_LEFT,
        web.url,
    )
    (span,) = run.spans
    assert run.stdout == "TooManyRedirects\n"
    assert (span.attributes, span.status) == (web.described("/redirect", 302), "UNSET")

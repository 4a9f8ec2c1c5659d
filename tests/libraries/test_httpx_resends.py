"""What httpx sends again for one call, and what it sends besides: redirects, auth flows, retries of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.http_programs import BOTH_CLIENTS

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web


@pytest.fixture(params=["Client", "AsyncClient"])
def start(request: pytest.FixtureRequest) -> str:
    """Give the program for each of the clients."""
    return BOTH_CLIENTS.replace("{client}", request.param)


TOLD = ("url.full", "http.response.status_code", "http.request.resend_count")


def test_redirects_and_a_digest_login_count_on(start: str, web: Web, traced: Traced) -> None:
    body = """
    client = Client(follow_redirects=True)
    await result(client.get(url + "/redirect"))
    await result(client.get(url + "/digest", auth=httpx.DigestAuth("u", "p")))
    await result(client.get(url + "/digest", auth=httpx.DigestAuth("u", "p"), follow_redirects=False))
    await close(client)
"""
    run = traced(start.replace("{body}", body), web.url, env={"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup"})
    assert (run.returncode, run.stderr) == (0, "")
    assert [tuple(span.attributes.get(name) for name in (*TOLD, "http.resend_count")) for span in run.spans] == [
        (web.url + "/redirect", 302, None, None),
        (web.url + "/echo", 200, 1, 1),
        *[(web.url + "/digest", 401, None, None), (web.url + "/digest", 200, 1, 1)] * 2,
    ]


def test_other_requests_of_an_auth_flow_or_a_hook_are_no_resends(start: str, web: Web, traced: Traced) -> None:
    body = """
    class Token(httpx.Auth):
        requires_response_body = True

        def auth_flow(self, request):
            token = yield httpx.Request("POST", url + "/echo?login")
            request.headers["X-Token"] = token.json()["path"]
            response = yield request
            if response.status_code == 401:
                yield httpx.Request("POST", url + "/echo?again")
                yield request

    def hook(request):
        if request.url.path == "/echo" and request.url.query == b"hooked":
            with httpx.Client() as other:
                other.get(url + "/redirect", follow_redirects=True)

    async def async_hook(request):
        hook(request)

    hooks = {"request": [hook if Client is httpx.Client else async_hook]}
    client = Client(event_hooks=hooks)
    await result(client.get(url + "/status/401", auth=Token()))
    await result(client.get(url + "/echo?hooked"))
    request = client.build_request("GET", url + "/echo?same")
    await result(client.send(request))
    await result(client.send(request))
    response = await result(client.get(url + "/redirect"))
    await result(client.send(response.next_request))
    await close(client)
"""
    run = traced(start.replace("{body}", body), web.url)
    assert (run.returncode, run.stderr) == (0, "")
    assert [tuple(span.attributes.get(name) for name in TOLD) for span in run.spans] == [
        (web.url + "/echo?login", 200, None),
        (web.url + "/status/401", 401, None),
        (web.url + "/echo?again", 200, None),
        (web.url + "/status/401", 401, 1),
        (web.url + "/redirect", 302, None),
        (web.url + "/echo", 200, 1),
        (web.url + "/echo?hooked", 200, None),
        (web.url + "/echo?same", 200, None),
        (web.url + "/echo?same", 200, None),
        (web.url + "/redirect", 302, None),
        (web.url + "/echo", 200, None),
    ]


def test_a_proxy_is_the_peer_and_the_server_is_who_was_asked(start: str, web: Web, proxy: Web, traced: Traced) -> None:
    # By mounts, which are older and younger than the argument `proxy`.
    body = """
    transport = httpx.HTTPTransport if Client is httpx.Client else httpx.AsyncHTTPTransport
    client = Client(mounts={"http://": transport(proxy=sys.argv[2])})
    print((await result(client.get(url + "/echo?proxied"))).json()["headers"]["traceparent"].split("-")[2])
    await close(client)
"""
    run = traced(start.replace("{body}", body), web.url, proxy.url)
    (span,) = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert span.attributes == web.described("/echo?proxied", **proxy.peer)
    assert run.stdout.strip() == span.span_id


def test_a_hundred_tasks_hand_on_a_hundred_contexts(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import asyncio
        import sys
        import httpx
        from opentelemetry import trace

        async def get(client, number):
            with trace.get_tracer("app").start_as_current_span(f"parent {number}") as parent:
                response = await client.get(f"{sys.argv[1]}/redirect?{number}", follow_redirects=True)
                assert trace.get_current_span() is parent
                return response.json()["headers"]["traceparent"]

        async def main():
            async with httpx.AsyncClient(timeout=30) as client:
                print(*await asyncio.gather(*(get(client, number) for number in range(100))), sep="\\n")

        asyncio.run(main())
        """,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    told = [line.split("-") for line in run.stdout.split()]
    second = {span.span_id: span for span in run.spans if span.attributes.get("http.request.resend_count") == 1}
    assert len(second) == len({span_id for _, _, span_id, _ in told}) == 100
    for number, (_, trace_id, span_id, _) in enumerate(told):
        parent = run.span(f"parent {number}")
        assert (second[span_id].trace_id, second[span_id].parent_id) == (trace_id, parent.span_id)
        assert len([span for span in run.spans if span.parent_id == parent.span_id]) == 2


def test_under_trio_parents_are_kept_and_a_cancelled_call_is_no_error(web: Web, traced: Traced) -> None:
    run = traced(
        """
        import sys
        import httpx
        import trio
        from opentelemetry import context, trace

        async def get(client, number):
            with trace.get_tracer("app").start_as_current_span(f"parent {number}"):
                await client.get(f"{sys.argv[1]}/slow?seconds=0.02&n={number}")

        async def main():
            async with httpx.AsyncClient() as client:
                async with trio.open_nursery() as nursery:
                    for number in range(10):
                        nursery.start_soon(get, client, number)
                with trio.move_on_after(0.1):
                    await client.get(sys.argv[1] + "/slow?seconds=2")
                assert not context.get_current()

        trio.run(main)
        """,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    children = {span.parent_id: span for span in run.spans}
    for number in range(10):
        child = children[run.span(f"parent {number}").span_id]
        assert child.attributes == web.described(f"/slow?seconds=0.02&n={number}")
    cancelled = run.spans[-1]
    assert (cancelled.attributes, cancelled.status) == (web.described("/slow?seconds=2", None), "UNSET")

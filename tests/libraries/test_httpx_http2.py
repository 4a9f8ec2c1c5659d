"""httpx over HTTP/2: many requests on one connection, each a span of its own with its version and peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.http_programs import BOTH_CLIENTS, NOTHING_LEFT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.program import Traced
    from servers.web import Web


VERSION_2 = {"network.protocol.version": "2"}


@pytest.fixture
def web2() -> Iterator[Web]:
    """Give a server that speaks HTTP/2 only."""
    from servers.http2 import serve_http2

    with serve_http2() as server:
        yield server


@pytest.mark.parametrize("client", ["Client", "AsyncClient"])
def test_requests_over_http2_tell_version_and_peer(client: str, web2: Web, traced: Traced) -> None:
    body = """
    client = Client(http1=False, http2=True)
    print((await result(client.get(url + "/echo"))).json()["headers"]["traceparent"].split("-")[2])
    await result(client.get(url + "/status/503"))
    try:
        await result(client.get(url + "/reset"))
    except httpx.RemoteProtocolError as error:
        print(type(error).__name__)
    await close(client)"""
    run = traced(BOTH_CLIENTS.replace("{client}", client).replace("{body}", body), web2.url)
    echo, unavailable, reset = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == [echo.span_id, "RemoteProtocolError"]
    assert echo.attributes == web2.described("/echo", **VERSION_2)
    assert unavailable.attributes == web2.described("/status/503", 503, **VERSION_2)
    assert reset.attributes == web2.described("/reset", None, **{"error.type": "httpx.RemoteProtocolError"})
    assert [span.status for span in run.spans] == ["UNSET", "ERROR", "ERROR"]


def test_a_hundred_requests_on_one_connection_keep_their_parents(web2: Web, traced: Traced) -> None:
    run = traced(
        f"""
        import asyncio
        import sys
        import httpx
        from opentelemetry import trace

        async def get(client, number):
            with trace.get_tracer("app").start_as_current_span(f"parent {{number}}"):
                response = await client.get(f"{{sys.argv[1]}}/echo?{{number}}")
                return response.json()["headers"]["traceparent"].split("-")[2]

        async def main():
            async with httpx.AsyncClient(http1=False, http2=True) as client:
                await client.get(sys.argv[1] + "/echo")
                print(*await asyncio.gather(*(get(client, number) for number in range(100))))

        asyncio.run(main())
        {NOTHING_LEFT}
        """,
        web2.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    sent = run.stdout.split()
    for number in range(100):
        (child,) = [span for span in run.spans if span.parent_id == run.span(f"parent {number}").span_id]
        assert (child.span_id, child.attributes) == (sent[number], web2.described(f"/echo?{number}", **VERSION_2))

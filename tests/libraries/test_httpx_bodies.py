"""When the span of a request ends: with the body where httpx reads it, with the headers where the program does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.http_programs import BOTH_CLIENTS, NOTHING_LEFT

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web

START = BOTH_CLIENTS.replace("\nasyncio.run(main())", "\nasyncio.run(main())\n" + NOTHING_LEFT.replace(" " * 8, ""))


@pytest.fixture(params=["Client", "AsyncClient"])
def start(request: pytest.FixtureRequest) -> str:
    """Give the program for each of the clients."""
    return START.replace("{client}", request.param)


def test_a_slow_body_is_part_of_the_span_where_httpx_reads_it(start: str, web: Web, traced: Traced) -> None:
    body = """
    client = Client(follow_redirects=True)
    await result(client.get(url + "/body/whole"))
    await result(client.get(url + "/body/redirect"))
    response = await result(client.send(client.build_request("GET", url + "/body/whole"), stream=True))
    await close(response)
    await close(client)
    """
    run = traced(start.replace("{body}", body), web.url)
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


def test_a_body_that_breaks_off_is_an_error_beside_the_status(start: str, web: Web, traced: Traced) -> None:
    body = """
    client = Client()
    for path, timeout in (("/body/cut", 5), ("/body/whole", 0.1)):
        try:
            await result(client.get(url + path, timeout=timeout))
        except httpx.TransportError as error:
            print(type(error).__name__, type(error.__cause__).__name__, type(error.__context__).__name__)
            del error
    await close(client)
    """
    run = traced(start.replace("{body}", body), web.url)
    cut, late = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == (
        "RemoteProtocolError RemoteProtocolError RemoteProtocolError\nReadTimeout ReadTimeout ReadTimeout\n"
    )
    assert cut.attributes == web.described("/body/cut", **{"error.type": "httpx.RemoteProtocolError"})
    assert late.attributes == web.described("/body/whole", **{"error.type": "httpx.ReadTimeout"})
    assert [span.status for span in run.spans] == ["ERROR", "ERROR"]
    assert cut.status_message.startswith("peer closed connection")
    assert cut.events == [
        ("exception", {"exception.type": "httpx.RemoteProtocolError", "exception.message": cut.status_message})
    ]


@pytest.mark.parametrize(
    "use",
    [
        "pass",
        "await close(response)",
        "[part async for part in response.aiter_bytes(3)] if is_async else list(response.iter_bytes(3))",
        "[line async for line in response.aiter_lines()] if is_async else list(response.iter_lines())",
        "await (response.aiter_raw(3).__anext__() if is_async else result(next(response.iter_raw(3))))",
        "await result(response.aread() if is_async else response.read())",
    ],
)
def test_a_streamed_response_ends_with_its_headers_whatever_becomes_of_it(
    start: str, use: str, web: Web, traced: Traced
) -> None:
    body = f"""
    is_async = Client is httpx.AsyncClient
    client = Client()
    response = await result(client.send(client.build_request("GET", url + "/stream"), stream=True))
    {use}
    if is_async:
        async with client.stream("GET", url + "/stream") as response:
            {use}
    else:
        with client.stream("GET", url + "/stream") as response:
            {use}
    """
    run = traced(start.replace("{body}", body), web.url)
    assert (run.returncode, run.stderr) == (0, "")
    assert [(span.attributes, span.status) for span in run.spans] == [(web.described("/stream"), "UNSET")] * 2


def test_a_hook_that_reads_or_raises_leaves_no_span_open(start: str, web: Web, traced: Traced) -> None:
    body = """
    def read(response):
        assert trace.get_current_span() is trace.INVALID_SPAN
        response.read()

    async def aread(response):
        assert trace.get_current_span() is trace.INVALID_SPAN
        await response.aread()

    def stop(response):
        response.raise_for_status()
        raise LookupError

    async def astop(response):
        stop(response)

    is_async = Client is httpx.AsyncClient
    client = Client(event_hooks={"response": [aread if is_async else read, astop if is_async else stop]})
    for path in ("/body/whole", "/status/404"):
        try:
            await result(client.get(url + path))
        except (LookupError, httpx.HTTPStatusError) as error:
            print(type(error).__name__)
    await close(client)
    """
    run = traced(start.replace("{body}", body), web.url)
    assert (run.returncode, run.stdout, run.stderr) == (0, "LookupError\nHTTPStatusError\n", "")
    whole, missing = run.spans
    assert (whole.attributes, whole.status) == (web.described("/body/whole"), "UNSET")
    assert whole.duration_ms >= 250
    assert (missing.attributes, missing.status, missing.events) == (web.described("/status/404", 404), "ERROR", [])


CANCELLED = {
    "task": """
        task = asyncio.create_task(client.get(url))
        await asyncio.sleep(0.15)
        task.cancel()
        await task
    """,
    "wait_for": "await asyncio.wait_for(client.get(url), 0.15)",
    "anyio": """
        import anyio
        with anyio.fail_after(0.15):
            await client.get(url)
    """,
}


@pytest.mark.parametrize("how", CANCELLED)
@pytest.mark.parametrize(("path", "status"), [("/slow?seconds=2", None), ("/body/whole", 200)])
def test_a_call_that_is_given_up_is_no_error(how: str, path: str, status: int | None, web: Web, traced: Traced) -> None:
    body = f"""
    client = httpx.AsyncClient()
    try:
        {CANCELLED[how].strip()}
    except (asyncio.CancelledError, TimeoutError, asyncio.TimeoutError) as error:
        print("given up")
        del error
    await client.aclose()
    """
    run = traced(START.replace("{client}", "AsyncClient").replace("{body}", body), web.url + path)
    (span,) = run.spans
    assert (run.returncode, run.stdout, run.stderr) == (0, "given up\n", "")
    assert (span.attributes, span.status, span.events) == (web.described(path, status), "UNSET", [])
    assert span.duration_ms < 290


def test_a_call_that_is_abandoned_half_way_leaves_nothing(traced: Traced) -> None:
    run = traced(
        """
        import contextvars
        import httpx

        class Endless(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request):
                if request.url.path == "/headers":
                    return httpx.Response(200, stream=Body())
                await Wait()

        class Body(httpx.AsyncByteStream):
            async def __aiter__(self):
                yield b"x"
                await Wait()

        class Wait:
            def __await__(self):
                yield

        def go(path):
            call = httpx.AsyncClient(transport=Endless()).get("http://host" + path)
            # As a task does it: in a context of its own, as far as its first wait, and then never again.
            contextvars.Context().run(call.send, None)

        go("/none")
        go("/headers")
        """
        + NOTHING_LEFT,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [(span.attributes.get("http.response.status_code"), span.status) for span in run.spans] == [
        (None, "UNSET"),
        (200, "UNSET"),
    ]

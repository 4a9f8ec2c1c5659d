"""Requests in the middle of others: by a transport, an upload, a hook, or a task that outlives the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.program import Run, Traced
    from servers.web import Web

# Prints the id of the span that the server was told of.
TELL = """
import sys
import {library} as library

url = sys.argv[1]

def tell(response):
    headers = {{name.lower(): value for name, value in response.json()["headers"].items()}}
    print(headers.get("traceparent", "- - none").split("-")[2])
    return response
"""


def _paths(run: Run, web: Web) -> list[tuple[str, object]]:
    return [
        (str(span.attributes["url.full"])[len(web.url) :], span.attributes.get("http.request.resend_count"))
        for span in run.spans
    ]


def test_a_token_that_a_transport_fetches_is_traced_and_hands_on_its_context(web: Web, traced: Traced) -> None:
    run = traced(
        TELL.format(library="httpx")
        + """
class Transport(library.HTTPTransport):
    def handle_request(self, request):
        tell(library.post(url + "/echo?token"))
        return super().handle_request(request)

with library.Client(transport=Transport()) as client:
    tell(client.get(url + "/echo?main"))
""",
        web.url,
    )
    main, token = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert _paths(run, web) == [("/echo?main", None), ("/echo?token", None)]
    assert (token.parent_id, run.stdout.split()) == (main.span_id, [token.span_id, main.span_id])


def test_a_token_that_an_adapter_fetches_is_traced_and_hands_on_its_context(web: Web, traced: Traced) -> None:
    run = traced(
        TELL.format(library="requests")
        + """
class Adapter(library.adapters.BaseAdapter):
    inner = library.adapters.HTTPAdapter()

    def send(self, request, **kwargs):
        tell(library.get(url + "/redirect?token"))
        return self.inner.send(request, **kwargs)

    def close(self):
        self.inner.close()

with library.Session() as session:
    session.mount("http://", Adapter())
    tell(session.get(url + "/echo?main"))
""",
        web.url,
    )
    main, token, target = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    # One span for what is handed on; two, the second a resend, for what is asked besides.
    assert _paths(run, web) == [("/echo?main", None), ("/redirect?token", None), ("/echo", 1)]
    assert (token.parent_id, target.parent_id) == (main.span_id, main.span_id)
    assert run.stdout.split() == [target.span_id, main.span_id]


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_a_request_by_the_body_that_is_being_sent_is_traced(library: str, web: Web, traced: Traced) -> None:
    run = traced(
        TELL.format(library=library)
        + f"""
def body():
    yield b"a"
    tell(library.get(url + "/echo?body"))

library.post(url + "/status/200", {"data" if library == "requests" else "content"}=body())
""",
        web.url,
    )
    upload, inner = run.spans
    assert (run.returncode, run.stderr) == (0, "")
    assert _paths(run, web) == [("/status/200", None), ("/echo?body", None)]
    assert (inner.parent_id, run.stdout.split()) == (upload.span_id, [inner.span_id])


def test_a_task_that_a_transport_begins_is_traced_when_the_request_is_over(web: Web, traced: Traced) -> None:
    run = traced(
        TELL.format(library="httpx")
        + """
import asyncio

async def main():
    tasks = []
    over = asyncio.Event()

    async def later(client):
        await over.wait()
        tell(await client.get(url + "/echo?main"))

    class Transport(library.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            if not tasks:
                tasks.append(asyncio.create_task(later(client)))
            return await super().handle_async_request(request)

    async with library.AsyncClient(transport=Transport()) as client:
        tell(await client.get(url + "/echo?main"))
        over.set()
        await asyncio.gather(*tasks)

asyncio.run(main())
""",
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    # Not a resend either.
    assert _paths(run, web) == [("/echo?main", None), ("/echo?main", None)]
    assert run.stdout.split() == [span.span_id for span in run.spans]


def test_adapters_in_threads_that_a_hook_begins_do_not_lose_each_others_spans(web: Web, traced: Traced) -> None:
    run = traced(
        TELL.format(library="requests")
        + """
import contextvars
import threading
from requests.adapters import HTTPAdapter

def send(number):
    HTTPAdapter().send(library.Request("GET", f"{url}/slow?seconds=0.1&n={number}").prepare())

def hook(response, **kwargs):
    threads = [threading.Thread(target=contextvars.copy_context().run, args=(send, number)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

library.get(url + "/echo", hooks={"response": hook})
""",
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(span.attributes["url.full"] for span in run.spans) == [
        f"{web.url}/echo",
        *(f"{web.url}/slow?seconds=0.1&n={number}" for number in range(5)),
    ]
    for span in run.spans[1:]:
        assert span.attributes == web.described(str(span.attributes["url.full"])[len(web.url) :])


def test_one_request_that_several_tasks_send_together_leaves_no_span_open(web: Web, traced: Traced) -> None:
    run = traced(
        TELL.format(library="httpx")
        + """
import asyncio

async def main():
    async with library.AsyncClient() as client, library.AsyncClient() as other:
        async def hedge(request):
            await asyncio.gather(*(other.send(request) for _ in range(3)))

        client.event_hooks = {"request": [hedge]}
        await client.get(url + "/slow?seconds=0.1")

asyncio.run(main())
""",
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [span.attributes["http.response.status_code"] for span in run.spans] == [200] * 4


def test_tasks_that_begin_the_next_by_a_hook_hold_no_calls_of_the_past(traced: Traced) -> None:
    run = traced(
        """
        import asyncio
        import gc
        import httpx
        from otel_run.instrumentors.http_chain import Chain

        async def main():
            over = asyncio.Event()
            running = set()
            numbers = iter(range(50))

            def begin():
                task = asyncio.create_task(client.get("http://host/"))
                running.add(task)
                task.add_done_callback(running.discard)

            async def begin_next(response):
                await asyncio.sleep(0)
                if next(numbers, None) is not None:
                    begin()
                else:
                    gc.collect()
                    print(sum(isinstance(one, Chain) for one in gc.get_objects()) < 10)
                    over.set()

            transport = httpx.MockTransport(lambda request: httpx.Response(200))
            client = httpx.AsyncClient(transport=transport, event_hooks={"response": [begin_next]})
            begin()
            await over.wait()

        asyncio.run(main())
        """,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", "")

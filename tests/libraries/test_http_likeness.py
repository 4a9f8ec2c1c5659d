"""What a program sees of requests and httpx is the same with and without us, to the last exception's cause."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from servers.program import clean_environment

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web

# `tell` prints what a call returns or raises, so that two runs can be compared.
TELL = """
import inspect
import pickle
import re
import sys

url, closed = sys.argv[1:]

def chain(error):
    while error is not None:
        # Some texts hold addresses.
        text = re.sub("(at 0x|scope )[0-9a-f]+", "", str(error))
        yield type(error).__name__, text, error.__suppress_context__
        error = error.__cause__ or error.__context__

def shape(thing):
    return sorted(vars(thing))

def tell(call):
    try:
        print(type(call()).__name__)
    except Exception as error:
        print(*chain(error), error.__cause__ is None, error.__context__ is None)
"""

REQUESTS = """
import requests, urllib3
from requests.adapters import HTTPAdapter, Retry

session = requests.Session()
session.mount(url + "/failing", HTTPAdapter(max_retries=Retry(total=2, backoff_factor=0, status_forcelist=[503])))
for path in ("/echo", "/redirect", "/status/404", "/reset", "/body/cut", "/failing/{key}?with=503,503,503,503"):
    tell(lambda: session.get(url + path, timeout=5))
    tell(lambda: session.get(url + path, timeout=5, stream=True).content)
tell(lambda: session.get(url + "/slow?seconds=2", timeout=0.1))
tell(lambda: session.get(closed))
tell(lambda: session.get("http://"))
tell(lambda: session.send("no request"))
tell(lambda: session.send(requests.Request("GET", url)))
tell(lambda: HTTPAdapter().send(None))
tell(lambda: urllib3.PoolManager().request("GET", closed, retries=False))
for function in (
    requests.Session.send, requests.PreparedRequest.copy, HTTPAdapter.send,
    urllib3.connectionpool.HTTPConnectionPool._make_request, urllib3.response.HTTPResponse.stream,
):
    print(function.__qualname__, function.__module__)
    print(inspect.signature(function), inspect.isgeneratorfunction(function))
response = session.get(url + "/redirect")
print(shape(response), shape(response.request), shape(session), shape(response.raw), len(response.history))
for thing in (session, response, response.request, session.adapters["http://"]):
    copy = pickle.loads(pickle.dumps(thing))
    print(type(copy) is type(thing), shape(copy))

class Mine(requests.Session):
    def send(self, request, **kwargs):
        assert isinstance(self, requests.Session)
        return super().send(request, **kwargs)

tell(lambda: Mine().get(url + "/redirect"))
"""

HTTPX = """
import asyncio
import httpx

def send(client, path, **options):
    return client.get(url + path, **options)

def both(path, **options):
    with httpx.Client(follow_redirects=True, timeout=5) as client:
        tell(lambda: send(client, path, **options))
    async def get():
        async with httpx.AsyncClient(follow_redirects=True, timeout=5) as client:
            return await send(client, path, **options)
    tell(lambda: asyncio.run(get()))

for path in ("/echo", "/redirect", "/status/404", "/reset", "/body/cut"):
    both(path)
both("/slow?seconds=2", timeout=0.1)
tell(lambda: httpx.get(closed))
tell(lambda: httpx.get("nothing://"))
client = httpx.Client()
tell(lambda: client.send("no request"))
tell(lambda: client.send())
client.close()
tell(lambda: client.get(url))
for cls in (httpx.Client, httpx.AsyncClient):
    for name in ("send", "_send_single_request", "_build_redirect_request"):
        function = getattr(cls, name)
        print(function.__qualname__, inspect.signature(function), inspect.iscoroutinefunction(function))
for name in ("read", "aread"):
    function = getattr(httpx.Response, name)
    print(function.__qualname__, inspect.signature(function), inspect.iscoroutinefunction(function))
with httpx.Client(follow_redirects=True) as client:
    response = client.get(url + "/redirect")
    print(shape(response), shape(response.request), shape(client), len(response.history))
for thing in (response, response.request):
    copy = pickle.loads(pickle.dumps(thing))
    print(type(copy) is type(thing), shape(copy))

class Mine(httpx.Client):
    def send(self, request, **kwargs):
        assert isinstance(self, httpx.Client)
        return super().send(request, **kwargs)

tell(lambda: Mine(follow_redirects=True).get(url + "/redirect"))
"""


@pytest.mark.parametrize("source", [REQUESTS, HTTPX], ids=["requests", "httpx"])
@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
def test_the_program_sees_the_same(source: str, sampler: str, web: Web, closed_port: int, traced: Traced) -> None:
    argv = (web.url, f"http://127.0.0.1:{closed_port}/")
    env = {"OTEL_TRACES_SAMPLER": sampler}
    run = traced((TELL + source).replace("{key}", f"with-{sampler}"), *argv, env=env, warnings="ignore")
    (traced.folder / "plain.py").write_text((TELL + source).replace("{key}", f"without-{sampler}"))
    plain = subprocess.run(
        [sys.executable, "plain.py", *argv],
        cwd=traced.folder,
        env={**clean_environment(), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (run.returncode, plain.returncode) == (0, 0), run.stderr + plain.stderr
    told, expected = (re.sub("0x[0-9a-f]+", "", out) for out in (run.stdout.replace("with-", "without-"), plain.stdout))
    assert told.splitlines() == expected.splitlines()
    assert bool(run.spans) == (sampler == "always_on")

"""Clients of HTTP that others instrument: urllib3, urllib, aiohttp and botocore, under `otel-run` with contrib's."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.program import Run
    from servers.web import Web

# How a program may ask for each library, and what it then does with it.
GET_BY_AIOHTTP = """
async def main():
    async with {session}() as session, session.get(url) as response:
        print(response.status)
asyncio.run(main())
"""
PROGRAMS = {
    "urllib3": ("import urllib3", "print(urllib3.PoolManager().request('GET', url).status)"),
    "urllib3, a name": ("from urllib3 import PoolManager", "print(PoolManager().request('GET', url).status)"),
    "urllib3, a submodule": (
        "from urllib3.poolmanager import PoolManager",
        "print(PoolManager().request('GET', url).status)",
    ),
    "urllib": ("import urllib.request", "print(urllib.request.urlopen(url).status)"),
    "urllib, a name": ("from urllib.request import urlopen", "print(urlopen(url).status)"),
    "aiohttp_client": ("import asyncio, aiohttp", GET_BY_AIOHTTP.format(session="aiohttp.ClientSession")),
    "aiohttp_client, a name": (
        "import asyncio; from aiohttp import ClientSession",
        GET_BY_AIOHTTP.format(session="ClientSession"),
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_request_is_a_span_below_the_program_s_own(program: str, web: Web, alike: Callable[..., Run]) -> None:
    imports, call = PROGRAMS[program]
    source = f"""
{imports}
from opentelemetry import trace
url = sys.argv[1]
with trace.get_tracer("app").start_as_current_span("parent"):
{textwrap.indent(call, "    ")}
"""
    run = alike(source, web.url + "/echo")
    parent, span = run.spans
    assert run.stdout == "200\n"
    assert (span.name, span.kind, span.status) == ("GET", "CLIENT", "UNSET")
    assert span.scope == "opentelemetry.instrumentation." + program.partition(",")[0]
    assert (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)


def test_urllib3_below_requests_makes_no_second_span(web: Web, alike: Callable[..., Run]) -> None:
    run = alike("import requests; print(requests.get(sys.argv[1]).status_code)", web.url + "/echo")
    assert [span.scope for span in run.spans] == ["otel_run.instrumentors.requests"]


def test_urllib3_beside_requests_makes_its_own(web: Web, alike: Callable[..., Run]) -> None:
    run = alike(
        "import requests, urllib3; print(urllib3.PoolManager().request('GET', sys.argv[1]).status)", web.url + "/echo"
    )
    assert [span.scope for span in run.spans] == ["opentelemetry.instrumentation.urllib3"]


AWS = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_MAX_ATTEMPTS": "1",
}


def test_a_call_of_aws_is_a_span(web: Web, alike: Callable[..., Run]) -> None:
    run = alike(
        """
import botocore.session
client = botocore.session.get_session().create_client("s3", endpoint_url=sys.argv[1])
print(client.head_object(Bucket="echo", Key="x")["ResponseMetadata"]["HTTPStatusCode"])
""",
        web.url,
        env=AWS,
    )
    assert run.stdout == "200\n"
    (span,) = [span for span in run.spans if span.scope.startswith("opentelemetry.instrumentation.botocore")]
    assert (span.name, span.kind) == ("S3.HeadObject", "CLIENT")
    # Its request goes over a copy of urllib3's connections, and is no second call of anybody's.
    assert len(run.spans) == 1

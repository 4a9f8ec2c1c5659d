"""redis-py where some requests are kept and others are not: the kept ones are told whole, the others not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libraries.sampled_programs import LOOKING, REQUESTS, at_start

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

SYNC = (
    REQUESTS
    + """
import sys
import redis

client = redis.Redis.from_url(sys.argv[1])

def everything():
    client.set("k", "v")
    assert client.get("k") == b"v"
    with client.pipeline() as pipe:
        pipe.watch("k")
        pipe.multi()
        pipe.set("k", "v").get("k")
        pipe.execute()
    assert client.register_script("return 1")() == 1
    subscription = client.pubsub()
    subscription.subscribe("news")
    subscription.close()
    try:
        client.lpush("k", 1)
    except redis.ResponseError:
        pass
"""
)
ASYNC = (
    REQUESTS
    + """
import asyncio, sys
import redis, redis.asyncio

async def everything(client):
    await client.set("k", "v")
    assert await client.get("k") == b"v"
    async with client.pipeline() as pipe:
        await pipe.watch("k")
        pipe.multi()
        pipe.set("k", "v").get("k")
        await pipe.execute()
    assert await client.register_script("return 1")() == 1
    subscription = client.pubsub()
    await subscription.subscribe("news")
    await subscription.aclose()
    try:
        await client.lpush("k", 1)
    except redis.ResponseError:
        pass
"""
)
REQUESTS_OF_BOTH_KINDS = {
    "sync": SYNC
    + """
for enter in (dropped, kept, dropped, kept):
    with enter():
        everything()
    assert_outside()
""",
    "async": ASYNC
    + """
async def main():
    async with redis.asyncio.Redis.from_url(sys.argv[1]) as client:
        for enter in (dropped, kept, dropped, kept):
            with enter():
                await everything(client)
            assert_outside()

asyncio.run(main())
""",
}
NAMES = ["SET", "GET", "WATCH", "MULTI", "EVALSHA", "SUBSCRIBE", "LPUSH"]


@pytest.mark.parametrize("style", ["sync", "async"])
def test_one_client_serves_requests_of_both_kinds(style: str, valkey: Server, traced: Traced) -> None:
    run = traced(REQUESTS_OF_BOTH_KINDS[style], valkey.url)
    assert (run.returncode, run.stderr) == (0, ""), run
    calls = [span for span in run.spans if span.kind == "CLIENT"]
    assert [span.name for span in calls] == NAMES * 2
    assert [span.status for span in calls] == [*["UNSET"] * 6, "ERROR"] * 2
    assert calls[1].attributes == {
        "db.system.name": "redis",
        "db.namespace": "0",
        "db.operation.name": "GET",
        "db.query.text": "GET k",
        "db.response.returned_rows": 1,
        "server.address": valkey.host,
        "server.port": valkey.port,
    }
    assert {span.parent_id for span in calls} == {span.span_id for span in run.spans if span.name == "request"}


@pytest.mark.parametrize("style", ["sync", "async"])
def test_nothing_is_told_where_nothing_is_kept(style: str, valkey: Server, traced: Traced) -> None:
    source = REQUESTS_OF_BOTH_KINDS[style].replace("with enter():", "if True:")
    run = traced(source, valkey.url, env={"OTEL_TRACES_SAMPLER": "always_off"})
    assert (run.returncode, run.stderr, run.spans) == (0, "", [])


def test_a_pipeline_belongs_to_the_request_that_runs_it(valkey: Server, traced: Traced) -> None:
    source = SYNC + (
        "for outer, inner in ((kept, dropped), (dropped, kept)):\n"
        "    with outer():\n"
        "        pipe = client.pipeline(transaction=False).get('k').get('other')\n"
        "    with inner():\n"
        "        pipe.execute()\n"
    )
    run = traced(source, valkey.url)
    assert (run.returncode, run.stderr) == (0, ""), run
    told = [span.attributes["db.query.text"] for span in run.spans if span.kind == "CLIENT"]
    assert told == ["GET k; GET other"]


def test_a_pool_that_is_sent_elsewhere_is_told_where_it_is_now(valkey: Server, traced: Traced) -> None:
    source = SYNC + (
        "client.get('k')\n"
        "client.connection_pool.connection_kwargs['db'] = 3\n"
        "client.connection_pool.disconnect()\n"
        "client.get('k')\n"
    )
    run = traced(source, valkey.url)
    assert [span.attributes["db.namespace"] for span in run.spans] == ["0", "3"]


def test_a_sampler_that_looks_at_attributes_sees_them_all(valkey: Server, traced: Traced) -> None:
    looking = traced(
        LOOKING
        + SYNC
        + "with trace.get_tracer('app').start_as_current_span('request'):\n    everything()\nprint(json.dumps(seen))",
        valkey.url,
    )
    recorded = traced(SYNC + "everything()", valkey.url)
    assert (looking.returncode, looking.stderr, looking.spans) == (0, "", [])
    seen = json.loads(looking.stdout)
    assert [name for name, _ in seen] == ["request", *NAMES]
    for (_, attributes), span in zip(seen[1:], recorded.spans, strict=True):
        assert attributes == at_start(span)

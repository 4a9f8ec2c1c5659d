"""Programs that use redis-py, written once for both of its styles, and the spans that they leave.

In every program the address is the first argument, `r` the client, and "s3cret" a value or a part of one.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run

VERSION = tuple(int(number) for number in redis.__version__.split(".")[:2])
HAS_ASYNCIO = VERSION >= (4, 2)
STYLES = ["sync", "asyncio"] if HAS_ASYNCIO else ["sync"]

_SYNC = """\
import sys, redis
r = redis.{client}.from_url(sys.argv[1]{options})
{body}
"""
_ASYNCIO = """\
import asyncio, sys
import redis.asyncio as redis

async def main():
    r = redis.{client}.from_url(sys.argv[1]{options})
{body}
    await (r.aclose() if hasattr(r, "aclose") else r.close())

asyncio.run(main())
"""


def program(style: str, body: str, options: str = "", client: str = "Redis") -> str:
    """Return a program in `style`; `body` is written for asyncio, and the `await`s are taken out of it for sync.

    It empties the database first: that is the first span of each.
    """
    body = "await r.flushdb()\n" + textwrap.dedent(body)
    options = f", {options}" if options else ""
    if style == "asyncio":
        return _ASYNCIO.format(client=client, options=options, body=textwrap.indent(body, "    "))
    body = re.sub(r"\b(await|async) ", "", body).replace("aclose()", "close()").replace("StopAsync", "Stop")
    return _SYNC.format(client=client, options=options, body=body)


def described(server: Server, operation: str, query: str, **others: Any) -> dict[str, Any]:
    """Return the attributes of a call; `__` stands for the dot in a name."""
    return {
        "db.system.name": "redis",
        "db.operation.name": operation,
        "db.namespace": "0",
        "db.query.text": query,
        "server.address": server.host,
        "server.port": server.port,
    } | {name.replace("__", "."): value for name, value in others.items()}


def call(server: Server, operation: str, query: str, **others: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the attributes of a call."""
    return operation, described(server, operation, query, **others)


HIT, MISS = {"db__response__returned_rows": 1}, {"db__response__returned_rows": 0}


def assert_spans(run: Run, *expected: tuple[str, dict[str, Any]]) -> None:
    """Compare names and attributes of all spans behind the one that empties the database."""
    assert run.returncode == 0, run
    told = [(span.name, span.attributes) for span in run.spans]
    first = 1 + next(at for at, (name, _) in enumerate(told) if name == "FLUSHDB")
    assert told[first:] == list(expected), run
    assert {span.kind for span in run.spans} == {"CLIENT"}
    assert "s3cret" not in repr(run.spans)
    assert run.stderr == ""

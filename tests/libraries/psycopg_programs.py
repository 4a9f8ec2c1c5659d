"""Programs that use psycopg, sync and async, and the whole spans that are expected of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run

# In every program: the address is the first argument, `c` a connection in a transaction of its own, and
# "s3cret" and 731 are values or parts of one. ASYNC is the same with each `await` in place.
SYNC = """
import sys, psycopg
from psycopg import sql

with psycopg.connect(sys.argv[1]) as c:
{body}
"""
ASYNC = """
import asyncio, sys, psycopg
from psycopg import sql

async def main():
    async with await psycopg.AsyncConnection.connect(sys.argv[1]) as c:
{body}

asyncio.run(main())
"""
STYLES = pytest.mark.parametrize("style", ["sync", "async"])


def program(style: str, body: str) -> str:
    """Return `body`, written for asyncio with `await` and `async`, as a whole program."""
    lines = body.strip("\n").splitlines()
    text = "\n".join("    " + line for line in lines)
    if style == "sync":
        plain = "\n".join(line[4:] for line in text.splitlines())
        plain = plain.replace("await ", "").replace("async ", "").replace("Async", "")
        # psycopg 3.1 has the method for asyncio alone.
        return SYNC.format(body=plain.replace("c.set_autocommit(True)", "c.autocommit = True"))
    return ASYNC.format(body=text)


class Described:
    """The attributes of spans on one server."""

    def __init__(self, server: Server) -> None:
        self.database = {
            "db.system.name": "postgresql",
            "db.namespace": "postgres",
            "server.address": server.host,
            "server.port": server.port,
        }

    def __call__(self, summary: str, text: str | None = None, collection: str = "", **others: Any) -> dict[str, Any]:
        """Return the attributes of a statement of one operation; `summary` is its text if no other is given."""
        operation = summary.removesuffix(" " + collection) if collection else summary
        return {
            **self.database,
            "db.query.summary": summary,
            "db.operation.name": operation,
            "db.query.text": text or summary,
            **({"db.collection.name": collection} if collection else {}),
            **{name.replace("__", "."): value for name, value in others.items()},
        }


def assert_spans(run: Run, *expected: dict[str, Any]) -> None:
    """Compare names, kinds, attributes and statuses; the program must have said nothing and told no secret."""
    assert run.returncode == 0, run
    assert [span.attributes for span in run.spans] == list(expected), run
    for span in run.spans:
        assert span.name == span.attributes["db.query.summary"]
        assert span.kind == "CLIENT"
        assert span.scope == "otel_run.instrumentors.psycopg"
        assert (span.status == "ERROR") == ("error.type" in span.attributes)
    assert "s3cret" not in repr(run.spans)
    assert "731" not in repr([(span.attributes, span.events, span.status_message) for span in run.spans])
    assert run.stderr == ""

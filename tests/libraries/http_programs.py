"""Pieces of the programs that the tests of HTTP clients run."""

from __future__ import annotations

# At the end nothing of ours is left that still waits for a body.
NOTHING_LEFT = """
        import gc
        from opentelemetry import context
        from otel_run.instrumentors import http_chain, http_exchange
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, (http_chain.Chain, http_exchange.Exchange))]
        assert not kept, kept
        assert http_chain.current() is None
        assert not context.get_current()
"""

# A program for either client of httpx: put its name for {client}, and for {body} what `main` does (indented by 4).
BOTH_CLIENTS = """
import asyncio
import inspect
import sys
import httpx
from opentelemetry import context, trace

Client = httpx.{client}
url = sys.argv[1]

async def result(value):
    return await value if inspect.isawaitable(value) else value

async def close(client):
    await result(client.aclose() if Client is httpx.AsyncClient else client.close())

async def main():
{body}
    assert not context.get_current()

asyncio.run(main())
"""

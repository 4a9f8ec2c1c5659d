"""grpc under `otel-run` with contrib's instrumentors: the call and its handling are two spans of one trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.program import Run

SYNC = """
from concurrent import futures
{imports}
def shout(request, context):
    return request.upper()
handler = grpc.method_handlers_generic_handler("Shouter", {{"Shout": grpc.unary_unary_rpc_method_handler(shout)}})
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_generic_rpc_handlers((handler,))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{{port}}") as channel:
    print(channel.unary_unary("/Shouter/Shout")(b"loud", timeout=5))
server.stop(None).wait()
"""

ASYNC = """
import asyncio
{imports}
async def shout(request, context):
    return request.upper()
async def main():
    handler = grpc.method_handlers_generic_handler("Shouter", {{"Shout": grpc.unary_unary_rpc_method_handler(shout)}})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{{port}}") as channel:
        print(await channel.unary_unary("/Shouter/Shout")(b"loud", timeout=5))
    await server.stop(None)
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("program", "imports"),
    [(SYNC, "import grpc"), (ASYNC, "import grpc, grpc.aio"), (ASYNC, "from grpc import aio; import grpc")],
)
def test_a_call_is_a_span_and_so_is_its_handling(program: str, imports: str, alike: Callable[..., Run]) -> None:
    # Its C part tells of the goodbye between client and server, or not, as it happens.
    run = alike(program.format(imports=imports), env={"GRPC_VERBOSITY": "NONE"})
    assert run.stdout == "b'LOUD'\n"
    assert sorted((span.kind, span.scope.partition(".grpc")[0]) for span in run.spans) == [
        ("CLIENT", "opentelemetry.instrumentation"),
        ("SERVER", "opentelemetry.instrumentation"),
    ], run
    client, server = sorted(run.spans, key=lambda span: span.kind)
    assert (server.trace_id, server.parent_id) == (client.trace_id, client.span_id)

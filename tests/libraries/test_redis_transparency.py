"""A program sees the same redis-py with and without us, and nothing of ours is left when it is taken back."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from libraries.redis_programs import HAS_ASYNCIO, STYLES, call, program
from servers.program import clean_environment

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

# What the program can see of a call: results, exceptions and what they carry, the library's classes.
SEEN = """
    import inspect, pickle
    from redis import exceptions
    from redis.backoff import NoBackoff
    await r.script_flush()
    answer = object()
    r.set_response_callback("GET", lambda response, **options: answer)
    print(await r.get("k") is answer)

    async def failing(name, start):
        try:
            raise KeyError("the program's own")
        except KeyError:
            try:
                await start()
            except Exception as error:
                chain = []
                while error is not None:
                    chain.append((type(error).__name__, str(error), sorted(vars(error)), error.__suppress_context__))
                    chain.append(("cause", type(error.__cause__).__name__))
                    error = error.__context__
                print(name, *chain, sep="\\n  ")

    await r.set("text", "s3cret")
    n = redis.Redis(host="127.0.0.1", port=1, retry=redis.retry.Retry(NoBackoff(), 0))
    p = r.pipeline()
    p.set("x", 1).incr("text")
    q = r.pipeline()
    q.execute_command("NONSENSE")
    script = r.register_script("return redis.error_reply('MY s3cret')")
    sub = n.pubsub()
    w = r.pipeline()
    await w.watch("text")
    await r.set("text", "other")
    w.multi()
    w.get("text")
    await failing("wrong type", lambda: r.lpush("text", 1))
    await failing("unknown", lambda: r.execute_command("NONSENSE"))
    await failing("no arguments", lambda: r.execute_command())
    await failing("not encodable", lambda: r.set("k", {}))
    await failing("refused", lambda: n.get("k"))
    await failing("pipeline", p.execute)
    await failing("aborted", q.execute)
    await failing("watched", w.execute)
    await failing("script", script)
    await failing("subscribing", lambda: sub.subscribe("s3cret"))
    for cls in (redis.Redis, redis.client.Pipeline, redis.client.PubSub, redis.BlockingConnectionPool):
        print(pickle.loads(pickle.dumps(cls)) is cls, cls.__mro__)
        print(*(name for name in dir(cls) if name[:2] != "__"))
    print(pickle.loads(pickle.dumps(exceptions.ResponseError("x"))))
    for thing in (r, p, sub, r.connection_pool):
        try:
            print(len(pickle.dumps(thing)))
        except Exception as error:
            print(type(error).__name__)
        print(isinstance(thing, redis.Redis), type(thing))
    await n.connection_pool.disconnect()
"""


@pytest.mark.parametrize("style", STYLES)
def test_a_program_sees_the_same_library(style: str, valkey: Server, traced: Traced) -> None:
    source = program(style, SEEN)
    run = traced(source, valkey.url)
    plain = subprocess.run(
        [sys.executable, "app.py", valkey.url],
        cwd=traced.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, plain.returncode, run.stderr) == (0, 0, plain.stderr), run
    assert "script" in run.stdout
    assert run.stdout == plain.stdout


INSPECTED = """
    import inspect, sys
    import redis
    {also}
    from otel_run.instrumentors.redis import RedisInstrumentor
    patches = list(RedisInstrumentor()._applied)
    for patch in patches:
        now, before = vars(patch.owner)[patch.name], patch._found
        assert now is not before, patch.name
        for see in (inspect.signature, inspect.iscoroutinefunction, lambda f: (f.__name__, f.__qualname__, f.__doc__)):
            assert see(now) == see(before), patch.name
    RedisInstrumentor().uninstrument()
    for patch in patches:
        owned = vars(patch.owner).get(patch.name)
        assert owned is (patch._found if patch._is_own else None), patch.name
    r = redis.Redis.from_url(sys.argv[1])
    r.get("unseen")
    RedisInstrumentor().instrument()
    r.get("seen")
    print(len(patches) > 5)
"""


@pytest.mark.parametrize("also", ["", *(["import redis.asyncio"] if HAS_ASYNCIO else [])])
def test_what_is_patched_looks_alike_and_can_be_taken_back(also: str, valkey: Server, traced: Traced) -> None:
    run = traced(INSPECTED.replace("{also}", also), valkey.url)
    assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", ""), run
    assert [span.attributes["db.query.text"] for span in run.spans] == ["GET seen"]


@pytest.mark.skipif(not HAS_ASYNCIO, reason="asyncio came with redis-py 4.2")
def test_asyncio_that_is_imported_after_a_new_start_is_traced_once(valkey: Server, traced: Traced) -> None:
    source = """
    import sys, types
    import redis
    from otel_run.instrumentors.redis import RedisInstrumentor
    # Since redis-py 4.5 it comes along by itself; as if it did not.
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("redis.asyncio")}
    for _ in range(2):
        RedisInstrumentor().uninstrument()
        RedisInstrumentor().instrument()
    import asyncio
    import redis.asyncio
    async def main():
        r = redis.asyncio.Redis.from_url(sys.argv[1])
        await r.get("k")
        await r.connection_pool.disconnect()
    asyncio.run(main())
    RedisInstrumentor().uninstrument()
    asyncio.run(main())
    """
    run = traced(source, valkey.url)
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [span.name for span in run.spans] == ["GET"]


def test_a_version_of_another_shape_is_declined_as_a_whole(valkey: Server, traced: Traced) -> None:
    source = """
    import sys
    import redis
    from otel_run.instrumentors.redis import RedisInstrumentor
    from otel_run.patching.wrap import DoesNotFit
    instrumentor = RedisInstrumentor()
    instrumentor.uninstrument()
    before = redis.Redis.execute_command
    del redis.client.PubSub.execute_command
    try:
        instrumentor._instrument()
    except DoesNotFit as why:
        print(why)
    print(redis.Redis.execute_command is before, redis.Redis.from_url(sys.argv[1]).get("k"))
    """
    run = traced(textwrap.dedent(source), valkey.url)
    assert run.stdout == "redis.client.PubSub has no execute_command\nTrue None\n", run
    assert run.spans == []


def test_a_call_has_the_programs_span_for_its_parent_and_leaves_it_current(valkey: Server, traced: Traced) -> None:
    body = """
    from opentelemetry import context, trace
    with trace.get_tracer("test").start_as_current_span("program"):
        before = context.get_current()
        r.get("k")
        assert context.get_current() == before
        try:
            r.execute_command("NONSENSE")
        except redis.ResponseError:
            assert context.get_current() == before
        assert context.get_current() == before
    """
    run = traced(program("sync", body), valkey.url)
    assert run.returncode == 0, run
    ours = run.span("program").span_id
    told = [(span.name, span.parent_id) for span in run.spans if span.kind == "CLIENT"][1:]
    assert told == [("GET", ours), ("NONSENSE", ours)]
    assert run.span("GET").attributes == call(valkey, "GET", "GET k", db__response__returned_rows=0)[1]


@pytest.mark.skipif(not HAS_ASYNCIO, reason="redis-py without asyncio")
def test_a_connection_does_not_keep_the_values_of_the_command_that_opened_it(valkey: Server, traced: Traced) -> None:
    source = """
        import asyncio, gc, sys, weakref
        import redis.asyncio

        class Value(str):
            pass

        async def main():
            client = redis.asyncio.Redis.from_url(sys.argv[1])
            value = Value("a large one")
            kept = weakref.ref(value)
            await client.set("k", value)
            del value
            gc.collect()
            print(kept())
            await (client.aclose() if hasattr(client, "aclose") else client.close())

        asyncio.run(main())
    """
    run = traced(textwrap.dedent(source), valkey.url)
    assert (run.returncode, run.stdout, run.stderr) == (0, "None\n", "")
    assert [span.name for span in run.spans] == ["SET"]

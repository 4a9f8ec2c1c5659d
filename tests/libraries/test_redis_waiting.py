"""redis-py calls that wait: for data, for a connection of the pool, for a server, and that are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.redis_programs import HAS_ASYNCIO, HIT, MISS, STYLES, VERSION, assert_spans, call, program

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

THRESHOLD = "10"  # ms, the default of OTEL_RUN_CONNECTION_THRESHOLD

BLOCKING = """
    print(await r.blpop("none", 1), await r.brpop(["none", "nothing"], 1), await r.bzpopmin("none", 1))
    print(await r.xread({"none": 0}, block=10), await r.wait(0, 10))
    print(await r.execute_command("BLMOVE", "none", "none", "LEFT", "RIGHT", 0.01))
    await r.lpush("list", "s3cret")
    print(await r.blpop("list", 1))
"""


@pytest.mark.parametrize("style", STYLES)
def test_a_blocking_command_that_nothing_came_for_is_no_error(style: str, valkey: Server, traced: Traced) -> None:
    run = traced(program(style, BLOCKING), valkey.url)
    assert run.stdout.splitlines()[0] == "None None None"
    assert_spans(
        run,
        call(valkey, "BLPOP", "BLPOP none ?"),
        call(valkey, "BRPOP", "BRPOP none nothing ?"),
        call(valkey, "BZPOPMIN", "BZPOPMIN none ?"),
        call(valkey, "XREAD", "XREAD ? ? STREAMS none ?"),
        call(valkey, "WAIT", "WAIT ? ?"),
        call(valkey, "BLMOVE", "BLMOVE none none ? ? ?"),
        call(valkey, "LPUSH", "LPUSH list ?"),
        call(valkey, "BLPOP", "BLPOP list ?"),
    )
    assert {span.status for span in run.spans} == {"UNSET"}


# The messages come behind the confirmations of what was subscribed to.
SUBSCRIBED = """
    p = r.pubsub()
    await p.subscribe("news", "sport")
    await p.psubscribe("w*")
    if hasattr(p, "ssubscribe"):
        await p.ssubscribe("shard")
    for _ in range(5):
        await p.get_message(timeout=0.05)
    await r.publish("news", "s3cret")
    print((await p.get_message(timeout=5))["data"])
    await r.publish("sport", "s3cret")
    async for message in p.listen():
        print(message["data"])
        break
    await p.unsubscribe("news")
    await p.unsubscribe()
    await p.aclose()
"""


@pytest.mark.parametrize("style", STYLES)
def test_subscribing_is_a_call_and_listening_is_none(style: str, valkey: Server, traced: Traced) -> None:
    body = SUBSCRIBED
    if style == "asyncio" and VERSION < (5, 0):
        body = body.replace("p.aclose()", "p.close()")
    run = traced(program(style, body), valkey.url)
    shards = ((8, 0) if style == "asyncio" else (5, 0)) <= VERSION
    shard = [call(valkey, "SSUBSCRIBE", "SSUBSCRIBE shard")] if shards else []
    assert run.stdout == "b's3cret'\nb's3cret'\n", run
    assert_spans(
        run,
        call(valkey, "SUBSCRIBE", "SUBSCRIBE news sport"),
        call(valkey, "PSUBSCRIBE", "PSUBSCRIBE w*"),
        *shard,
        call(valkey, "PUBLISH", "PUBLISH news ?"),
        call(valkey, "PUBLISH", "PUBLISH sport ?"),
        call(valkey, "UNSUBSCRIBE", "UNSUBSCRIBE news"),
        call(valkey, "UNSUBSCRIBE", "UNSUBSCRIBE"),
    )


RETRIED = """
    from redis.backoff import ConstantBackoff
    Retry = __import__(redis.__name__ + ".retry", fromlist=["Retry"]).Retry
    tries = 0
    class Flaky(redis.Connection):
        async def read_response(self, *args, **options):
            global tries
            tries += 1
            if tries < 3:
                raise redis.ConnectionError("lost")
            return await super().read_response(*args, **options)
    kwargs = {k: r.connection_pool.connection_kwargs[k] for k in ("host", "port")}
    retry = Retry(ConstantBackoff(0.01), 5)
    pool = redis.ConnectionPool(connection_class=Flaky, retry=retry, **kwargs, **MORE)
    f = redis.Redis(connection_pool=pool)
    print(await f.get("k"), tries > 2)
    await pool.disconnect()
"""


@pytest.mark.skipif(VERSION < (5, 0), reason="redis-py 4 asks for errors to retry on in another way")
@pytest.mark.parametrize("style", STYLES)
def test_retries_inside_one_call_are_one_span(style: str, valkey: Server, traced: Traced) -> None:
    # Until redis-py 6 a client asks for the errors to retry on.
    more = '{"protocol": 2, "lib_name": None, "lib_version": None, "retry_on_error": [redis.ConnectionError]}'
    run = traced(
        program(style, RETRIED.replace("MORE", more).replace("global", "nonlocal" if style == "asyncio" else "global")),
        valkey.url,
    )
    assert run.stdout == "None True\n", run
    assert_spans(run, call(valkey, "GET", "GET k", **MISS))
    assert run.span("GET").status == "UNSET"


# Not in asyncio: there redis-py 8 raises.
def test_a_lost_connection_is_made_again_inside_the_call(valkey: Server, traced: Traced) -> None:
    body = """
    await r.set("k", "s3cret")
    other = redis.Redis.from_url(sys.argv[1])
    await other.client_kill_filter(_type="normal", skipme=True)
    print(await r.get("k"))
    await other.connection_pool.disconnect()
    """
    run = traced(program("sync", body), valkey.url)
    assert run.stdout == "b's3cret'\n", run
    assert_spans(
        run,
        call(valkey, "SET", "SET k ?"),
        call(valkey, "CLIENT KILL", "CLIENT KILL" + " ?" * 4),
        call(valkey, "GET", "GET k", **HIT),
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_timeout_is_an_error(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    import time
    options = dict(socket_timeout=0.2, **NO_RETRY)
    t = redis.Redis.from_url(sys.argv[1], **options)
    try:
        await t.execute_command("BLPOP", "none", 5)
    except redis.TimeoutError as error:
        print(type(error).__name__)
    await t.connection_pool.disconnect()
    """
    no_retry = '{"retry": None}' if VERSION >= (6, 0) else "{}"
    run = traced(program(style, body.replace("NO_RETRY", no_retry)), valkey.url)
    assert run.stdout == "TimeoutError\n", run
    assert_spans(run, call(valkey, "BLPOP", "BLPOP none ?", error__type="redis.exceptions.TimeoutError"))
    assert run.span("BLPOP").status == "ERROR"
    assert "Timeout" in run.span("BLPOP").status_message


POOLED = """
    from opentelemetry import trace
    tracer = trace.get_tracer("test")
    pool = redis.BlockingConnectionPool.from_url(sys.argv[1], max_connections=1, timeout=TIMEOUT)
    p = redis.Redis(connection_pool=pool)
    await p.get("k")
    held = await pool.get_connection("_")
"""
FREED = {
    "sync": """
    import threading
    threading.Timer(0.3, pool.release, [held]).start()
    p.get("k")
    """,
    "asyncio": """
    async def release():
        await asyncio.sleep(0.3)
        await pool.release(held)
    task = asyncio.create_task(release())
    await p.get("k")
    await task
    await pool.disconnect()
    """,
}


@pytest.mark.skipif(VERSION < (5, 0), reason="until redis-py 5 a pool of asyncio can't be asked whether it is empty")
@pytest.mark.parametrize("style", STYLES)
def test_a_noticeable_wait_for_a_pool_is_a_span_inside_the_call(style: str, valkey: Server, traced: Traced) -> None:
    body = POOLED.replace("TIMEOUT", "5") + FREED[style]
    run = traced(program(style, body), valkey.url, warnings="ignore")
    assert [span.name for span in run.spans] == ["FLUSHDB", "GET", "GET", "WAIT FOR POOL"], run
    waited = run.spans[3]
    assert (waited.kind, waited.status, waited.parent_id) == ("INTERNAL", "UNSET", run.spans[2].span_id)
    address = {"server.address": valkey.host, "server.port": valkey.port}
    assert waited.attributes == {"db.system.name": "redis", **address}
    assert waited.end - waited.start > 0.1 * 10**9


@pytest.mark.skipif(VERSION < (5, 0), reason="until redis-py 5 a pool of asyncio can't be asked whether it is empty")
@pytest.mark.parametrize("style", STYLES)
def test_a_pool_that_stays_empty_is_an_error(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    try:
        await p.get("k")
    except redis.ConnectionError as error:
        print(error)
    await pool.release(held)
    await pool.disconnect()
    """
    run = traced(program(style, POOLED.replace("TIMEOUT", "0.1") + body), valkey.url, warnings="ignore")
    assert run.stdout == "No connection available.\n", run
    failed, *waited = run.spans[2:]
    # In asyncio it is the call's alone.
    names = ["WAIT FOR POOL"] if style == "sync" else []
    assert [(span.name, span.parent_id) for span in waited] == [(name, failed.span_id) for name in names]
    for span in (failed, *waited):
        assert (span.status, span.status_message) == ("ERROR", "No connection available.")
        assert span.attributes["error.type"] == "redis.exceptions.ConnectionError"


@pytest.mark.skipif(not HAS_ASYNCIO, reason="asyncio came with redis-py 4.2")
def test_a_hundred_parallel_commands_keep_their_parents(valkey: Server, traced: Traced) -> None:
    body = """
    from opentelemetry import context, trace
    tracer = trace.get_tracer("test")
    async def work(number):
        with tracer.start_as_current_span(f"task {number}"):
            await r.get(f"key {number}")
            p = r.pipeline()
            p.get(f"key {number}")
            await p.execute()
            before = context.get_current()
            try:
                await r.execute_command("NONSENSE")
            except redis.ResponseError:
                pass
            assert context.get_current() == before
    await asyncio.gather(*(work(number) for number in range(100)))
    """
    run = traced(program("asyncio", body), valkey.url, expect=401)
    assert (run.returncode, run.stderr) == (0, ""), run
    tasks = {span.span_id: span.name.removeprefix("task ") for span in run.spans if span.kind == "INTERNAL"}
    told = [
        (span.name, span.attributes["db.query.text"], tasks[span.parent_id]) for span in run.spans if span.parent_id
    ]
    for number in map(str, range(100)):
        assert sorted((name, text) for name, text, task in told if task == number) == [
            ("GET", f'GET "key {number}"'),
            ("MULTI GET", f'GET "key {number}"'),
            ("NONSENSE", "NONSENSE"),
        ]


@pytest.mark.skipif(VERSION < (4, 5), reason="a cancelled pipeline of older versions raises a TypeError of its own")
def test_cancelled_calls_of_every_kind_are_no_errors(valkey: Server, traced: Traced) -> None:
    body = """
    import contextlib
    from opentelemetry import context
    script = r.register_script("local i = 0 while i < 100000000 do i = i + 1 end return 1")
    p = r.pipeline(transaction=False)
    p.blpop("none", 1)
    before = context.get_current()
    for start in (lambda: r.brpop("none", 1), p.execute, script):
        task = asyncio.ensure_future(start())
        await asyncio.sleep(0.2)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert context.get_current() == before
    """
    run = traced(program("asyncio", body), valkey.url)
    assert run.returncode == 0, run
    assert [(span.name, span.status, span.events) for span in run.spans[1:]] == [
        ("BRPOP", "UNSET", []),
        ("PIPELINE BLPOP", "UNSET", []),
        ("EVALSHA", "UNSET", []),
    ]

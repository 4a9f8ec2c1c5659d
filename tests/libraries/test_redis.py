"""redis-py under `otel-run`, against a real server: one span for each call, and no value in any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_run.masking.redis import split, text

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced

# In every program: the address is the first argument, and "s3cret" is a value or a part of one.
SYNC = """
import sys, redis
r = redis.Redis.from_url(sys.argv[1])
"""
ASYNC = """
import asyncio, sys
import redis.asyncio as redis

async def main():
    async with redis.Redis.from_url(sys.argv[1]) as r:
{body}

asyncio.run(main())
"""


def sync(body: str) -> str:
    return SYNC + "r.flushdb()\n" + "\n".join(line[8:] for line in body.splitlines())


def in_asyncio(body: str) -> str:
    lines = ["await r.flushdb()", *(line[8:] for line in body.splitlines())]
    return ASYNC.format(body="\n".join("        " + line for line in lines))


def described(server: Server, operation: str, query: str, **others: Any) -> dict[str, Any]:
    """Return the attributes of a call."""
    return {
        "db.system.name": "redis",
        "db.operation.name": operation,
        "db.namespace": "0",
        "db.query.text": query,
        "server.address": server.host,
        "server.port": server.port,
    } | {name.replace("__", "."): value for name, value in others.items()}


def assert_spans(run: Run, *expected: tuple[str, dict[str, Any]]) -> None:
    """Compare names and attributes of all spans but the first, which empties the database."""
    assert run.returncode == 0, run
    assert [(span.name, span.attributes) for span in run.spans[1:]] == list(expected), run
    assert {span.kind for span in run.spans} == {"CLIENT"}
    assert "s3cret" not in repr(run.spans)
    assert run.stderr == ""


COMMANDS = """
        await r.set("user:1", "s3cret")
        await r.get("user:1")
        await r.get("user:2")
        await r.hset("h", mapping={"name": "s3cret", "mail": "s3cret@example.com"})
        await r.hgetall("nobody")
        await r.mget(["user:1", "user:2"])
        await r.expire("user:1", 60)
        await r.execute_command("set user:3 s3cret")
"""


@pytest.mark.parametrize("style", ["sync", "asyncio"])
def test_a_command_is_a_span_with_its_keys_and_without_its_values(style: str, valkey: Server, traced: Traced) -> None:
    source = in_asyncio(COMMANDS) if style == "asyncio" else sync(COMMANDS.replace("await ", ""))
    run = traced(source, valkey.url)
    assert_spans(
        run,
        ("SET", described(valkey, "SET", "SET user:1 ?")),
        ("GET", described(valkey, "GET", "GET user:1", db__response__returned_rows=1)),
        ("GET", described(valkey, "GET", "GET user:2", db__response__returned_rows=0)),
        ("HSET", described(valkey, "HSET", "HSET h name ? mail ?")),
        ("HGETALL", described(valkey, "HGETALL", "HGETALL nobody", db__response__returned_rows=0)),
        ("MGET", described(valkey, "MGET", "MGET user:1 user:2")),
        ("EXPIRE", described(valkey, "EXPIRE", "EXPIRE user:1 ?")),
        ("SET", described(valkey, "SET", "SET user:3 ?")),
    )
    assert {(span.status, tuple(span.events)) for span in run.spans} == {("UNSET", ())}
    assert all(span.parent_id == "" for span in run.spans)


PIPELINES = """
        p = r.pipeline(transaction=False)
        p.get("a").get("b")
        print(await p.execute())
        p = r.pipeline()
        p.set("a", "s3cret").set("b", "s3cret")
        print(await p.execute())
        p = r.pipeline()
        p.set("a", "s3cret").incr("n")
        print(await p.execute())
        print(await r.pipeline().execute())
        p = r.pipeline(transaction=False)
        p.get("a")
        print(await p.execute())
"""


@pytest.mark.parametrize("style", ["sync", "asyncio"])
def test_a_pipeline_or_transaction_is_one_span(style: str, valkey: Server, traced: Traced) -> None:
    source = in_asyncio(PIPELINES) if style == "asyncio" else sync(PIPELINES.replace("await ", ""))
    run = traced(source, valkey.url)
    assert run.stdout.splitlines() == ["[None, None]", "[True, True]", "[True, 1]", "[]", "[b's3cret']"]
    two = {"db__operation__batch__size": 2}
    assert_spans(
        run,
        ("PIPELINE GET", described(valkey, "PIPELINE GET", "GET a; GET b", **two)),
        ("MULTI SET", described(valkey, "MULTI SET", "SET a ?; SET b ?", **two)),
        ("MULTI", described(valkey, "MULTI", "SET a ?; INCRBY n ?", **two)),
        ("PIPELINE GET", described(valkey, "PIPELINE GET", "GET a")),
    )


WATCHING = """
        async with r.pipeline() as p:
            await p.watch("a")
            await p.get("a")
            p.multi()
            p.set("a", "s3cret")
            await p.execute()
"""


@pytest.mark.parametrize("style", ["sync", "asyncio"])
def test_what_a_pipeline_runs_at_once_has_spans_of_its_own(style: str, valkey: Server, traced: Traced) -> None:
    source = in_asyncio(WATCHING) if style == "asyncio" else sync(WATCHING.replace("await ", "").replace("async ", ""))
    run = traced(source, valkey.url)
    assert_spans(
        run,
        ("WATCH", described(valkey, "WATCH", "WATCH a")),
        ("GET", described(valkey, "GET", "GET a", db__response__returned_rows=0)),
        ("MULTI SET", described(valkey, "MULTI SET", "SET a ?")),
    )


ERRORS = """
        await r.set("text", "s3cret")
        for call in (
            lambda: r.lpush("text", "s3cret"),
            lambda: r.incr("text"),
            lambda: r.execute_command("NONSENSE", "s3cret"),
            lambda: r.eval("return redis.error_reply('MY s3cret')", 0),
            lambda: r.pipeline(transaction=False).set("x", "s3cret").incr("text").execute(),
        ):
            try:
                await call()
            except redis.ResponseError as error:
                print(type(error).__name__, error)
"""


@pytest.mark.parametrize("style", ["sync", "asyncio"])
def test_an_error_is_told_without_the_values_in_it(style: str, valkey: Server, traced: Traced) -> None:
    source = in_asyncio(ERRORS) if style == "asyncio" else sync(ERRORS.replace("await ", ""))
    run = traced(source, valkey.url)
    assert "s3cret" in run.stdout  # the program still sees all of it
    name = "redis.exceptions.ResponseError"
    wrong, err = ({"error__type": name, "db__response__status_code": code} for code in ("WRONGTYPE", "ERR"))
    two = {"db__operation__batch__size": 2}
    assert_spans(
        run,
        ("SET", described(valkey, "SET", "SET text ?")),
        ("LPUSH", described(valkey, "LPUSH", "LPUSH text ?", **wrong)),
        ("INCRBY", described(valkey, "INCRBY", "INCRBY text ?", **err)),
        ("NONSENSE", described(valkey, "NONSENSE", "NONSENSE ?", **err)),
        ("EVAL", described(valkey, "EVAL", "EVAL ? ?", error__type=name)),
        ("PIPELINE", described(valkey, "PIPELINE", "SET x ?; INCRBY text ?", **err, **two)),
    )
    messages = [span.status_message for span in run.spans if span.status == "ERROR"]
    assert messages == [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "value is not an integer or out of range",
        "unknown command ?, with args beginning with: ? ",
        "",
        "value is not an integer or out of range",
    ]
    lpush = run.span("LPUSH")
    assert lpush.events == [("exception", {"exception.type": name, "exception.message": messages[0]})]


def test_a_server_that_is_not_there_is_an_error_of_one_span_however_often_it_is_tried(traced: Traced) -> None:
    run = traced(
        """
        import redis, redis.backoff, redis.retry
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 2)
        try:
            redis.Redis(port=1, db=3, retry=retry, retry_on_error=[redis.ConnectionError]).set("k", "s3cret")
        except redis.ConnectionError as error:
            print(error)
        """
    )
    span = run.span("SET")
    assert span.attributes == {
        "db.system.name": "redis",
        "db.operation.name": "SET",
        "db.namespace": "3",
        "db.query.text": "SET k ?",
        "server.address": "localhost",
        "server.port": 1,
        "error.type": "redis.exceptions.ConnectionError",
    }
    assert (span.status, run.returncode, run.stderr) == ("ERROR", 0, "")
    assert "s3cret" not in repr(span)
    assert "localhost:1" in span.status_message


def test_a_cancelled_command_is_not_an_error(valkey: Server, traced: Traced) -> None:
    body = """
        try:
            await asyncio.wait_for(r.blpop("nothing", 0), 0.1)
        except asyncio.TimeoutError:
            print("given up")
    """
    run = traced(in_asyncio(body), valkey.url)
    assert run.stdout == "given up\n"
    assert_spans(run, ("BLPOP", described(valkey, "BLPOP", "BLPOP nothing ?")))
    assert run.span("BLPOP").status == "UNSET"


def test_scripts_that_a_pipeline_loads_belong_to_it(valkey: Server, traced: Traced) -> None:
    body = """
        script = r.register_script("return ARGV[1]")
        p = r.pipeline()
        script(keys=["k"], args=["s3cret"], client=p)
        print(p.execute())
    """
    run = traced(sync(body), valkey.url)
    assert run.stdout == "[b's3cret']\n"
    assert_spans(run, ("MULTI EVALSHA", described(valkey, "MULTI EVALSHA", "EVALSHA ? ? k ?")))


def test_concurrent_commands_are_children_of_their_own_tasks(valkey: Server, traced: Traced) -> None:
    body = """
        from opentelemetry import trace
        tracer = trace.get_tracer("test")
        async def work(number):
            with tracer.start_as_current_span(f"task {number}"):
                for _ in range(3):
                    await r.get(f"key {number}")
        await asyncio.gather(*(work(number) for number in range(30)))
        assert not trace.get_current_span().get_span_context().is_valid
    """
    run = traced(in_asyncio(body), valkey.url, expect=121)
    assert run.returncode == 0, run
    tasks = {span.span_id: span.name.removeprefix("task ") for span in run.spans if span.kind == "INTERNAL"}
    gets = [span for span in run.spans if span.name == "GET"]
    assert len(gets) == 90
    assert all(span.attributes["db.query.text"] == f"GET key {tasks[span.parent_id]}" for span in gets)


def test_old_names_come_in_addition_on_request(valkey: Server, traced: Traced) -> None:
    env = {"OTEL_SEMCONV_STABILITY_OPT_IN": "database/dup"}
    run = traced(sync('        r.set("k", "s3cret")'), valkey.url, env=env)
    old = {
        "db.system": "redis",
        "db.statement": "SET k ?",
        "db.redis.database_index": 0,
        "net.peer.name": valkey.host,
        "net.peer.port": valkey.port,
    }
    assert_spans(run, ("SET", described(valkey, "SET", "SET k ?") | old))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("HMSET", "myhash", "field1", "v", "field2", "v"), "HMSET myhash field1 ? field2 ?"),
        (("mset", b"a", b"v", "b", 2), "MSET a ? b ?"),
        (("AUTH", "user", "v"), "AUTH ? ?"),
        (("CONFIG SET", "requirepass", "v"), "CONFIG SET ? ?"),
        (("CONFIG", "SET", "requirepass", "v"), "CONFIG SET ? ?"),
        (("ACL", "SETUSER", "u", ">v"), "ACL SETUSER ? ?"),
        (("BLPOP", "a", "b", 0), "BLPOP a b ?"),
        (("BLPOP",), "BLPOP"),
        (("EVAL", "return 1", 2, "a", "b", "v", "v"), "EVAL ? ? a b ? ?"),
        (("EVAL", "return 1", "2"), "EVAL ? ?"),
        (("EVAL", "return 1", 10**9, "a"), "EVAL ? ? a"),
        (("EVAL",), "EVAL"),
        (("ZUNIONSTORE", "d", 2, "a", "b", "WEIGHTS", 1, 2), "ZUNIONSTORE d ? a b ? ? ?"),
        (("XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", "b", ">", ">"), "XREADGROUP ? ? ? ? a b ? ?"),
        (("XGROUP CREATE", "stream", "g", "$"), "XGROUP CREATE stream ? ?"),
        (("NEWCOMMAND", "v", "v"), "NEWCOMMAND ? ?"),
        (("SET k v",), "SET k ?"),
        (("p@ss w0rd", "v"), "_OTHER ? ?"),
        (("",), "_OTHER"),
        (("SET", memoryview(b"k\xff"), b"\xff"), "SET k\ufffd ?"),
        (("SADD", "s", *range(100)), "SADD s" + " ?" * 63 + " ..."),
    ],
)
def test_names_are_shown_and_values_masked(command: tuple[object, ...], shown: str) -> None:
    assert text(*split(command)) == shown


def test_a_command_looks_the_same_from_outside(valkey: Server, traced: Traced) -> None:
    body = """
        import inspect
        import redis.asyncio as a
        print(inspect.signature(redis.Redis.execute_command), inspect.iscoroutinefunction(a.Redis.execute_command))
        print(inspect.signature(redis.client.Pipeline.execute).parameters["raise_on_error"].default)
    """
    run = traced(sync(body), valkey.url)
    assert run.stdout.splitlines() == ["(self, *args, **options) True", "True"]

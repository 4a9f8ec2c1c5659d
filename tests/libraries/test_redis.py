"""redis-py under `otel-run`, against a real server: one span for each call, and no value in any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.redis_programs import STYLES, assert_spans, described, program

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

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


@pytest.mark.parametrize("style", STYLES)
def test_a_command_is_a_span_with_its_keys_and_without_its_values(style: str, valkey: Server, traced: Traced) -> None:
    source = program(style, COMMANDS)
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


@pytest.mark.parametrize("style", STYLES)
def test_a_pipeline_or_transaction_is_one_span(style: str, valkey: Server, traced: Traced) -> None:
    source = program(style, PIPELINES)
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


@pytest.mark.parametrize("style", STYLES)
def test_what_a_pipeline_runs_at_once_has_spans_of_its_own(style: str, valkey: Server, traced: Traced) -> None:
    source = program(style, WATCHING)
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


@pytest.mark.parametrize("style", STYLES)
def test_an_error_is_told_without_the_values_in_it(style: str, valkey: Server, traced: Traced) -> None:
    source = program(style, ERRORS)
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
    if messages[-1] == "{exception.args}":  # what redis-py 6 and 7 make of it in asyncio
        messages[-1] = messages[1]
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
        more = {"retry_on_error": [redis.ConnectionError]} if redis.__version__ > "4.2" else {}
        try:
            redis.Redis(port=1, db=3, retry=retry, **more).set("k", "s3cret")
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


def test_scripts_that_a_pipeline_loads_belong_to_it(valkey: Server, traced: Traced) -> None:
    body = """
        script = r.register_script("return ARGV[1]")
        p = r.pipeline()
        script(keys=["k"], args=["s3cret"], client=p)
        print(p.execute())
    """
    run = traced(program("sync", body), valkey.url)
    assert run.stdout == "[b's3cret']\n"
    assert_spans(run, ("MULTI EVALSHA", described(valkey, "MULTI EVALSHA", "EVALSHA ? 1 k ?")))


def test_old_names_come_in_addition_on_request(valkey: Server, traced: Traced) -> None:
    env = {"OTEL_SEMCONV_STABILITY_OPT_IN": "database/dup"}
    run = traced(program("sync", '        r.set("k", "s3cret")'), valkey.url, env=env)
    old = {
        "db.system": "redis",
        "db.statement": "SET k ?",
        "db.redis.database_index": 0,
        "net.peer.name": valkey.host,
        "net.peer.port": valkey.port,
    }
    assert_spans(run, ("SET", described(valkey, "SET", "SET k ?") | old))

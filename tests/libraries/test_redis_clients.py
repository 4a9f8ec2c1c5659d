"""redis-py's clients of every make and setting under `otel-run`: the spans are the same for all."""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from libraries.redis_programs import HIT, MISS, STYLES, VERSION, assert_spans, call, described, program
from otel_run.command.demo import servers

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

READS = """
    await r.hset("h", "field", "s3cret")
    await r.set("k", "s3cret")
    print([await r.get("k"), await r.get("none"), await r.hget("h", "field"), await r.hget("h", "none")])
    print([await r.hgetall("h"), await r.hgetall("none"), await r.smembers("none")])
    print(await r.mget("k", "none"), await r.getrange("none", 0, 1), await r.lrange("none", 0, 1))
"""


@pytest.mark.parametrize("options", ["", "decode_responses=True", "single_connection_client=True", "protocol=3"])
@pytest.mark.parametrize("style", STYLES)
def test_a_read_of_one_key_tells_whether_there_was_one(
    style: str, options: str, valkey: Server, traced: Traced
) -> None:
    if VERSION < (5, 0) and "protocol" in options:
        pytest.skip("RESP3 came with redis-py 5")
    if VERSION == (7, 0) and "protocol" in options:
        pytest.skip("redis-py 7.0 itself writes on stderr that the server does not know of maintenance")
    if VERSION < (5, 0) and "single" in options:
        pytest.skip("from_url() did not take it yet")
    run = traced(program(style, READS, options), valkey.url)
    assert_spans(
        run,
        call(valkey, "HSET", "HSET h field ?"),
        call(valkey, "SET", "SET k ?"),
        call(valkey, "GET", "GET k", **HIT),
        call(valkey, "GET", "GET none", **MISS),
        call(valkey, "HGET", "HGET h field", **HIT),
        call(valkey, "HGET", "HGET h none", **MISS),
        call(valkey, "HGETALL", "HGETALL h", **HIT),
        call(valkey, "HGETALL", "HGETALL none", **MISS),
        call(valkey, "SMEMBERS", "SMEMBERS none", **MISS),
        call(valkey, "MGET", "MGET k none"),
        call(valkey, "GETRANGE", "GETRANGE none ? ?"),
        call(valkey, "LRANGE", "LRANGE none ? ?"),
    )
    b, empty = ("", "") if "decode" in options else ("b", "b''")
    lines = run.stdout.splitlines()
    assert lines[0] == f"[{b}'s3cret', None, {b}'s3cret', None]"
    assert lines[2] == f"[{b}'s3cret', None] {empty} []"


@pytest.mark.parametrize("style", STYLES)
def test_a_callback_of_the_programs_own_may_answer_what_it_likes(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    class Answer:
        def __bool__(self):
            raise RuntimeError("do not ask")
        def __eq__(self, other):
            raise RuntimeError("do not ask")
    r.set_response_callback("GET", lambda response, **options: Answer())
    print(type(await r.get("k")).__name__)
    """
    run = traced(program(style, body), valkey.url)
    assert run.stdout == "Answer\n"
    assert_spans(run, call(valkey, "GET", "GET k", **HIT))


ODD = """
    await r.execute_command(b"SET", b"k\\xff", memoryview(b"s3cret"))
    await r.execute_command("set", 5, 1.5)
    await r.execute_command("object encoding", "5")
    await r.set("a key", "s3cret")
    for command in (("AUTH", "s3cret"), ("ACL", "SETUSER", "me", ">s3cret"), ("CONFIG", "SET", "requirepass", "")):
        try:
            await r.execute_command(*command)
        except redis.RedisError:
            pass
    await r.execute_command("ACL", "DELUSER", "me")
"""


@pytest.mark.parametrize("style", STYLES)
def test_a_command_may_be_given_in_any_form(style: str, valkey: Server, traced: Traced) -> None:
    run = traced(program(style, ODD), valkey.url)
    assert run.span("AUTH").status == "ERROR"
    failed = {"error.type": run.span("AUTH").attributes["error.type"]}  # which one it is depends on the version
    assert_spans(
        run,
        call(valkey, "SET", "SET k\ufffd ?"),
        call(valkey, "SET", "SET 5 ?"),
        call(valkey, "OBJECT ENCODING", "OBJECT ENCODING 5"),
        call(valkey, "SET", 'SET "a key" ?'),
        ("AUTH", described(valkey, "AUTH", "AUTH ?") | failed),
        call(valkey, "ACL SETUSER", "ACL SETUSER ? ?"),
        call(valkey, "CONFIG SET", "CONFIG SET ? ?"),
        call(valkey, "ACL DELUSER", "ACL DELUSER ?"),
    )


@pytest.mark.parametrize("style", STYLES)
def test_names_are_masked_on_request(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    await r.set("hidden", "s3cret")
    await r.hmget("hidden too", "hidden")
    p = r.pipeline()
    p.get("hidden").incr("hidden")
    try:
        await p.execute()
    except redis.ResponseError:
        pass
    await r.publish("hidden", "s3cret")
    """
    run = traced(program(style, body), valkey.url, env={"OTEL_RUN_REDIS_KEYS": "mask"})
    error = {"error__type": "redis.exceptions.ResponseError", "db__response__status_code": "ERR"}
    wrong = {"error__type": "redis.exceptions.ResponseError", "db__response__status_code": "WRONGTYPE"}
    failed = wrong if run.span("HMGET").status == "ERROR" else {}
    assert_spans(
        run,
        call(valkey, "SET", "SET ? ?"),
        call(valkey, "HMGET", "HMGET ? ?", **failed),
        call(valkey, "MULTI", "GET ?; INCRBY ? ?", db__operation__batch__size=2, **error),
        call(valkey, "PUBLISH", "PUBLISH ? ?"),
    )
    assert "hidden" not in repr(run.spans)


@pytest.mark.parametrize("style", STYLES)
def test_off_tells_errors_whole_and_no_values(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    await r.set("k", "s3cret")
    try:
        await r.execute_command("NONSENSE", "told")
    except redis.ResponseError:
        pass
    """
    run = traced(program(style, body), valkey.url, env={"OTEL_RUN_REDACT": "off"})
    error = {"error__type": "redis.exceptions.ResponseError", "db__response__status_code": "ERR"}
    assert_spans(run, call(valkey, "SET", "SET k ?"), call(valkey, "NONSENSE", "NONSENSE ?", **error))
    assert "'told'" in run.span("NONSENSE").status_message


@pytest.mark.parametrize("style", STYLES)
def test_credentials_and_a_unix_socket(style: str, traced: Traced) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # the server is nobody where we are root
        path = f"{folder}/socket"
        with servers.valkey("--unixsocket", path, "--unixsocketperm", "777") as server:
            with redis.Redis(server.host, server.port) as r:
                r.config_set("requirepass", "s3cret")
            body = 'await r.get("k")'
            local = traced(program(style, body), f"unix://:s3cret@{path}?db=2")
            attributes = described(server, "GET", "GET k", db__namespace="2", server__address=path, **MISS)
            del attributes["server.port"]
            assert_spans(local, ("GET", attributes))
            remote = traced(program(style, body), f"redis://default:s3cret@{server.host}:{server.port}/2")
            assert_spans(remote, call(server, "GET", "GET k", db__namespace="2", **MISS))


@pytest.mark.parametrize("style", STYLES)
def test_a_subclass_that_overrides_what_is_traced(style: str, valkey: Server, traced: Traced) -> None:
    body = """
    class Loud(redis.Redis):
        {0}def execute_command(self, *args, **options):
            return (await super().execute_command(*args, **options)), "loud"
    s = Loud(connection_pool=r.connection_pool)
    print(await s.get("k"))
    """.replace("{0}", "async ")
    run = traced(program(style, body), valkey.url)
    assert run.stdout == "(None, 'loud')\n"
    assert_spans(run, call(valkey, "GET", "GET k", **MISS))


def test_a_host_of_a_kind_of_the_programs_own_is_told_as_it_is(valkey: Server, traced: Traced) -> None:
    source = """
        import enum, sys
        import redis

        class Unhashable(str):
            __hash__ = None

        class Host(str, enum.Enum):
            CACHE = sys.argv[1]
            __str__ = enum.Enum.__str__

        for host in (Unhashable(sys.argv[1]), Host.CACHE, sys.argv[1], Unhashable(sys.argv[1])):
            redis.Redis(host=host, port=int(sys.argv[2])).get("k")
    """
    run = traced(textwrap.dedent(source), valkey.host, str(valkey.port))
    assert (run.returncode, run.stderr) == (0, "")
    told = [span.attributes["server.address"] for span in run.spans]
    assert told == [valkey.host, "Host.CACHE", valkey.host, valkey.host]

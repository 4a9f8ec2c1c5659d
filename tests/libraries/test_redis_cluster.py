"""redis-py's clusters and Sentinel under `otel-run`: real ones, and the server that has answered in each span."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from libraries.redis_programs import HIT, MISS, STYLES, VERSION, assert_spans, call, described, program
from otel_run.command.demo import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced

HALF, ALL = 8191, 16383


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Server, Server]]:
    """Give a cluster of two: the first owns the lower half of the slots, the second the upper."""
    with servers.valkey("--cluster-enabled", "yes") as low, servers.valkey("--cluster-enabled", "yes") as high:
        clients = [redis.Redis(node.host, node.port) for node in (low, high)]
        clients[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, HALF)
        clients[1].execute_command("CLUSTER", "ADDSLOTSRANGE", HALF + 1, ALL)
        clients[0].execute_command("CLUSTER", "MEET", high.host, high.port)
        until(lambda: all(b"cluster_state:ok" in _raw(client, "CLUSTER", "INFO") for client in clients))
        for client in clients:
            client.close()
        yield low, high


def _raw(client: redis.Redis, *command: str) -> bytes:
    client.set_response_callback(" ".join(command), lambda response, **_options: response)
    return bytes(client.execute_command(*command))


def until(is_so: Any) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def anywhere(operation: str, query: str, **others: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and attributes of a call that more than one node answered."""
    name, attributes = call(servers.Server("", 0, "", 0), operation, query, **others)
    return name, {key: value for key, value in attributes.items() if not key.startswith("server.")}


def url(server: Server) -> str:
    return f"redis://{server.host}:{server.port}"


# b is in slot 3300, a in 15495; {b}1 is where b is.
COMMANDS = """
    await r.set("a", "s3cret")
    await r.set("b", "s3cret")
    print(await r.get("a"), await r.get("b"), await r.get("{b}1"))
"""


@pytest.mark.skipif(VERSION < (4, 3), reason="clusters came with redis-py 4.1, those of asyncio with 4.3")
@pytest.mark.parametrize("style", STYLES)
def test_a_command_tells_the_node_that_answered(style: str, cluster: tuple[Server, Server], traced: Traced) -> None:
    low, high = cluster
    run = traced(program(style, COMMANDS, client="RedisCluster"), url(low))
    assert run.stdout == "b's3cret' b's3cret' None\n", run
    assert_spans(
        run,
        call(high, "SET", "SET a ?"),
        call(low, "SET", "SET b ?"),
        call(high, "GET", "GET a", **HIT),
        call(low, "GET", "GET b", **HIT),
        call(low, "GET", "GET {b}1", **MISS),
    )
    assert run.span("FLUSHDB").attributes == anywhere("FLUSHDB", "FLUSHDB")[1]


PIPELINES = """
    await r.set("a", "s3cret")
    p = r.pipeline()
    p.get("a").get("b")
    print(await p.execute())
    p = r.pipeline()
    p.set("b", "s3cret").incr("{b}1")
    print(await p.execute())
    print(await r.pipeline().execute())
"""


@pytest.mark.skipif(VERSION < (4, 3), reason="clusters came with redis-py 4.1, those of asyncio with 4.3")
@pytest.mark.parametrize("style", STYLES)
def test_a_pipeline_of_a_cluster_is_one_span(style: str, cluster: tuple[Server, Server], traced: Traced) -> None:
    low, high = cluster
    run = traced(program(style, PIPELINES, client="RedisCluster"), url(low))
    assert run.stdout == "[b's3cret', None]\n[True, 1]\n[]\n", run
    assert_spans(
        run,
        call(high, "SET", "SET a ?"),
        anywhere("PIPELINE GET", "GET a; GET b", db__operation__batch__size=2),
        call(low, "PIPELINE", "SET b ?; INCRBY {b}1 ?", db__operation__batch__size=2),
    )


TRANSACTIONS = """
    async with r.pipeline(transaction=True) as p:
        await p.watch("b")
        print(await p.get("b"))
        p.multi()
        p.set("b", "s3cret").get("{b}1")
        print((await p.execute())[1])
"""


@pytest.mark.skipif(VERSION < (6, 2), reason="transactions of clusters came with redis-py 6.2")
@pytest.mark.parametrize("style", STYLES)
def test_a_transaction_of_a_cluster(style: str, cluster: tuple[Server, Server], traced: Traced) -> None:
    low, _ = cluster
    run = traced(program(style, TRANSACTIONS, client="RedisCluster"), url(low))
    assert run.stdout == "None\nNone\n", run
    assert_spans(
        run,
        call(low, "WATCH", "WATCH b"),
        call(low, "GET", "GET b", **MISS),
        call(low, "MULTI", "SET b ?; GET {b}1", db__operation__batch__size=2),
    )


@pytest.mark.skipif(VERSION < (4, 3), reason="clusters came with redis-py 4.1, those of asyncio with 4.3")
@pytest.mark.parametrize("style", STYLES)
def test_a_redirection_is_inside_the_call(style: str, cluster: tuple[Server, Server], traced: Traced) -> None:
    low, high = cluster
    body = """
    import redis as sync_redis
    slot, low, high = 3300, *(sync_redis.Redis(port=int(port)) for port in sys.argv[2:])
    await r.set("a", "s3cret")
    def move(to):
        for client in (low, high):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", to)
    ids = [client.execute_command("CLUSTER", "MYID").decode() for client in (low, high)]
    move(ids[1])
    print(await r.get("b"))
    move(ids[0])
    print(await r.get("b"))
    """
    run = traced(program(style, body, client="RedisCluster"), url(low), str(low.port), str(high.port))
    assert run.stdout == "None\nNone\n", run
    gets = [(span.name, span.attributes, span.status) for span in run.spans if span.name == "GET"]
    assert gets == [(*call(node, "GET", "GET b", **MISS), "UNSET") for node in (high, low)]


@pytest.mark.skipif(VERSION < (4, 3), reason="clusters came with redis-py 4.1")
def test_subscribing_to_a_cluster(cluster: tuple[Server, Server], traced: Traced) -> None:
    low, _ = cluster
    body = """
    p = r.pubsub()
    p.subscribe("b")
    p.get_message(timeout=0.05)
    p.close()
    """
    run = traced(program("sync", body, client="RedisCluster"), url(low))
    assert_spans(run, call(low, "SUBSCRIBE", "SUBSCRIBE b"))


def test_a_cluster_that_is_not_there_is_an_error(valkey: Server, traced: Traced) -> None:
    if VERSION < (4, 3):
        pytest.skip("clusters came with redis-py 4.1")
    body = """
    import redis
    try:
        redis.RedisCluster.from_url(__import__("sys").argv[1])
    except redis.exceptions.RedisClusterException:
        print("refused")
    """
    run = traced(body, valkey.url)
    assert (run.returncode, run.stdout, run.stderr) == (0, "refused\n", "")


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server, Server]]:
    """Give a Sentinel, the master that it watches and the master's replica."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder).chmod(0o777)  # the server is nobody where we are root, and writes its file anew
        file = Path(folder) / "sentinel.conf"
        file.touch()
        file.chmod(0o666)
        master = stack.enter_context(servers.valkey())
        replica = stack.enter_context(servers.valkey("--replicaof", f"{master.host} {master.port}"))
        guard = stack.enter_context(servers.valkey(str(file), "--sentinel"))
        with redis.Redis(guard.host, guard.port) as client:
            client.execute_command("SENTINEL", "MONITOR", "main", master.host, master.port, 1)
            until(lambda: client.execute_command("SENTINEL", "REPLICAS", "main"))
        with redis.Redis(replica.host, replica.port) as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
        yield guard, master, replica


SENTINEL = """
    from {module}.sentinel import Sentinel
    host, port = sys.argv[2:]
    s = Sentinel([(host, int(port))])
    m, t = s.master_for("main", db=1), s.slave_for("main")
    await m.set("k", "s3cret")
    await t.get("none")
    await m.pipeline().get("k").execute()
    print(await s.discover_master("main"))
    for client in (m, t, *s.sentinels):
        await client.connection_pool.disconnect()
"""


@pytest.mark.parametrize("style", STYLES)
def test_sentinel(style: str, sentinel: tuple[Server, Server, Server], traced: Traced) -> None:
    guard, master, replica = sentinel
    body = SENTINEL.replace("{module}", "redis.asyncio" if style == "asyncio" else "redis")
    run = traced(program(style, body), master.url, guard.host, str(guard.port))
    assert run.stdout == f"('{master.host}', {master.port})\n", run
    in_one = {"db__namespace": "1"}
    assert_spans(
        run,
        call(master, "SET", "SET k ?", **in_one),
        call(replica, "GET", "GET none", **MISS),
        call(master, "MULTI GET", "GET k", **in_one),
        *discoveries(run, guard),
    )


def discoveries(run: Run, guard: Server) -> list[tuple[str, dict[str, Any]]]:
    """Return what the program itself asks Sentinel; its name has changed with the versions."""
    span = run.spans[-1]
    return [(span.name, described(guard, span.name, span.attributes["db.query.text"]))]

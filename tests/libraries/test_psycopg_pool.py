"""psycopg_pool under `otel-run`: waiting for a connection is told, what a pool does for itself is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

THRESHOLD = "10"  # ms, the default of OTEL_RUN_CONNECTION_THRESHOLD

POOLS = pytest.mark.parametrize("pool", ["ConnectionPool", "NullConnectionPool"])
STYLES = pytest.mark.parametrize("style", ["sync", "async"])

# `{size}` is the number of connections, `open` the arguments; the program's own code is in a span "root".
SYNC = """
import sys, threading, time, psycopg_pool
from opentelemetry import trace

tracer = trace.get_tracer("test")

def hold(pool, seconds):
    taken = threading.Event()
    def run():
        with pool.connection():
            taken.set()
            time.sleep(seconds)
    thread = threading.Thread(target=run)
    thread.start()
    assert taken.wait(30)
    return thread.join

with psycopg_pool.{pool}(sys.argv[1], {arguments}) as pool:
{body}
"""
ASYNC = """
import asyncio, sys, psycopg_pool
from opentelemetry import trace

tracer = trace.get_tracer("test")

async def hold(pool, seconds):
    taken = asyncio.Event()
    async def run():
        async with pool.connection():
            taken.set()
            await asyncio.sleep(seconds)
    task = asyncio.create_task(run())
    await taken.wait()
    return lambda: task

async def main():
    async with psycopg_pool.Async{pool}(sys.argv[1], {arguments}) as pool:
{body}

asyncio.run(main())
"""


def program(style: str, pool: str, arguments: str, body: str) -> str:
    lines = body.strip("\n").splitlines()
    if style == "async":
        return ASYNC.format(pool=pool, arguments=arguments, body="\n".join(lines))
    text = "\n".join(line[4:] for line in lines).replace("await ", "").replace("async ", "").replace("Async", "")
    return SYNC.format(pool=pool, arguments=arguments, body=text)


WAITING = """
        finished = await hold(pool, 0.3)
        with tracer.start_as_current_span("root") as root:
            async with pool.connection() as c:
                assert trace.get_current_span() is root
                await c.execute("SELECT 1")
            async with pool.connection() as c:
                pass
        await finished()
"""


@STYLES
@POOLS
def test_a_noticeable_wait_is_a_span_beside_the_statement(
    style: str, pool: str, postgres: Server, traced: Traced
) -> None:
    size = "max_size=1" if "Null" in pool else "min_size=1, max_size=1"
    run = traced(program(style, pool, f'{size}, name="orders"', WAITING), postgres.dsn)
    assert (run.returncode, run.stderr) == (0, ""), run
    names = ["root", "WAIT FOR POOL", "BEGIN", "SELECT", "COMMIT"]
    # A null pool has nothing in stock: the second wait is for a connection being made, long enough or not.
    assert [span.name for span in run.spans if span.start < run.span("COMMIT").end] == names, run
    root, wait, *_ = run.spans
    assert (wait.kind, wait.parent_id, wait.status) == ("INTERNAL", root.span_id, "UNSET")
    assert wait.attributes == {"db.system.name": "postgresql", "db.client.connection.pool.name": "orders"}
    assert 150 < wait.duration_ms < 10_000
    assert {span.parent_id for span in run.spans[1:]} == {root.span_id}


@STYLES
@POOLS
def test_a_wait_that_failed_is_an_error(style: str, pool: str, postgres: Server, traced: Traced) -> None:
    body = """
        finished = await hold(pool, 0.4)
        with tracer.start_as_current_span("root"):
            try:
                await pool.getconn(timeout=0.05)
            except psycopg_pool.PoolTimeout as error:
                print(error, error.__cause__, error.__suppress_context__)
        await finished()
"""
    size = "max_size=1" if "Null" in pool else "min_size=1, max_size=1"
    source = program(style, pool, f'{size}, name="orders"', body)
    run = traced(source, postgres.dsn)
    assert run.stdout == traced(source, postgres.dsn, env={"OTEL_RUN_ENABLED": "false"}).stdout
    wait = run.span("WAIT FOR POOL")
    assert (wait.kind, wait.status) == ("INTERNAL", "ERROR"), run
    assert wait.status_message.startswith("couldn't get a connection after ")
    assert wait.attributes == {
        "db.system.name": "postgresql",
        "db.client.connection.pool.name": "orders",
        "error.type": wait.attributes["error.type"],
    }
    assert wait.attributes["error.type"] in ("psycopg_pool.PoolTimeout", "psycopg_pool.errors.PoolTimeout")


def test_a_cancelled_wait_is_no_error_and_leaves_the_context_as_it_was(postgres: Server, traced: Traced) -> None:
    body = """
        finished = await hold(pool, 0.4)
        with tracer.start_as_current_span("root") as root:
            try:
                await asyncio.wait_for(pool.getconn(), 0.1)
            except asyncio.TimeoutError:
                print("cancelled")
            async with pool.connection() as c:
                await c.execute("SELECT 1")
        await finished()
"""
    run = traced(program("async", "ConnectionPool", "min_size=1, max_size=1", body), postgres.dsn)
    assert run.stdout == "cancelled\n", run
    assert [span.status for span in run.spans if span.name == "WAIT FOR POOL"] == ["UNSET", "UNSET"]
    assert run.span("SELECT").parent_id == run.span("root").span_id


def test_a_wait_that_is_forgotten_says_nothing_on_stderr(postgres: Server, traced: Traced) -> None:
    run = traced(
        """
        import asyncio, gc, sys, psycopg_pool
        from opentelemetry import context

        async def begin(pool):
            await pool.open()
            connection = await pool.getconn()
            task = asyncio.ensure_future(pool.getconn())
            await asyncio.sleep(0.1)
            return connection, task

        async def finish(pool, connection):
            await pool.putconn(connection)
            await pool.close()

        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # that of a task that was destroyed
        pool = psycopg_pool.AsyncConnectionPool(sys.argv[1], min_size=1, max_size=1, open=False)
        connection, task = loop.run_until_complete(begin(pool))
        del task
        gc.collect()
        print(context.get_current())
        loop.run_until_complete(finish(pool, connection))
        loop.close()
        """,
        postgres.dsn,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "{}\n", ""), run


@STYLES
def test_what_a_pool_does_for_itself_makes_no_spans(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        await pool.wait()
        async with pool.connection() as c:
            await c.execute("SELECT 'mine'")
        await pool.check()
        with tracer.start_as_current_span("root"):
            await pool.check()
            async with pool.connection() as c:
                await c.execute("SELECT 'mine' AS too")
        await pool.resize(3)
        await pool.drain()
        await pool.wait()
"""
    prefix = "Async" if style == "async" else ""
    word, wait = ("async ", "await ") if style == "async" else ("", "")
    callbacks = f"""
from psycopg import sql
{word}def configure(c):
    {wait}c.execute("SELECT 'configure'")
    {wait}c.commit()
{word}def reset(c):
    {wait}c.execute("SELECT 'reset'")
    {wait}c.commit()
"""
    arguments = (
        "min_size=2, max_size=2, configure=configure, reset=reset, open=False, "
        f"check=psycopg_pool.{prefix}ConnectionPool.check_connection"
    )
    run = traced(callbacks + program(style, "ConnectionPool", arguments, body), postgres.dsn)
    assert (run.returncode, run.stderr) == (0, ""), run
    mine = ["BEGIN", "SELECT", "COMMIT"]
    told = [span for span in run.spans if span.name != "WAIT FOR POOL"]
    assert [span.name for span in told] == [*mine, "root", *mine], run
    assert [span.parent_id for span in told] == [""] * 4 + [told[3].span_id] * 3


@pytest.mark.parametrize("first", ["psycopg", "psycopg_pool", "psycopg_pool.null_pool_async"])
def test_it_is_patched_whichever_is_imported_first(first: str, postgres: Server, traced: Traced) -> None:
    run = traced(
        f"""
        import {first}
        import sys, psycopg, psycopg_pool
        from opentelemetry import trace

        with trace.get_tracer("test").start_as_current_span("root"):
            with psycopg_pool.ConnectionPool(sys.argv[1], min_size=1, open=True) as pool:
                with pool.connection() as c:
                    c.execute("SELECT 1")
        """,
        postgres.dsn,
        env={"OTEL_RUN_CONNECTION_THRESHOLD": "0"},
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [span.name for span in run.spans] == ["root", "WAIT FOR POOL", "BEGIN", "SELECT", "COMMIT"], run


def test_without_a_trace_a_wait_is_not_told(postgres: Server, traced: Traced) -> None:
    body = """
        finished = await hold(pool, 0.2)
        async with pool.connection():
            pass
        await finished()
"""
    run = traced(program("sync", "ConnectionPool", "min_size=1, max_size=1", body), postgres.dsn)
    assert (run.returncode, run.stderr, run.spans) == (0, "", []), run


def test_a_hundred_parallel_tasks_keep_their_parents(postgres: Server, traced: Traced) -> None:
    run = traced(
        """
        import asyncio, sys, psycopg_pool
        from opentelemetry import trace

        tracer = trace.get_tracer("test")

        async def one(pool, number):
            with tracer.start_as_current_span(f"root {number}") as root:
                async with pool.connection() as c:
                    await c.execute("SELECT pg_sleep(0.01)")
                    assert trace.get_current_span() is root
                    await c.execute(f"SELECT 1 AS a{number}")
                assert trace.get_current_span() is root

        async def main():
            async with psycopg_pool.AsyncConnectionPool(sys.argv[1], min_size=10, max_size=10) as pool:
                await asyncio.gather(*(one(pool, number) for number in range(100)))

        asyncio.run(main())
        """,
        postgres.dsn,
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    roots = {span.span_id: span.name for span in run.spans if span.name.startswith("root")}
    children = [span for span in run.spans if span.span_id not in roots and span.name != "WAIT FOR POOL"]
    # BEGIN, two statements and COMMIT in each.
    assert (len(roots), len(children)) == (100, 400), run
    for span in children:
        text = span.attributes["db.query.text"]
        if "AS a" in text:
            assert "a" + roots[span.parent_id].split()[1] == text.split()[-1]
    per_root = {root: [span.name for span in children if span.parent_id == root] for root in roots}
    assert set(map(tuple, per_root.values())) == {("BEGIN", "SELECT", "SELECT", "COMMIT")}
    waits = [span for span in run.spans if span.name == "WAIT FOR POOL"]
    assert waits
    assert {span.parent_id for span in waits} <= set(roots)


def test_a_plain_process_does_not_import_it(postgres: Server, traced: Traced) -> None:
    run = traced("import sys, psycopg; print('psycopg_pool' in sys.modules)", postgres.dsn)
    assert run.stdout == "False\n"

"""Connecting with psycopg under `otel-run`: told when it is noticeable or fails, and no password ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libraries.psycopg_programs import STYLES, Described

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

THRESHOLD = "10"  # ms, the default of OTEL_RUN_CONNECTION_THRESHOLD

ALL = {"OTEL_RUN_CONNECTION_THRESHOLD": "0"}

SYNC = """
import sys, psycopg
from opentelemetry import trace

connect = psycopg.Connection.connect
with trace.get_tracer("test").start_as_current_span("root"):
{body}
"""
ASYNC = """
import asyncio, sys, psycopg
from opentelemetry import trace

connect = psycopg.AsyncConnection.connect
async def main():
    with trace.get_tracer("test").start_as_current_span("root"):
{body}
asyncio.run(main())
"""


def program(style: str, body: str) -> str:
    """Return `body`, written for asyncio and indented by 8, as a whole program in a span "root"."""
    lines = body.strip("\n").splitlines()
    if style == "async":
        return ASYNC.format(body="\n".join(lines))
    text = "\n".join(line[4:] for line in lines)
    text = text.replace("await ", "").replace("async ", "").replace("Async", "")
    return SYNC.format(body=text.replace("c.set_autocommit(True)", "c.autocommit = True"))


ONCE = """
        async with await connect(sys.argv[1]) as c:
            await c.execute("SELECT 1")
"""


@STYLES
def test_connecting_is_a_span_beside_what_comes_after_it(style: str, postgres: Server, traced: Traced) -> None:
    run = traced(program(style, ONCE), postgres.dsn, env=ALL)
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [span.name for span in run.spans] == ["root", "CONNECT postgres", "BEGIN", "SELECT", "COMMIT"]
    root, connect, begin, *_ = run.spans
    assert (connect.kind, connect.status, connect.parent_id) == ("CLIENT", "UNSET", root.span_id)
    assert connect.attributes == {**Described(postgres).database, "db.operation.name": "CONNECT"}
    assert root.start <= connect.start < connect.end <= begin.start


@pytest.mark.parametrize(
    "import_it", ["from psycopg import connect", "from psycopg import Connection as C; connect = C"]
)
def test_each_name_of_connect_is_told(import_it: str, postgres: Server, traced: Traced) -> None:
    source = ONCE.replace("connect(", "connect(" if "C" not in import_it else "connect.connect(")
    run = traced(program("sync", "        " + import_it + source), postgres.dsn, env=ALL)
    assert [span.name for span in run.spans] == ["root", "CONNECT postgres", "BEGIN", "SELECT", "COMMIT"], run


@STYLES
def test_quick_connecting_is_not_told(style: str, postgres: Server, traced: Traced) -> None:
    run = traced(program(style, ONCE), postgres.dsn, env={"OTEL_RUN_CONNECTION_THRESHOLD": "60000"})
    assert [span.name for span in run.spans] == ["root", "BEGIN", "SELECT", "COMMIT"], run


def test_without_a_trace_connecting_is_one_of_its_own(postgres: Server, traced: Traced) -> None:
    source = "import sys, psycopg\nwith psycopg.connect(sys.argv[1]) as c: pass"
    run = traced(source, postgres.dsn, env=ALL)
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [(span.name, span.kind, span.parent_id) for span in run.spans] == [("CONNECT postgres", "CLIENT", "")], run


@STYLES
def test_suppressed_connecting_is_not_told(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        from opentelemetry.instrumentation.utils import suppress_instrumentation
        with suppress_instrumentation():
            async with await connect(sys.argv[1]) as c:
                await c.execute("SELECT 1")
"""
    assert [span.name for span in traced(program(style, body), postgres.dsn, env=ALL).spans] == ["root"]


FAILING = """
        for args, kwargs in {attempts!r}:
            try:
                await connect(*args, **kwargs)
            except psycopg.Error as error:
                print(type(error).__name__, error.__cause__, error.__context__)
"""


@STYLES
def test_a_refused_connection_is_told_with_the_address(style: str, closed_port: int, traced: Traced) -> None:
    server: dict[str, Any] = {"host": "127.0.0.1", "port": closed_port}
    attempts: list[tuple[list[str], dict[str, Any]]] = [
        ([f"postgresql://someone:s3cret@127.0.0.1:{closed_port}/orders"], {}),
        ([f"host=127.0.0.1 port={closed_port} dbname=orders password=s3cret"], {}),
        (["password=s3cret"], {**server, "dbname": "orders", "autocommit": True}),
        ([], {"conninfo": "dbname=orders", **server}),
    ]
    source = program(style, FAILING.format(attempts=attempts))
    run = traced(source)
    assert run.stdout == traced(source, env={"OTEL_RUN_ENABLED": "false"}).stdout
    assert run.stdout == "OperationalError None None\n" * len(attempts)
    _root, *connects = run.spans
    assert [span.name for span in connects] == ["CONNECT orders"] * len(attempts), run
    for connect in connects:
        assert connect.attributes == {
            "db.system.name": "postgresql",
            "db.namespace": "orders",
            "db.operation.name": "CONNECT",
            "server.address": "127.0.0.1",
            "server.port": closed_port,
            "error.type": "psycopg.OperationalError",
        }
        assert (connect.kind, connect.status) == ("CLIENT", "ERROR")
        assert "refused" in connect.status_message
    assert "s3cret" not in repr(run.spans)


BROKEN = [
    "postgresql://user:abc/s3cret@127.0.0.1/orders",
    "postgresql://user:s3cret/abc@127.0.0.1/orders",
    "postgresql://user:abc@s3cret@127.0.0.1:1/orders",
    "postgresql://user:%zzs3cret@127.0.0.1/orders",
    "host=127.0.0.1 password=abc s3cret",
    "host=127.0.0.1 port=1,2 password=s3cret",
    "host=127.0.0.1 port=s3cret",
]


@STYLES
def test_a_password_that_breaks_the_address_is_not_told(style: str, traced: Traced) -> None:
    source = program(style, FAILING.format(attempts=[([conninfo], {}) for conninfo in BROKEN]))
    run = traced(source)
    assert run.stdout == traced(source, env={"OTEL_RUN_ENABLED": "false"}).stdout
    _root, *connects = run.spans
    assert len(connects) == len(BROKEN), run
    for connect in connects:
        assert (connect.attributes["db.system.name"], connect.status) == ("postgresql", "ERROR")
        told = (connect.name, connect.attributes, connect.status_message, connect.events)
        assert "s3cret" not in repr(told), run


def test_several_hosts_are_one_attempt_of_the_program(closed_port: int, traced: Traced) -> None:
    attempts = [([f"host=127.0.0.1,localhost port={closed_port} dbname=orders"], {})]
    connect = traced(program("sync", FAILING.format(attempts=attempts))).span("CONNECT orders")
    assert connect.status == "ERROR"
    assert "server.address" not in connect.attributes


def test_a_cancelled_connect_is_no_error(traced: Traced) -> None:
    run = traced(
        """
        import asyncio, psycopg, socket
        from opentelemetry import trace

        async def main():
            server = socket.create_server(("127.0.0.1", 0))  # whoever connects waits for an answer
            port = server.getsockname()[1]
            with trace.get_tracer("test").start_as_current_span("root"):
                attempt = psycopg.AsyncConnection.connect(f"host=127.0.0.1 port={port} dbname=orders")
                try:
                    await asyncio.wait_for(attempt, 0.2)
                except asyncio.TimeoutError:
                    print("cancelled")
            server.close()

        asyncio.run(main())
        """,
        env=ALL,
    )
    assert (run.stdout, [span.name for span in run.spans]) == ("cancelled\n", ["root"]), run


@STYLES
def test_a_subclass_of_a_connection_connects_as_before(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        class Mine(psycopg.AsyncConnection):
            @classmethod
            async def connect(cls, *args, **kwargs):
                c = await super().connect(*args, **kwargs)
                await c.set_autocommit(True)
                return c
        async with await Mine.connect(sys.argv[1]) as c:
            assert type(c) is Mine
            await c.execute("SELECT 1")
"""
    run = traced(program(style, body), postgres.dsn, env=ALL)
    assert [span.name for span in run.spans] == ["root", "CONNECT postgres", "SELECT"], run


SCHEMAS = {
    "": "postgres",
    "-c search_path=shop": "postgres|shop",
    "-csearch_path=Shop -c statement_timeout=9000": "postgres|shop",
    "--search_path=shop": "postgres|shop",
    "-c search_path=a -c search_path=b": "postgres|b",
    "-c search_path=shop,public": "postgres",
    "-c search_path=shop,\\ public": "postgres",
    '-c search_path="$user"': "postgres",
    "-c statement_timeout=9000": "postgres",
}


def test_a_connection_with_one_schema_tells_it(postgres: Server, traced: Traced) -> None:
    run = traced(
        f"""
        import sys, psycopg
        for options in {list(SCHEMAS)!r}:
            with psycopg.connect(sys.argv[1], autocommit=True, options=options) as c:
                c.execute("SELECT 1")
        """,
        postgres.dsn,
    )
    statements = [span for span in run.spans if span.name == "SELECT"]  # connecting may be noticeable
    assert [span.attributes["db.namespace"] for span in statements] == list(SCHEMAS.values()), run
    assert (run.returncode, run.stderr) == (0, "")


def test_a_server_that_reports_its_search_path_is_believed(postgres: Server, traced: Traced) -> None:
    import psycopg

    with psycopg.connect(postgres.dsn) as connection:
        if connection.pgconn.parameter_status(b"search_path") is None:
            pytest.skip("PostgreSQL before 18 does not report it")
    run = traced(
        """
        import sys, psycopg
        with psycopg.connect(sys.argv[1], autocommit=True) as c:
            c.execute("SELECT 1")
            c.execute("SET search_path = shop")
            c.execute("SELECT 2")
            c.execute("SET search_path = shop, public")
            c.execute("SELECT 3")
        """,
        postgres.dsn,
    )
    assert [span.attributes["db.namespace"] for span in run.spans if span.name == "SELECT"] == [
        "postgres",
        "postgres|shop",
        "postgres",
    ], run

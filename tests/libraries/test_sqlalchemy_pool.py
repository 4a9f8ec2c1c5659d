"""SQLAlchemy's pools under `otel-run`: connecting, waiting and pinging, told only where it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.sqlalchemy_programs import USUAL, Described, in_asyncio, of, sync

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced
    from servers.web import Web

THRESHOLD = "10"  # ms, the default of OTEL_RUN_CONNECTION_THRESHOLD

# Around each program's work, since these spans are made only inside a trace.
ROOT = """
        from opentelemetry import trace
        tracer = trace.get_tracer("test")
"""
NOTICED = {"OTEL_RUN_CONNECTION_THRESHOLD": "0"}
NEVER_NOTICED = {"OTEL_RUN_CONNECTION_THRESHOLD": "60000"}

DRIVERS = pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])


@pytest.fixture
def described(postgres: Server) -> Described:
    return Described.postgres(postgres)


def below(run: Run, name: str) -> list[str]:
    """Return the names of the spans whose parent is the one called `name`."""
    assert run.returncode == 0, run
    parent = run.span(name).span_id
    return [span.name for span in run.spans if span.parent_id == parent]


CONNECT = sync(
    ROOT
    + """
        with tracer.start_as_current_span("root"):
            with engine.begin() as c:
                c.exec_driver_sql("SELECT 1")
            with engine.begin() as c:
                c.exec_driver_sql("SELECT 1")
"""
)


@DRIVERS
def test_connecting_is_one_span_if_it_takes_noticeable_time(
    driver: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(CONNECT, of(postgres, driver), env=NOTICED)
    each = ["BEGIN", "SELECT", "COMMIT"] if driver == "psycopg" else ["SELECT", "COMMIT"]
    assert below(run, "root") == ["CONNECT postgres", *each, *each], run
    connect = run.span("CONNECT postgres")
    assert connect.attributes == {**described.database, "db.operation.name": "CONNECT"}
    assert (connect.kind, connect.status) == ("CLIENT", "UNSET")
    assert connect.scope == "otel_run.instrumentors.sqlalchemy"


@DRIVERS
def test_connecting_is_silent_if_it_is_quick(driver: str, postgres: Server, traced: Traced) -> None:
    run = traced(CONNECT, of(postgres, driver), env=NEVER_NOTICED)
    assert not [span for span in run.spans if "CONNECT" in span.name], run


@DRIVERS
@pytest.mark.parametrize("when", ["s3cret", "s3cret@with:more/of?it"])
def test_a_failed_connect_says_where_and_why_but_not_with_what_password(
    driver: str, when: str, closed_port: int, postgres: Server, traced: Traced
) -> None:
    of(postgres, driver)
    run = traced(
        ROOT.replace("        ", "")
        + """
import sys, sqlalchemy as sa
url = sa.engine.URL.create(sys.argv[1], "me", sys.argv[2], "127.0.0.1", int(sys.argv[3]), "shop")
engine = sa.create_engine(url)
with tracer.start_as_current_span("root"):
    try:
        engine.connect()
    except sa.exc.OperationalError as error:
        print(type(error.orig).__name__, error.__cause__ is error.orig, error.orig.__context__)
""",
        f"postgresql+{driver}",
        when,
        str(closed_port),
    )
    assert run.stdout == "OperationalError True None\n", run
    assert below(run, "root") == ["CONNECT shop"]
    span = run.span("CONNECT shop")
    assert span.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "shop",
        "server.address": "127.0.0.1",
        "server.port": closed_port,
        "db.operation.name": "CONNECT",
        "error.type": f"{driver}.OperationalError",
    }
    assert span.status == "ERROR"
    assert "s3cret" not in repr(run.spans)


@pytest.mark.parametrize("rest", ["me:pa@s3cret@host", "me/or:s3cret@host", "me/or:pa@s3cret@host"])
def test_a_password_that_breaks_the_url_is_not_told(rest: str, traced: Traced) -> None:
    run = traced(
        ROOT.replace("        ", "")
        + """
import sys, sqlalchemy as sa
url = sa.engine.make_url(sys.argv[1])
def fail():
    raise OSError
with tracer.start_as_current_span("root"):
    try:
        sa.create_engine(url, creator=fail).connect()
    except OSError:
        print("s3cret" in repr((url.host, url.database)))
""",
        f"postgresql+{USUAL}://{rest}:5/shop",
    )
    assert run.stdout == "True\n", run
    (connect,) = below(run, "root")
    assert connect in ("CONNECT", "CONNECT shop")
    assert "s3cret" not in repr(run.spans)


def test_what_a_connection_starts_while_it_is_made_is_traced_when_it_runs(postgres: Server, traced: Traced) -> None:
    body = """
        import asyncio
        heard = asyncio.Event()
        async def answer():
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1 AS answer"))
            heard.set()
        tasks = []
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            await raw.driver_connection.add_listener(
                "bell", lambda *_: tasks.append(asyncio.get_running_loop().create_task(answer()))
            )
            await connection.execute(sa.text("NOTIFY bell"))
            await connection.commit()
            await asyncio.wait_for(heard.wait(), 30)
        """
    run = traced(in_asyncio(body), of(postgres, "asyncpg"), env=NEVER_NOTICED)
    assert run.returncode == 0, run
    assert [span.name for span in run.spans] == ["BEGIN", "NOTIFY", "COMMIT", "BEGIN", "SELECT", "ROLLBACK"], run


@pytest.mark.parametrize("how", ["creator", "listener"])
def test_what_fetches_a_password_shows_while_the_database_is_silent(
    how: str, web: Web, postgres: Server, traced: Traced
) -> None:
    run = traced(
        ROOT.replace("        ", "")
        + """
import sys, requests, psycopg, sqlalchemy as sa
url, dsn, web, how = sys.argv[1:]

def fetch():
    return requests.get(web).status_code

def connect():
    assert fetch() == 200
    return psycopg.connect(dsn)

engine = sa.create_engine(url, **({"creator": connect} if how == "creator" else {}))
if how == "listener":
    @sa.event.listens_for(engine, "do_connect")
    def ask(dialect, record, cargs, cparams):
        assert fetch() == 200

with tracer.start_as_current_span("root"), engine.connect() as c:
    c.exec_driver_sql("SELECT 1")
""",
        of(postgres, "psycopg"),
        postgres.dsn,
        web.url + "/echo",
        how,
        env=NOTICED,
    )
    assert sorted(below(run, "root")) == ["BEGIN", "CONNECT postgres", "GET", "ROLLBACK", "SELECT"], run


WAIT = """
        import threading
        engine = sa.create_engine(sys.argv[1], pool_size=1, max_overflow=0, pool_timeout=TIMEOUT)
        engine.connect().close()
        with tracer.start_as_current_span("root"):
            held = engine.connect()
            if TIMEOUT == 5:
                threading.Timer(0.3, held.close).start()
            try:
                engine.connect().close()
            except sa.exc.TimeoutError as error:
                print(error.args[0], error.__cause__, error.__context__)
"""


def test_waiting_for_the_pool_is_a_span(postgres: Server, traced: Traced) -> None:
    run = traced(sync(ROOT + WAIT.replace("TIMEOUT", "5")), of(postgres, USUAL))
    assert below(run, "root") == ["WAIT FOR POOL"], run
    wait = run.span("WAIT FOR POOL")
    assert wait.attributes == {
        "db.system.name": "postgresql",
        "db.client.connection.pool.name": f"{postgres.host}:{postgres.port}/postgres",
    }
    assert (wait.kind, wait.status) == ("INTERNAL", "UNSET")
    assert wait.end - wait.start >= 200_000_000


def test_waiting_for_the_pool_in_vain_is_a_failure(postgres: Server, traced: Traced) -> None:
    run = traced(sync(ROOT + WAIT.replace("TIMEOUT", "0.1")), of(postgres, USUAL))
    text = "QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.10"
    assert run.stdout == f"{text} None None\n", run
    wait = run.span("WAIT FOR POOL")
    assert wait.attributes["error.type"] == "sqlalchemy.exc.TimeoutError"
    assert (wait.status, wait.status_message) == ("ERROR", text)


def test_the_pool_of_an_async_engine_is_waited_for_and_left_at_a_cancellation(postgres: Server, traced: Traced) -> None:
    run = traced(
        in_asyncio(
            ROOT
            + """
        engine = create_async_engine(sys.argv[1], pool_size=1, max_overflow=0, pool_logging_name="mine")

        async def check_out():
            async with engine.connect():
                pass

        async def wait(name, seconds):
            with tracer.start_as_current_span(name) as root:
                try:
                    await asyncio.wait_for(check_out(), seconds)
                except asyncio.TimeoutError:
                    print("timeout")
                assert trace.get_current_span() is root

        async with engine.connect():
            waiting = asyncio.create_task(wait("served", 60))
            await wait("cancelled", 0.2)
        await waiting
        """
        ),
        of(postgres, "asyncpg"),
    )
    assert run.stdout == "timeout\n", run
    assert below(run, "served") == below(run, "cancelled") == ["WAIT FOR POOL"]
    waits = [span for span in run.spans if span.name == "WAIT FOR POOL"]
    assert [span.status for span in waits] == ["UNSET", "UNSET"]
    assert [span.attributes["db.client.connection.pool.name"] for span in waits] == ["mine", "mine"]


PING = sync(
    ROOT
    + """
        engine = sa.create_engine(sys.argv[1], pool_pre_ping=True)
        with engine.connect() as c:
            pid = c.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        if "lost" in sys.argv:
            with sa.create_engine(sys.argv[1]).connect() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
            import time; time.sleep(0.2)
        with tracer.start_as_current_span("root"):
            with engine.begin() as c:
                c.exec_driver_sql("SELECT 1")
"""
)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("threshold", [NOTICED, NEVER_NOTICED], ids=["noticed", "quick"])
def test_a_ping_is_no_query_and_shows_where_it_is_slow(
    driver: str, threshold: dict[str, str], postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(PING, of(postgres, driver), env=threshold)
    begin = ["BEGIN"] if driver == "psycopg" else []
    ping = ["PING"] if threshold is NOTICED else []
    assert below(run, "root") == [*ping, *begin, "SELECT", "COMMIT"], run
    if ping:
        assert run.span("PING").attributes == {**described.database, "db.operation.name": "PING"}
        assert run.span("PING").kind == "CLIENT"


@DRIVERS
def test_a_ping_that_finds_the_connection_lost_is_a_failure(driver: str, postgres: Server, traced: Traced) -> None:
    pytest.importorskip("sqlalchemy", minversion="2.0.10", reason="before, SQLAlchemy kept the error to itself")
    run = traced(PING, of(postgres, driver), "lost", env=NEVER_NOTICED)
    assert below(run, "root")[0] == "PING", run
    ping = run.span("PING")
    error = {"psycopg": "psycopg.errors.AdminShutdown", "psycopg2": "psycopg2.OperationalError"}[driver]
    assert (ping.status, ping.attributes["error.type"]) == ("ERROR", error)
    # psycopg2 knows no more than that the connection is gone.
    assert ping.attributes.get("db.response.status_code") == ("57P01" if driver == "psycopg" else None)


def test_the_context_is_what_it_was_after_everything_fails(closed_port: int, traced: Traced) -> None:
    run = traced(
        ROOT.replace("        ", "")
        + """
import sys, sqlalchemy as sa
from opentelemetry import context

@sa.event.listens_for(sa.pool.Pool, "connect")
def refuse(connection, record):
    raise RuntimeError("theirs")

before = context.get_current()
for url in sys.argv[1:]:
    for _ in range(2):
        try:
            sa.create_engine(url).connect()
        except (RuntimeError, sa.exc.OperationalError) as error:
            print(type(error).__name__)
        assert context.get_current() is before
""",
        "sqlite://",
        f"postgresql+{USUAL}://127.0.0.1:{closed_port}/x",
    )
    assert run.stdout == "RuntimeError\nRuntimeError\nOperationalError\nOperationalError\n", run
    assert [(span.name, span.status) for span in run.spans] == [
        *[("CONNECT :memory:", "ERROR")] * 2,
        *[("CONNECT x", "ERROR")] * 2,
    ], run

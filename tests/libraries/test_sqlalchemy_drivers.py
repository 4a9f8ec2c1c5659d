"""SQLAlchemy under `otel-run` over other drivers than psycopg: whole spans, whatever they do by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.sqlalchemy_programs import Described, assert_spans, in_asyncio, of, sync

if TYPE_CHECKING:
    from pathlib import Path

    from otel_run.command.demo.servers import Server
    from servers.program import Traced


@pytest.fixture
def described(postgres: Server) -> Described:
    return Described.postgres(postgres)


def test_asyncpgs_begin_is_a_sibling_and_no_part_of_the_statement(
    postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        in_asyncio(
            """
        async with engine.begin() as c:
            await c.execute(sa.text("CREATE TEMP TABLE t (name text)"))
            await c.execute(sa.text("INSERT INTO t VALUES (:n)"), {"n": "s3cret"})
            async with c.begin_nested():
                await c.execute(sa.text("INSERT INTO t VALUES (:n)"), [{"n": "s3cret"}, {"n": "s3cret"}])
        async with engine.connect() as c:
            rows = await c.stream(sa.text("SELECT name FROM t"))
            assert len([row async for row in rows]) == 3
        async with engine.connect() as c:
            await c.execution_options(isolation_level="AUTOCOMMIT")
            await c.execute(sa.text("SELECT 's3cret'"))
        """
        ),
        of(postgres, "asyncpg"),
        env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "asyncpg"},  # contrib's tells each fetch of a cursor
    )
    text = "INSERT INTO t VALUES ($1)" if "$1" in str(run) else "INSERT INTO t VALUES (%s)"  # SQLAlchemy 1.4
    assert_spans(
        run,
        described("BEGIN"),
        described("CREATE TABLE t", "CREATE TEMP TABLE t (name text)", "t"),
        described("INSERT t", text, "t"),
        described("SAVEPOINT", "SAVEPOINT sa_savepoint_1"),
        {**described("BATCH INSERT t", text, "t"), "db.operation.batch.size": 2},
        described("RELEASE SAVEPOINT", "RELEASE SAVEPOINT sa_savepoint_1"),
        described("COMMIT"),
        described("BEGIN"),
        described("SELECT t", "SELECT name FROM t", "t"),
        described("ROLLBACK"),
        described("SELECT", "SELECT ?"),
    )


def test_asyncpgs_error_is_its_own_and_holds_no_value(postgres: Server, traced: Traced, described: Described) -> None:
    run = traced(
        in_asyncio(
            """
        async with engine.connect() as c:
            try:
                await c.execute(sa.text("SELECT CAST('s3cret' AS int)"))
            except sa.exc.DBAPIError as error:
                print(type(error.orig.__cause__).__name__, error.__cause__ is error.orig)
        """
        ),
        of(postgres, "asyncpg"),
    )
    assert run.stdout == "InvalidTextRepresentationError True\n", run
    failed = {"error.type": "asyncpg.exceptions.InvalidTextRepresentationError", "db.response.status_code": "22P02"}
    select = described("SELECT", "SELECT CAST(? AS int)")
    assert_spans(run, described("BEGIN"), select | failed, described("ROLLBACK"))
    assert run.spans[1].status_message == "invalid input syntax for type integer"


def test_a_begin_of_asyncpgs_that_fails_is_told_as_failed(postgres: Server, traced: Traced) -> None:
    run = traced(
        in_asyncio(
            """
        async with engine.connect() as c:
            pid = (await c.exec_driver_sql("SELECT pg_backend_pid()")).scalar()
            await c.rollback()
            async with engine.connect() as other:
                await other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
                await asyncio.sleep(0.2)
            try:
                await c.exec_driver_sql("SELECT 'lost'")
            except sa.exc.DBAPIError as error:
                print(error.connection_invalidated)
        """
        ),
        of(postgres, "asyncpg"),
    )
    assert run.stdout == "True\n", run
    lost, after = run.spans[-2:]
    assert (lost.name, lost.status, after.name, after.status) == ("BEGIN", "ERROR", "SELECT", "ERROR")
    assert lost.end <= after.start


@pytest.mark.parametrize("driver", ["psycopg2", "pg8000"])
def test_a_sync_driver_that_begins_unseen_has_the_rest(
    driver: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        sync(
            """
        with engine.begin() as c:
            c.execute(sa.text("SELECT 's3cret'"))
            with c.begin_nested():
                c.execute(sa.text("SELECT CAST(:n AS text)"), {"n": "s3cret"})
        with engine.connect() as c:
            try:
                c.execute(sa.text("SELECT 's3cret'::int"))
            except sa.exc.DBAPIError as error:
                print(error.__cause__ is error.orig)
        engine.connect().close()
        """
        ),
        of(postgres, driver),
    )
    assert run.stdout == "True\n", run
    assert [(span.name, span.status) for span in run.spans] == [
        ("SELECT", "UNSET"),
        ("SAVEPOINT", "UNSET"),
        ("SELECT", "UNSET"),
        ("RELEASE SAVEPOINT", "UNSET"),
        ("COMMIT", "UNSET"),
        ("SELECT", "ERROR"),
        ("ROLLBACK", "UNSET"),
    ], run
    assert run.spans[0].attributes == described("SELECT", "SELECT ?")
    assert "s3cret" not in repr(run.spans)


def test_sqlite_over_asyncio_is_like_sqlite(tmp_path: Path, traced: Traced) -> None:
    file = tmp_path / "shop.db"
    run = traced(
        in_asyncio(
            """
        async with engine.begin() as c:
            await c.execute(sa.text("CREATE TABLE t (name text UNIQUE)"))
            await c.execute(sa.text("INSERT INTO t VALUES ('s3cret')"))
        async with engine.connect():
            pass
        """
        ),
        f"sqlite+aiosqlite:///{file}",
    )
    described = Described({"db.system.name": "sqlite", "db.namespace": str(file)})
    create = described("CREATE TABLE t", "CREATE TABLE t (name text UNIQUE)", "t")
    assert_spans(run, create, described("INSERT t", "INSERT INTO t VALUES (?)", "t"), described("COMMIT"))


def test_a_driver_of_contribs_below_makes_no_second_span(
    postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        sync(
            """
        with engine.begin() as c:
            c.execute(sa.text("SELECT 's3cret'"))
        raw = engine.raw_connection()
        cursor = raw.cursor()
        cursor.execute("SELECT 1 AS raw")
        raw.close()
        """
        ),
        of(postgres, "psycopg2"),
        env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "none of them"},
    )
    ours = [span for span in run.spans if span.scope == "otel_run.instrumentors.sqlalchemy"]
    theirs = [span for span in run.spans if span not in ours]
    assert [span.name for span in ours] == ["SELECT", "COMMIT", "ROLLBACK"], run
    assert [span.name for span in theirs] == ["SELECT"], run


# A DBAPI of MySQL's that answers everything with one row: what SQLAlchemy asks of its server at first is a version
# and a few settings.
FAKE = r"""
import sys, sqlalchemy as sa

class Error(Exception): __module__ = "pymysql.err"
class IntegrityError(Error): __module__ = "pymysql.err"

class Cursor:
    description, rowcount, lastrowid, arraysize = None, 1, 1, 1
    def execute(self, statement, parameters=None):
        if "INSERT INTO broken" in statement:
            raise IntegrityError(1062, "Duplicate entry 's3cret' for key 'name'")
        asks = statement.lstrip().upper().startswith(("SELECT", "SHOW"))
        self.description = [(name, 253, None, None, None, None, None) for name in "ab"] if asks else None
        self.rows = [(VERSION if "version" in statement.lower() else "0", "0")]
    def executemany(self, statement, sets): self.description = None
    def fetchone(self): return self.rows.pop() if self.rows else None
    def fetchall(self): rows, self.rows = self.rows, []; return rows
    def fetchmany(self, size=None): return self.fetchall()
    def close(self): pass

class Connection:
    def cursor(self, *args): return Cursor()
    def commit(self): pass
    def rollback(self): pass
    def close(self): pass
    def ping(self, *args): pass
    def character_set_name(self): return "utf8mb4"
    def get_server_info(self): return VERSION
    server_version = "8.0.0"

class module:
    __name__, paramstyle, apilevel, threadsafety, version_info = "pymysql", "format", "2.0", 1, (1, 1, 0, "final", 1)
    __version__ = VERSION_STRING = "1.1.0"
    class constants:
        class CLIENT: FOUND_ROWS = 2
        class FIELD_TYPE: pass
    class connections:
        class Connection:
            def ping(self, reconnect=True): pass
    connect = staticmethod(lambda *args, **kwargs: Connection())
    Warning = InterfaceError = DatabaseError = OperationalError = ProgrammingError = Error
    InternalError = DataError = NotSupportedError = Error
module.Error, module.IntegrityError = Error, IntegrityError

VERSION = sys.argv[1]
engine = sa.create_engine("mysql+pymysql://root:s3cret@db.example:3307/shop", module=module)
with engine.begin() as c:
    c.exec_driver_sql(r'''SELECT "s3cret", 'it\'s s3cret' FROM t''')
    c.exec_driver_sql("INSERT INTO t VALUES (%s)", [("s3cret",), ("s3cret",)])
try:
    with engine.begin() as c:
        c.exec_driver_sql("INSERT INTO broken VALUES ('s3cret')")
except sa.exc.IntegrityError:
    pass
"""


@pytest.mark.parametrize(("version", "system"), [("8.0.30", "mysql"), ("5.5.5-10.11.2-MariaDB", "mariadb")])
def test_mysql_has_strings_of_its_own_and_numbers_its_errors(version: str, system: str, traced: Traced) -> None:
    run = traced(FAKE, version)
    described = Described(
        {"db.system.name": system, "db.namespace": "shop", "server.address": "db.example", "server.port": 3307}
    )
    failed = {"error.type": "pymysql.err.IntegrityError", "db.response.status_code": "1062"}
    assert_spans(
        run,
        described("SELECT t", "SELECT ?, ? FROM t", "t"),
        {**described("BATCH INSERT t", "INSERT INTO t VALUES (%s)", "t"), "db.operation.batch.size": 2},
        described("COMMIT"),
        # MySQL's drivers send each one, also the pool's when a connection comes back.
        described("ROLLBACK"),
        described("INSERT broken", "INSERT INTO broken VALUES (?)", "broken") | failed,
        described("ROLLBACK"),
        described("ROLLBACK"),
    )

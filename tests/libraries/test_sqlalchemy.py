"""SQLAlchemy under `otel-run`: one span for each trip to the database, Core and ORM, sync and async, any dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced

# In every program: the engine's URL is the first argument, and "s3cret" is a value or a part of one.
MODEL = """
import sys, sqlalchemy as sa
from sqlalchemy import orm

Base = orm.declarative_base()

class Item(Base):
    __tablename__ = "items"
    __table_args__ = {"prefixes": ["TEMPORARY"]}
    id = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
    name = sa.Column(sa.String, unique=True)

"""
SYNC = MODEL + "engine = sa.create_engine(sys.argv[1])\n"
ASYNC = (
    MODEL
    + """
import asyncio
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

async def main():
    engine = create_async_engine(sys.argv[1])
{body}
    await engine.dispose()

asyncio.run(main())
"""
)


def sync(body: str) -> str:
    """Return a whole program."""
    return SYNC + "\n".join(line[8:] for line in body.strip("\n").splitlines())


def in_asyncio(body: str) -> str:
    """Return a whole program whose `body` runs in a coroutine."""
    return ASYNC.replace("{body}", "\n".join(line[4:] for line in body.strip("\n").splitlines()))


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.dsn.replace("postgresql:", "postgresql+psycopg:")


class Described:
    """The attributes of spans on one database."""

    def __init__(self, database: dict[str, Any]) -> None:
        self.database = database

    def __call__(self, summary: str, text: str = "", collection: str = "", **others: Any) -> dict[str, Any]:
        """Return the attributes of a statement of one operation, or of a driver's call if there is no text."""
        operation = summary.removesuffix(" " + collection) if collection else summary
        return {
            **self.database,
            "db.query.summary": summary,
            "db.operation.name": operation,
            **({"db.query.text": text} if text else {}),
            **({"db.collection.name": collection} if collection else {}),
            **{name.replace("__", "."): value for name, value in others.items()},
        }


@pytest.fixture
def described(postgres: Server) -> Described:
    database = {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "server.address": postgres.host,
        "server.port": postgres.port,
    }
    return Described(database)


def assert_spans(run: Run, *expected: dict[str, Any]) -> None:
    assert run.returncode == 0, run
    assert [span.attributes for span in run.spans] == list(expected), run
    for span in run.spans:
        assert span.name == span.attributes["db.query.summary"]
        assert span.kind == "CLIENT"
        assert span.scope == "otel_run.instrumentors.sqlalchemy"
        assert (span.status == "ERROR") == ("error.type" in span.attributes)
    assert "s3cret" not in repr(run.spans)
    assert run.stderr == ""


def test_core_over_a_traced_driver_makes_one_span_for_each_query(
    url: str, traced: Traced, described: Described
) -> None:
    # No probes of the dialect's, no BEGIN inside the driver's call, no second span from psycopg.
    run = traced(
        sync(
            """
        with engine.begin() as c:
            c.execute(sa.text("CREATE TEMP TABLE t (id int, name text)"))
            insert = sa.text("INSERT INTO t VALUES (:id, :name)")
            c.execute(insert, [{"id": 1, "name": "s3cret"}, {"id": 2, "name": "s3cret"}])
            c.execute(insert, [{"id": 3, "name": "s3cret"}])
            assert c.exec_driver_sql("SELECT id FROM t WHERE name = 's3cret' ORDER BY id").scalars().all() == [1, 2, 3]
        with engine.connect() as c:
            c.execute(sa.text("SELECT 's3cret'"))
        """
        ),
        url,
    )
    text = "INSERT INTO t VALUES (%(id)s, %(name)s)"
    assert_spans(
        run,
        described("CREATE TABLE t", "CREATE TEMP TABLE t (id int, name text)", "t"),
        {**described("BATCH INSERT t", text, "t"), "db.operation.batch.size": 2},
        described("INSERT t", text, "t"),
        described("SELECT t", "SELECT id FROM t WHERE name = ? ORDER BY id", "t"),
        described("COMMIT"),
        described("SELECT", "SELECT ?"),
        described("ROLLBACK"),
    )


ORM = """
def work(c):
    session = orm.Session(c)
    Base.metadata.create_all(c)
    session.add_all([Item(id=n, name=f"s3cret {n}") for n in (1, 2)])
    session.flush()
    with session.begin_nested():
        session.add(Item(id=3, name="s3cret"))
    assert session.scalars(sa.select(Item.id).where(Item.name == "s3cret")).all() == [3]
    session.rollback()

"""
ORM_SPANS = ["BATCH INSERT items", "SAVEPOINT", "INSERT items", "RELEASE SAVEPOINT", "SELECT items", "ROLLBACK"]


@pytest.mark.parametrize("style", ["sync", "async"])
def test_the_orm_shows_flushes_savepoints_and_loads(style: str, url: str, traced: Traced) -> None:
    async_body = """
        async with engine.connect() as c:
            await c.run_sync(work)
    """
    sync_body = """
        with engine.connect() as c:
            work(c)
    """
    run = traced((in_asyncio(async_body) if style == "async" else sync(sync_body)).replace(MODEL, MODEL + ORM), url)
    assert run.returncode == 0, run
    names = [span.name for span in run.spans]
    assert names[names.index("CREATE TABLE items") + 1 :] == ORM_SPANS
    assert "s3cret" not in repr(run.spans)
    assert run.stderr == ""


def test_each_batch_of_many_values_is_a_trip(url: str, traced: Traced) -> None:
    run = traced(
        MODEL
        + """
class Line(Base):
    __tablename__ = "lines"
    __table_args__ = {"prefixes": ["TEMPORARY"]}
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String)

engine = sa.create_engine(sys.argv[1], insertmanyvalues_page_size=2)
with engine.connect() as c, orm.Session(c) as session:
    Base.metadata.create_all(c)
    lines = [Line(name=f"s3cret {n}") for n in range(3)]
    session.add_all(lines)
    session.flush()
    assert [line.id for line in lines] == [1, 2, 3]
""",
        url,
    )
    assert run.returncode == 0, run
    inserts = [span for span in run.spans if span.name.startswith("INSERT lines")]
    assert len(inserts) == 2
    assert not any("db.operation.batch.size" in span.attributes for span in inserts)
    assert "s3cret" not in repr(run.spans)


@pytest.mark.parametrize("style", ["sync", "async"])
def test_an_error_is_the_drivers_and_holds_no_value(style: str, url: str, traced: Traced, described: Described) -> None:
    body = """
        async with engine.connect() as c:
            await c.execute(sa.text("CREATE TEMP TABLE t (name text PRIMARY KEY)"))
            await c.commit()
            for statement in ("INSERT INTO t VALUES (:n), (:n)", "SELECT CAST(:n AS text)::int"):
                try:
                    await c.execute(sa.text(statement), {"n": "s3cret"})
                except sa.exc.DBAPIError as error:
                    print(type(error).__name__, type(error.orig).__name__, error.__cause__ is error.orig)
                    print(error.orig.__context__, error.orig.__cause__)
                await c.rollback()
        """
    source = in_asyncio(body) if style == "async" else sync(body.replace("async ", "").replace("await ", ""))
    run = traced(source, url)
    assert run.stdout == (
        "IntegrityError UniqueViolation True\nNone None\nDataError InvalidTextRepresentation True\nNone None\n"
    ), run
    create = described("CREATE TABLE t", "CREATE TEMP TABLE t (name text PRIMARY KEY)", "t")
    insert = described("INSERT t", "INSERT INTO t VALUES (%(n)s), (%(n)s)", "t")
    select = described("SELECT", "SELECT CAST(%(n)s AS text)::int")
    failures = (
        {"error.type": "psycopg.errors.UniqueViolation", "db.response.status_code": "23505"},
        {"error.type": "psycopg.errors.InvalidTextRepresentation", "db.response.status_code": "22P02"},
    )
    end = described("ROLLBACK")
    assert_spans(run, create, described("COMMIT"), insert | failures[0], end, select | failures[1], end)
    assert [span.status_message for span in run.spans if span.status == "ERROR"] == [
        'duplicate key value violates unique constraint "t_pkey"',
        "invalid input syntax for type integer",
    ]


def test_nothing_is_told_that_does_not_go_to_the_server(url: str, traced: Traced) -> None:
    run = traced(
        sync(
            """
        engine.connect().close()
        with engine.begin():
            pass
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            c.execute(sa.text("SELECT 1"))
            c.commit()
        """
        ),
        url,
    )
    assert [span.name for span in run.spans] == ["SELECT"], run


def test_sqlite_has_a_path_and_no_server(tmp_path: Path, traced: Traced) -> None:
    file = tmp_path / "shop.db"
    run = traced(
        sync(
            """
        with engine.begin() as c:
            c.execute(sa.text("CREATE TABLE t (name text UNIQUE)"))
            c.execute(sa.text("INSERT INTO t VALUES ('s3cret')"))
        try:
            with engine.begin() as c:
                c.execute(sa.text("INSERT INTO t VALUES (:name)"), {"name": "s3cret"})
        except sa.exc.IntegrityError:
            pass
        """
        ),
        f"sqlite:///{file}",
    )
    described = Described({"db.system.name": "sqlite", "db.namespace": str(file)})
    failed = run.spans[3].attributes
    code = failed.pop("db.response.status_code", None)
    assert code in (None, "SQLITE_CONSTRAINT_UNIQUE")  # Python 3.10 does not know it
    assert_spans(
        run,
        described("CREATE TABLE t", "CREATE TABLE t (name text UNIQUE)", "t"),
        described("INSERT t", "INSERT INTO t VALUES (?)", "t"),
        described("COMMIT"),
        described("INSERT t", "INSERT INTO t VALUES (?)", "t") | {"error.type": "sqlite3.IntegrityError"},
        described("ROLLBACK"),
    )
    assert run.spans[3].status_message == "UNIQUE constraint failed: t.name"


def test_a_dialect_of_ones_own_that_overrides_the_execution_is_traced_once(traced: Traced) -> None:
    run = traced(
        """
        import sqlalchemy as sa
        from sqlalchemy.dialects import registry
        from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

        class Mine(SQLiteDialect_pysqlite):
            name = "mine"

            def do_execute(self, cursor, statement, parameters, context=None):
                super().do_execute(cursor, statement, parameters, context)

        registry.impls["mine"] = lambda: Mine
        with sa.create_engine("mine://").connect() as c:
            print(c.execute(sa.text("SELECT 1")).scalar())
        """
    )
    assert run.stdout == "1\n", run
    assert [(span.name, span.attributes["db.system.name"]) for span in run.spans] == [("SELECT", "mine")]


def test_an_engine_that_connects_by_itself_still_tells_its_server(
    postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        """
        import sys, psycopg, sqlalchemy as sa

        engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(sys.argv[1]))
        with engine.connect() as c:
            c.execute(sa.text("SELECT 1"))
        """,
        postgres.dsn,
    )
    assert_spans(run, described("SELECT", "SELECT ?"), described("ROLLBACK"))


def test_parallel_sessions_keep_their_parents(url: str, traced: Traced) -> None:
    run = traced(
        in_asyncio(
            """
        from opentelemetry import trace

        tracer = trace.get_tracer("test")

        async def one(number):
            with tracer.start_as_current_span(f"root {number}") as root:
                async with AsyncSession(engine) as session:
                    await session.execute(sa.text("SELECT pg_sleep(0.01)"))
                    assert trace.get_current_span() is root
                    await session.execute(sa.text(f"SELECT 1 AS a{number}"))
                    await session.commit()
                    assert trace.get_current_span() is root

        await asyncio.gather(*(one(number) for number in range(50)))
        assert not trace.get_current_span().get_span_context().is_valid
        """
        ),
        url,
    )
    assert run.returncode == 0, run
    roots = {span.span_id: span.name for span in run.spans if span.name.startswith("root")}
    children = [span for span in run.spans if span.span_id not in roots]
    assert (len(roots), len(children)) == (50, 150), run
    for span in children:
        text = span.attributes.get("db.query.text", "")
        assert "AS a" not in text or "a" + roots[span.parent_id].split()[1] == text.split()[-1]
    assert run.stderr == ""


def test_a_cancelled_query_is_no_error_and_leaves_no_span_current(url: str, traced: Traced) -> None:
    run = traced(
        in_asyncio(
            """
        from opentelemetry import trace

        async def slow():
            async with engine.connect() as c:
                await c.execute(sa.text("SELECT pg_sleep(30)"))

        try:
            await asyncio.wait_for(slow(), 0.5)
        except asyncio.TimeoutError:
            print("timeout", trace.get_current_span().get_span_context().is_valid)
        """
        ),
        url,
    )
    assert run.stdout == "timeout False\n", run
    assert run.span("SELECT").status == "UNSET"


def test_without_greenlet_the_program_can_still_not_import_what_it_could_not(traced: Traced) -> None:
    run = traced(
        """
        import sys
        sys.modules["greenlet"] = None
        import sqlalchemy as sa
        with sa.create_engine("sqlite://").connect() as c:
            c.execute(sa.text("SELECT 1"))
        print("sqlalchemy.ext.asyncio" in sys.modules)
        """
    )
    assert run.stdout == "False\n", run
    assert [span.name for span in run.spans] == ["SELECT"]


def test_the_old_names_come_along_on_request(url: str, postgres: Server, traced: Traced, described: Described) -> None:
    run = traced(
        sync(
            """
        with engine.connect() as c:
            c.execute(sa.text("SELECT 's3cret'"))
        """
        ),
        url,
        env={"OTEL_SEMCONV_STABILITY_OPT_IN": "database/dup"},
    )
    assert run.span("SELECT").attributes == {
        **described("SELECT", "SELECT ?"),
        "db.system": "postgresql",
        "db.name": "postgres",
        "db.statement": "SELECT ?",
        "net.peer.name": postgres.host,
        "net.peer.port": postgres.port,
    }

"""SQLAlchemy under `otel-run`: one span for each trip to the database, Core and ORM, sync and async, any dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.sqlalchemy_programs import MODEL, Described, assert_spans, in_asyncio, of, sync

if TYPE_CHECKING:
    from pathlib import Path

    from otel_run.command.demo.servers import Server
    from servers.program import Traced


@pytest.fixture
def url(postgres: Server) -> str:
    return of(postgres, "psycopg")


@pytest.fixture
def described(postgres: Server) -> Described:
    return Described.postgres(postgres)


def test_core_over_a_traced_driver_makes_one_span_for_each_query(
    url: str, traced: Traced, described: Described
) -> None:
    # No probes of the dialect's, no second span from psycopg; its BEGIN is a sibling, not a part of the statement.
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
        described.begin,
        described("CREATE TABLE t", "CREATE TEMP TABLE t (id int, name text)", "t"),
        {**described("BATCH INSERT t", text, "t"), "db.operation.batch.size": 2},
        described("INSERT t", text, "t"),
        described("SELECT t", "SELECT id FROM t WHERE name = ? ORDER BY id", "t"),
        described("COMMIT"),
        described.begin,
        described("SELECT", "SELECT ?"),
        described("ROLLBACK"),
    )


@pytest.mark.parametrize("style", ["sync", "async"])
@pytest.mark.parametrize("many", [False, True], ids=["one row", "many rows"])
def test_the_begin_that_psycopg_sends_is_a_sibling_and_no_part_of_the_statement(
    style: str, many: bool, url: str, traced: Traced, described: Described
) -> None:
    body = """
        async with engine.connect() as c:
            await c.execute(sa.text("CREATE TEMP TABLE t (name text)"))
            await c.commit()
            await c.execute(sa.text("INSERT INTO t VALUES (:n)"), SETS)
            await c.commit()
            await c.execution_options(isolation_level="SERIALIZABLE")
            await c.execute(sa.text("SELECT name FROM t"))
        """.replace("SETS", '[{"n": "s3cret"}] * 3' if many else '{"n": "s3cret"}')
    source = in_asyncio(body) if style == "async" else sync(body.replace("async ", "").replace("await ", ""))
    text = "INSERT INTO t VALUES (%(n)s)"
    batch = {**described("BATCH INSERT t", text, "t"), "db.operation.batch.size": 3}
    assert_spans(
        traced(source, url),
        described.begin,
        described("CREATE TABLE t", "CREATE TEMP TABLE t (name text)", "t"),
        described("COMMIT"),
        described.begin,
        batch if many else described("INSERT t", text, "t"),
        described("COMMIT"),
        described("BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
        described("SELECT t", "SELECT name FROM t", "t"),
        described("ROLLBACK"),
    )


def test_a_begin_of_psycopgs_that_fails_is_told_as_failed(url: str, traced: Traced) -> None:
    run = traced(
        sync(
            """
        with engine.connect() as c, sa.create_engine(sys.argv[1]).connect() as other:
            pid = c.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            c.rollback()
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}), pg_sleep(0.2)")
            try:
                c.exec_driver_sql("SELECT 'lost'")
            except sa.exc.DBAPIError as error:
                print(error.connection_invalidated)
        """
        ),
        url,
    )
    assert run.stdout == "True\n", run
    lost, after = [span for span in run.spans if span.status == "ERROR"]
    assert (lost.name, after.name) == ("BEGIN", "SELECT")
    assert lost.end <= after.start
    assert {span.attributes["db.response.status_code"] for span in (lost, after)} == {"57P01"}


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
    begin, end = described.begin, described("ROLLBACK")
    created = (begin, create, described("COMMIT"))
    assert_spans(run, *created, begin, insert | failures[0], end, begin, select | failures[1], end)
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
    url: str, postgres: Server, traced: Traced, described: Described
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
    assert_spans(run, described.begin, described("SELECT", "SELECT ?"), described("ROLLBACK"))


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

        await asyncio.gather(*(one(number) for number in range(100)))
        assert not trace.get_current_span().get_span_context().is_valid
        """
        ),
        url,
        env={"OTEL_RUN_CONNECTION_THRESHOLD": "60000"},
    )
    assert run.returncode == 0, run
    roots = [span for span in run.spans if span.name.startswith("root")]
    assert len(roots) == 100, run
    for root in roots:
        children = [span for span in run.spans if span.parent_id == root.span_id]
        assert [span.name for span in children] == ["BEGIN", "SELECT", "SELECT", "COMMIT"]
        assert children[2].attributes["db.query.text"].endswith("AS a" + root.name.split()[1])
    assert len(run.spans) == 500
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


def test_an_error_of_sqlite_tells_no_literal(traced: Traced) -> None:
    statements = {
        "SELECT * FROM 's3cret'": "no such table",
        "SELECT nope FROM items": "no such column: nope",
        "SELECT * FROM nowhere": "no such table: nowhere",
        "INSERT INTO items VALUES (1, NULL, 1)": "NOT NULL constraint failed: items.name",
        "INSERT INTO items VALUES (731, 's3cret', 1)": "CHECK constraint failed",
        "INSERT INTO items VALUES (1, 's3cret', -1)": "CHECK constraint failed: positive",
        "SELEC 's3cret'": "near ?: syntax error",
        "SELECT json('s3cret')": "",
    }
    body = f"""
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE items (id INT CHECK (id <> 731), name TEXT NOT NULL,"
                " n INT CONSTRAINT positive CHECK (n > 0))"
            )
            for statement in {list(statements)!r}:
                try:
                    connection.exec_driver_sql(statement)
                except sa.exc.DBAPIError:
                    pass
        """
    run = traced(sync(body), "sqlite://")
    told = [span for span in run.spans if span.status == "ERROR"]
    assert [span.status_message for span in told] == list(statements.values()), run
    assert "s3cret" not in repr(run.spans)
    assert "731" not in repr([(span.attributes, span.events) for span in run.spans])

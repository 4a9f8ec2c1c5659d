"""SQLAlchemy where some requests are kept and others are not: the kept ones are told whole, the others not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libraries.sampled_programs import LOOKING, REQUESTS, at_start
from libraries.sqlalchemy_programs import USUAL, in_asyncio, sync

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced

# psycopg2 sends its BEGIN unseen.
BEGIN = ["BEGIN"] if USUAL == "psycopg" else []
SYNC = """
        def everything():
            with engine.begin() as connection:
                Base.metadata.create_all(connection)
                connection.execute(sa.insert(Item), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
                with orm.Session(connection) as session:
                    assert session.get(Item, 1).name == "a"
                connection.execute(sa.text("DROP TABLE items"))
            try:
                with engine.connect() as connection:
                    connection.execute(sa.text("SELECT 1 / 0"))
            except sa.exc.DBAPIError:
                pass
"""
ASYNC = """
        async def everything():
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
                await connection.execute(sa.insert(Item), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
                async with AsyncSession(connection) as session:
                    assert (await session.get(Item, 1)).name == "a"
                await connection.execute(sa.text("DROP TABLE items"))
            try:
                async with engine.connect() as connection:
                    await connection.execute(sa.text("SELECT 1 / 0"))
            except sa.exc.DBAPIError:
                pass
"""
MIXED = """
        for enter in (dropped, kept, dropped, kept):
            with enter():
                await everything()
            assert_outside()
"""
STYLES = pytest.mark.parametrize(
    "source",
    [sync(SYNC + MIXED.replace("await ", "")), *([in_asyncio(ASYNC + MIXED)] if USUAL == "psycopg" else [])],
    ids=["sync", "async"][: 1 + (USUAL == "psycopg")],
)


def url(server: Server) -> str:
    return server.dsn.replace("postgresql:", f"postgresql+{USUAL}:")


def told(run: Run) -> list[str]:
    """Return what the calls were; the program must have gone well, and all be children of the requests."""
    assert (run.returncode, run.stderr) == (0, ""), run
    calls = [span for span in run.spans if span.kind == "CLIENT"]
    assert {span.parent_id for span in calls} == {span.span_id for span in run.spans if span.name == "request"}, run
    return [str(span.attributes["db.operation.name"]) for span in calls]


@STYLES
def test_the_same_connection_serves_requests_of_both_kinds(source: str, postgres: Server, traced: Traced) -> None:
    run = traced(REQUESTS + source, url(postgres))
    operations = told(run)
    half = len(operations) // 2
    assert operations[:half] == operations[half:]
    expected = [*BEGIN, "SELECT", "CREATE TABLE", "BATCH INSERT", "SELECT", "DROP TABLE", "COMMIT"]
    assert operations[:half] == [*expected, *BEGIN, "SELECT", "ROLLBACK"]
    calls = [span for span in run.spans if span.kind == "CLIENT"]
    assert [span.name for span in calls if span.status == "ERROR"] == ["SELECT"] * 2
    assert {span.attributes["server.port"] for span in calls} == {postgres.port}
    assert {span.attributes["db.namespace"] for span in calls} == {"postgres"}


@STYLES
def test_nothing_is_told_where_nothing_is_kept(source: str, postgres: Server, traced: Traced) -> None:
    env = {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_RUN_CONNECTION_THRESHOLD": "0"}
    run = traced(REQUESTS + source.replace("with enter():", "if True:"), url(postgres), env=env)
    assert (run.returncode, run.stderr, run.spans) == (0, "", [])


def test_a_transaction_may_begin_in_one_request_and_end_in_another(postgres: Server, traced: Traced) -> None:
    source = sync(
        """
        # Neither this URL nor the first statement tells a kept request where the database is.
        given = sa.make_url(sys.argv[1])
        driver = __import__(given.get_driver_name())
        engine = sa.create_engine(given.drivername + "://", creator=lambda: driver.connect(sys.argv[2]))
        connection = engine.connect()
        with dropped():
            connection.execute(sa.text("SELECT 1"))
        with kept():
            connection.commit()
        with kept():
            connection.execute(sa.text("SELECT 2"))
        with dropped():
            connection.rollback()
        with kept():
            connection.execute(sa.text("SELECT 3"))
            connection.close()
        """
    )
    run = traced(REQUESTS + source, url(postgres), postgres.dsn)
    assert told(run) == ["COMMIT", *BEGIN, "SELECT", *BEGIN, "SELECT", "ROLLBACK"]
    commit = next(span for span in run.spans if span.kind == "CLIENT")
    assert commit.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "db.operation.name": "COMMIT",
        "db.query.summary": "COMMIT",
        "server.address": postgres.host,
        "server.port": postgres.port,
    }


@STYLES
def test_a_sampler_that_looks_at_attributes_sees_them_all(source: str, postgres: Server, traced: Traced) -> None:
    source = source.replace("with enter():", "if True:").replace("(dropped, kept, dropped, kept)", "(1, 2)")
    source = source.replace("assert_outside()", "pass")
    looking = traced(LOOKING + source + "\nprint(json.dumps(seen))", url(postgres))
    recorded = traced(source, url(postgres))
    assert (looking.returncode, looking.stderr, looking.spans) == (0, "", [])
    # psycopg's BEGIN is made inside the statement that it goes before.
    seen = sorted(json.loads(looking.stdout), key=repr)
    assert seen == sorted([[span.name, at_start(span)] for span in recorded.spans], key=repr)

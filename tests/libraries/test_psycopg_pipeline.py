"""psycopg's pipeline mode under `otel-run`: a span until its own answer, and each error where it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.psycopg_programs import STYLES, Described, assert_spans, program

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced

# It fails late: by then all that comes behind it is queued, and psycopg has not yet met the error anywhere.
LATE = "SELECT 1 / (pg_sleep(0.3) IS NULL)::int"
LATE_TOLD = "SELECT ? / (pg_sleep(?) IS NULL)::int"
DIVISION = {"error.type": "psycopg.errors.DivisionByZero", "db.response.status_code": "22012"}
ABORTED = {"error.type": "psycopg.errors.PipelineAborted"}


@pytest.fixture
def described(postgres: Server) -> Described:
    return Described(postgres)


def outcomes(run: Run) -> list[tuple[str, str, str]]:
    assert (run.returncode, run.stderr) == (0, ""), run
    return [(span.attributes["db.query.text"], span.status, span.status_message) for span in run.spans]


@STYLES
def test_a_span_lasts_until_its_own_answer(style: str, postgres: Server, traced: Traced, described: Described) -> None:
    run = traced(
        program(
            style,
            """
        async with c.pipeline() as pipeline:
            one = await c.execute("SELECT 1, pg_sleep(0.2)")
            two = await c.execute("SELECT 2 AS two")
            assert await one.fetchone() == (1, "")
            await pipeline.sync()
            assert await two.fetchone() == (2,)
            await c.commit()
        """,
        ),
        postgres.dsn,
    )
    assert_spans(
        run,
        described("BEGIN"),
        described("SELECT", "SELECT ?, pg_sleep(?)"),
        described("SELECT", "SELECT ? AS two"),
        described("COMMIT"),
    )
    begin, one, two, commit = run.spans
    assert begin.end <= one.start
    assert two.start < one.start + 100e6 < one.end <= two.end <= commit.start


@STYLES
def test_an_error_belongs_to_its_statement_wherever_the_program_meets_it(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = f"""
        await c.set_autocommit(True)
        try:
            async with c.pipeline() as pipeline:
                await c.execute("SELECT 1")
                await pipeline.sync()
                await c.execute("{LATE}")
                await c.execute("SELECT 3 AS three")
                await c.execute("SELECT 4 AS four")
                await pipeline.sync()
        except psycopg.errors.DivisionByZero as error:
            print(error.__context__, error.__cause__)
        await c.execute("SELECT 5 AS five")
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "None None\n", run
    assert_spans(
        run,
        described("SELECT", "SELECT ?"),
        {**described("SELECT", LATE_TOLD), **DIVISION},
        {**described("SELECT", "SELECT ? AS three"), **ABORTED},
        {**described("SELECT", "SELECT ? AS four"), **ABORTED},
        described("SELECT", "SELECT ? AS five"),
    )
    assert [span.status_message for span in run.spans] == ["", "division by zero", *["pipeline aborted"] * 2, ""]


@STYLES
def test_a_commit_is_not_to_blame_for_what_it_waits_for(style: str, postgres: Server, traced: Traced) -> None:
    body = f"""
        async with c.pipeline():
            await c.execute("{LATE}")
            try:
                await c.commit()
            except psycopg.errors.DivisionByZero:
                await c.rollback()
            await c.execute("SELECT 2")
        await c.commit()
        """
    assert outcomes(traced(program(style, body), postgres.dsn)) == [
        ("BEGIN", "UNSET", ""),
        (LATE_TOLD, "ERROR", "division by zero"),
        ("COMMIT", "ERROR", "pipeline aborted"),
        ("ROLLBACK", "UNSET", ""),
        ("BEGIN", "UNSET", ""),
        ("SELECT ?", "UNSET", ""),
        ("COMMIT", "UNSET", ""),
    ]


@STYLES
def test_transactions_and_savepoints_are_spans_there_too(style: str, postgres: Server, traced: Traced) -> None:
    body = f"""
        async with c.pipeline():
            async with c.transaction():
                await c.execute("SELECT 1")
                try:
                    async with c.transaction():
                        await c.execute("{LATE}")
                except psycopg.errors.DivisionByZero:
                    print("caught")
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "caught\n", run
    assert outcomes(run) == [
        ("BEGIN", "UNSET", ""),
        ("SELECT ?", "UNSET", ""),
        ('SAVEPOINT "_pg3_2"', "UNSET", ""),
        (LATE_TOLD, "ERROR", "division by zero"),
        ('ROLLBACK TO "_pg3_2"', "UNSET", ""),
        ('RELEASE "_pg3_2"', "UNSET", ""),
        ("COMMIT", "UNSET", ""),
    ]


@STYLES
def test_executemany_rides_a_pipeline_as_one_span(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        program(
            style,
            """
        import logging
        logging.disable()
        await c.set_autocommit(True)
        insert = "INSERT INTO t VALUES (%s)"
        try:
            async with c.pipeline() as pipeline:
                await c.execute("CREATE TEMP TABLE t (id int PRIMARY KEY)")
                await c.cursor().executemany(insert, [(number,) for number in range(700, 800)])
                await c.cursor().executemany(insert, [])
                await pipeline.sync()
                await c.cursor().executemany(insert, [(1,), (731,), (2,)])
        except psycopg.errors.UniqueViolation:
            print("twice")
        """,
        ),
        postgres.dsn,
    )
    assert run.stdout == "twice\n", run
    text = "INSERT INTO t VALUES (%s)"
    batch = described("BATCH INSERT t", text, "t")
    assert_spans(
        run,
        described("CREATE TABLE t", "CREATE TEMP TABLE t (id int PRIMARY KEY)", "t"),
        {**batch, "db.operation.batch.size": 100},
        {**batch, "db.operation.batch.size": 0},
        {
            **batch,
            "db.operation.batch.size": 3,
            "error.type": "psycopg.errors.UniqueViolation",
            "db.response.status_code": "23505",
        },
    )


@STYLES
def test_a_statement_that_can_not_be_queued_has_its_own_error(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        await c.set_autocommit(True)
        async with c.pipeline():
            await c.execute("SELECT 1")
            try:
                await c.execute("SELECT %s", (object(),))
            except psycopg.ProgrammingError as error:
                print(error)
            await c.execute("SELECT 2")
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout.startswith("cannot adapt type 'object'"), run
    assert [status for _, status, _ in outcomes(run)] == ["UNSET", "ERROR", "UNSET"]


@STYLES
def test_what_a_lost_connection_never_answered_has_its_error(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        import logging
        logging.disable()
        await c.set_autocommit(True)
        try:
            async with c.pipeline() as pipeline:
                await c.execute("SELECT 1")
                await pipeline.sync()
                await c.execute("SELECT pg_terminate_backend(pg_backend_pid())")
                await c.execute("SELECT 3")
        except psycopg.OperationalError:
            print("lost")
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "lost\n", run
    assert [status for _, status, _ in outcomes(run)] == ["UNSET", "ERROR", "ERROR"], run


def test_parallel_statements_in_one_pipeline_keep_their_parents(postgres: Server, traced: Traced) -> None:
    run = traced(
        """
        import asyncio, sys, psycopg
        from opentelemetry import trace

        tracer = trace.get_tracer("test")

        async def one(c, number):
            with tracer.start_as_current_span(f"root {number}"):
                cursor = await c.execute(f"SELECT 1 AS a{number}")
                assert await cursor.fetchone() == (1,)

        async def main():
            async with await psycopg.AsyncConnection.connect(sys.argv[1], autocommit=True) as c, c.pipeline():
                await asyncio.gather(*(one(c, number) for number in range(100)))

        asyncio.run(main())
        """,
        postgres.dsn,
    )
    assert run.returncode == 0, run
    roots = {span.span_id: span.name for span in run.spans if span.name.startswith("root")}
    children = [span for span in run.spans if span.span_id not in roots]
    assert (len(roots), len(children)) == (100, 100), run
    for span in children:
        assert "a" + roots[span.parent_id].split()[1] == span.attributes["db.query.text"].split()[-1]

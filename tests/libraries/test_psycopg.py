"""psycopg 3 under `otel-run`, against a real PostgreSQL: whole spans, sync and async, and no value in any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.psycopg_programs import STYLES, Described, assert_spans, program

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced


@pytest.fixture
def described(postgres: Server) -> Described:
    return Described(postgres)


@STYLES
def test_begin_statement_and_commit_are_three_spans_side_by_side(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        program(
            style,
            """
        cursor = c.cursor()
        assert await cursor.execute("SELECT 's3cret' AS a, %s AS b", ("s3cret",)) is cursor
        assert await cursor.fetchall() == [("s3cret", "s3cret")]
        await c.commit()
        await c.commit()
        await c.rollback()
        """,
        ),
        postgres.dsn,
    )
    assert_spans(run, described("BEGIN"), described("SELECT", "SELECT ? AS a, %s AS b"), described("COMMIT"))
    begin, select, commit = run.spans
    assert begin.parent_id == select.parent_id == commit.parent_id == ""
    assert begin.end <= select.start <= select.end <= commit.start


@STYLES
def test_each_way_to_run_a_statement_makes_one_span(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        program(
            style,
            """
        await c.set_autocommit(True)
        await c.execute("CREATE TEMP TABLE t (id int, name text)")
        await c.execute("INSERT INTO t VALUES (731, %(name)s)", {"name": "s3cret"})
        await c.execute(b"UPDATE t SET name = 's3cret'")
        composed = sql.SQL("SELECT {} FROM t WHERE name = {}").format(sql.Identifier("id"), sql.Literal("s3cret"))
        assert await (await c.execute(composed)).fetchone() == (731,)
        await psycopg.AsyncClientCursor(c).execute("SELECT name FROM t WHERE name = %s", ("s3cret",))
        await c.cursor().execute(query="DELETE FROM t WHERE id IN (731, 732)", params=None, prepare=True)

        class Mine(psycopg.AsyncCursor):
            async def execute(self, *args, **kwargs):
                return await super().execute(*args, **kwargs)

        await Mine(c).execute("TRUNCATE t")
        """,
        ),
        postgres.dsn,
    )
    assert_spans(
        run,
        described("CREATE TABLE t", "CREATE TEMP TABLE t (id int, name text)", "t"),
        described("INSERT t", "INSERT INTO t VALUES (?, %(name)s)", "t"),
        described("UPDATE t", "UPDATE t SET name = ?", "t"),
        described("SELECT t", 'SELECT "id" FROM t WHERE name = ?', "t"),
        described("SELECT t", "SELECT name FROM t WHERE name = %s", "t"),
        described("DELETE t", "DELETE FROM t WHERE id IN (?)", "t"),
        described("TRUNCATE t", "TRUNCATE t", "t"),
    )


@STYLES
def test_executemany_is_a_batch_unless_of_one(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        program(
            style,
            """
        insert = "INSERT INTO t VALUES (%s)"
        await c.execute("CREATE TEMP TABLE t (name text)")
        await c.commit()
        await c.cursor().executemany(insert, [("s3cret",), ("s3cret",)])
        await c.cursor().executemany(insert, [("s3cret",)])
        await c.cursor().executemany(insert, iter([("s3cret",), ("s3cret",)]))
        await c.rollback()
        """,
        ),
        postgres.dsn,
    )
    text = "INSERT INTO t VALUES (%s)"
    batch = {**described("BATCH INSERT t", text, "t"), "db.operation.batch.size": 2}
    spans = [span.attributes for span in run.spans]
    # psycopg drops its prepared statements after ROLLBACK, if it made any; that it does is its own affair.
    assert spans[3:8] == [
        described("BEGIN"),
        batch,
        described("INSERT t", text, "t"),
        described("INSERT t", text, "t"),
        described("ROLLBACK"),
    ], run
    assert "s3cret" not in repr(run.spans)


@STYLES
def test_server_cursors_streams_and_copy(style: str, postgres: Server, traced: Traced, described: Described) -> None:
    run = traced(
        program(
            style,
            """
        await c.execute("CREATE TEMP TABLE t (id int, name text)")
        async with c.cursor().copy("COPY t FROM STDIN") as copy:
            await copy.write_row((731, "s3cret"))
        async with c.cursor("page") as cursor:
            await cursor.execute("SELECT * FROM t WHERE id = 731")
            assert await cursor.fetchall() == [(731, "s3cret")]
        async for row in c.cursor().stream("SELECT id FROM t WHERE name = %s", ("s3cret",)):
            assert row == (731,)
        await c.rollback()
        """,
        ),
        postgres.dsn,
    )
    assert_spans(
        run,
        described("BEGIN"),
        described("CREATE TABLE t", "CREATE TEMP TABLE t (id int, name text)", "t"),
        described("COPY t", "COPY t FROM STDIN", "t"),
        described("SELECT t", "SELECT * FROM t WHERE id = ?", "t"),
        described("FETCH", 'FETCH FORWARD ALL FROM "page"'),
        described("CLOSE", 'CLOSE "page"'),
        described("SELECT t", "SELECT id FROM t WHERE name = %s", "t"),
        described("ROLLBACK"),
    )


@STYLES
def test_transaction_blocks_show_their_savepoints(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        program(
            style,
            """
        async with c.transaction():
            await c.execute("SELECT 1")
            async with c.transaction(force_rollback=True):
                await c.execute("SELECT 2")
        """,
        ),
        postgres.dsn,
    )
    assert_spans(
        run,
        described("BEGIN"),
        described("SELECT", "SELECT ?"),
        described("SAVEPOINT", 'SAVEPOINT "_pg3_2"'),
        described("SELECT", "SELECT ?"),
        described("ROLLBACK TO", 'ROLLBACK TO "_pg3_2"'),
        described("RELEASE", 'RELEASE "_pg3_2"'),
        described("COMMIT"),
    )


@STYLES
def test_a_pipeline_has_a_span_for_each_statement_and_for_what_it_waits_for(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    run = traced(
        program(
            style,
            """
        async with c.pipeline():
            one = await c.execute("SELECT 1")
            two = await c.execute("SELECT 2 AS two")
            await c.commit()
            assert await one.fetchone() == (1,)
        """,
        ),
        postgres.dsn,
    )
    assert_spans(
        run,
        described("BEGIN"),
        described("SELECT", "SELECT ?"),
        described("SELECT", "SELECT ? AS two"),
        described("COMMIT"),
    )


ERRORS = [
    ("SELECT 's3cret'::int", "22P02", "InvalidTextRepresentation", "invalid input syntax for type integer"),
    ("SELECT nope FROM pg_class", "42703", "UndefinedColumn", 'column "nope" does not exist'),
    ("SELECT FROM table731 s3cret table731", "42601", "SyntaxError", "syntax error at or near ?"),
    ("SELECT 1 / 0", "22012", "DivisionByZero", "division by zero"),
    ("DO $$ BEGIN RAISE 's3cret %', 731; END $$", "P0001", "RaiseException", ""),
]


@STYLES
def test_an_error_is_told_without_the_values_that_caused_it(style: str, postgres: Server, traced: Traced) -> None:
    body = f"""
        await c.set_autocommit(True)
        for statement in {[statement for statement, *_ in ERRORS]!r}:
            try:
                await c.execute(statement)
            except psycopg.Error as error:
                print(type(error).__name__, error.sqlstate, error.__context__, error.__cause__)
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "".join(f"{error} {code} None None\n" for _, code, error, _ in ERRORS), run
    for span, (statement, code, error, message) in zip(run.spans, ERRORS, strict=True):
        kind = f"psycopg.errors.{error}"
        assert (span.attributes["error.type"], span.attributes["db.response.status_code"]) == (kind, code)
        assert (span.status, span.status_message) == ("ERROR", message)
        told = {"exception.type": kind} | ({"exception.message": message} if message else {})
        assert span.events == [("exception", told)]
        if "FROM table" not in statement:  # there it is an alias
            assert "s3cret" not in repr(span)


def test_an_error_tells_no_name_that_came_from_a_literal_but_those_of_the_statement(
    postgres: Server, traced: Traced
) -> None:
    # One connection for all: the messages are the server's.
    statements = {
        "SELECT nextval('s3cret')": "relation ? does not exist",
        "SELECT 's3cret.t'::regclass": "relation ? does not exist",
        "SELECT 'a\"s3cret\"b'::regtype": "syntax error at or near ?",
        "SELECT has_schema_privilege('s3cret', 'usage')": "schema ? does not exist",
        "SELECT has_database_privilege('s3cret', 'connect')": "database ? does not exist",
        "SELECT current_setting('s3cret')": "unrecognized configuration parameter ?",
        "COPY pg_class FROM '/s3cret'": "could not open file ? for reading: No such file or directory",
        "DO 'BEGIN PERFORM s3cret FROM pg_class; END'": "column ? does not exist",
        "SELECT * FROM Missing": 'relation "missing" does not exist',
        'SELECT * FROM "Pub"."Mis sing"': 'relation "Pub.Mis sing" does not exist',
        "SELECT nope FROM pg_class": 'column "nope" does not exist',
    }
    body = f"""
        c.autocommit = True
        for statement in {list(statements)!r}:
            try:
                c.execute(statement)
            except psycopg.Error:
                pass
        """
    run = traced(program("sync", body), postgres.dsn)
    assert [span.status_message for span in run.spans] == list(statements.values()), run
    assert "s3cret" not in repr(run.spans)


@STYLES
def test_a_row_that_violates_a_constraint_is_not_told(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        await c.set_autocommit(True)
        await c.execute("CREATE TEMP TABLE t (name text PRIMARY KEY)")
        for run in (
            lambda: c.execute("INSERT INTO t VALUES ('s3cret'), ('s3cret')"),
            lambda: c.cursor().executemany("INSERT INTO t VALUES (%s)", [("s3cret",), ("s3cret",)]),
        ):
            try:
                await run()
            except psycopg.errors.UniqueViolation as error:
                print(error.diag.message_detail)
        try:
            async with c.cursor().copy("COPY t FROM STDIN") as copy:
                await copy.write("s3cret\\ns3cret\\n")
        except psycopg.errors.UniqueViolation as error:
            print(error.diag.message_detail)
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "Key (name)=(s3cret) already exists.\n" * 3, run
    assert [(span.name, span.status_message) for span in run.spans[1:]] == [
        (name, 'duplicate key value violates unique constraint "t_pkey"')
        for name in ("INSERT t", "BATCH INSERT t", "COPY t")
    ]
    assert {span.attributes["db.response.status_code"] for span in run.spans[1:]} == {"23505"}
    assert "s3cret" not in repr(run.spans)


def test_a_cancelled_statement_is_no_error(postgres: Server, traced: Traced) -> None:
    run = traced(
        program(
            "async",
            """
        task = asyncio.create_task(c.execute("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.3)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            print("cancelled")
        """,
        ),
        postgres.dsn,
    )
    assert run.stdout == "cancelled\n", run
    span = run.span("SELECT")
    assert (span.status, "error.type" in span.attributes) == ("UNSET", False)


def test_the_old_names_come_along_on_request(postgres: Server, traced: Traced, described: Described) -> None:
    source = program("sync", "        await c.execute(\"SELECT 's3cret'\")")
    run = traced(source, postgres.dsn, env={"OTEL_SEMCONV_STABILITY_OPT_IN": "database/dup"})
    assert run.span("SELECT").attributes == {
        **described("SELECT", "SELECT ?"),
        "db.system": "postgresql",
        "db.name": "postgres",
        "db.statement": "SELECT ?",
        "net.peer.name": postgres.host,
        "net.peer.port": postgres.port,
    }

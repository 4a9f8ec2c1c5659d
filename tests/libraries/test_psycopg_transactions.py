"""psycopg's transactions and failures under `otel-run`: what goes to the server is a span, what does not is none."""

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
def test_a_statement_that_fails_spoils_its_transaction(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = """
        for statement in ("SELECT 1 / 0", "SELECT 2"):
            try:
                await c.execute(statement)
            except psycopg.Error as error:
                print(type(error).__name__, error.__context__, error.__cause__)
        await c.rollback()
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "DivisionByZero None None\nInFailedSqlTransaction None None\n", run
    assert_spans(
        run,
        described("BEGIN"),
        {
            **described("SELECT", "SELECT ? / ?"),
            "error.type": "psycopg.errors.DivisionByZero",
            "db.response.status_code": "22012",
        },
        {
            **described("SELECT", "SELECT ?"),
            "error.type": "psycopg.errors.InFailedSqlTransaction",
            "db.response.status_code": "25P02",
        },
        described("ROLLBACK"),
    )


CANCELED = {"error.type": "psycopg.errors.QueryCanceled", "db.response.status_code": "57014"}


@STYLES
def test_a_statement_that_took_too_long_is_an_error(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = """
        await c.set_autocommit(True)
        await c.execute("SET statement_timeout = 100")
        try:
            await c.execute("SELECT pg_sleep(30)")
        except psycopg.errors.QueryCanceled as error:
            print(error, error.__context__, error.__cause__)
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "canceling statement due to statement timeout None None\n", run
    assert_spans(
        run,
        described("SET", "SET statement_timeout = ?"),
        {**described("SELECT", "SELECT pg_sleep(?)"), **CANCELED},
    )
    assert run.spans[1].status_message == "canceling statement due to statement timeout"


@STYLES
def test_a_query_that_another_thread_cancels_is_an_error(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = """
        import threading
        await c.set_autocommit(True)
        threading.Timer(0.3, c.cancel).start()
        try:
            await c.execute("SELECT pg_sleep(30)")
        except psycopg.errors.QueryCanceled as error:
            print(error)
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "canceling statement due to user request\n", run
    assert_spans(run, {**described("SELECT", "SELECT pg_sleep(?)"), **CANCELED})


@STYLES
def test_a_closed_connection_makes_no_spans(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        cursor = c.cursor()
        await c.close()
        async def execute():
            await cursor.execute("SELECT 1")
        for run in (c.commit, c.rollback, execute, lambda: c.execute("SELECT 1")):
            try:
                await run()
            except psycopg.Error as error:
                print(type(error).__name__, error, error.__context__, error.__cause__)
        """
    source = program(style, body)
    run = traced(source, postgres.dsn)
    assert (run.returncode, run.stderr, run.spans) == (0, "", []), run
    assert run.stdout == traced(source, postgres.dsn, env={"OTEL_RUN_ENABLED": "false"}).stdout
    assert run.stdout.count("the connection is closed") == 4


@STYLES
def test_a_connection_that_breaks_is_an_error_of_its_last_statement(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = """
        await c.set_autocommit(True)
        for statement in ("SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 2"):
            try:
                await c.execute(statement)
            except psycopg.OperationalError as error:
                print(type(error).__name__)
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "AdminShutdown\nOperationalError\n", run
    assert_spans(
        run,
        {
            **described("SELECT", "SELECT pg_terminate_backend(pg_backend_pid())"),
            "error.type": "psycopg.errors.AdminShutdown",
            "db.response.status_code": "57P01",
        },
    )


@STYLES
def test_listening_and_notifying_are_statements_and_being_notified_is_none(
    style: str, postgres: Server, traced: Traced
) -> None:
    body = """
        await c.set_autocommit(True)
        await c.execute("LISTEN news")
        await c.execute("NOTIFY news, 's3cret'")
        async for notice in c.notifies():
            print(notice.payload)
            break
        """
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "s3cret\n", run
    assert [span.name for span in run.spans] == ["LISTEN", "NOTIFY"]
    assert "s3cret" not in repr(run.spans)


def test_with_masking_switched_off_all_is_told_as_it_was_given(postgres: Server, traced: Traced) -> None:
    body = """
        await c.set_autocommit(True)
        await c.execute("SELECT 's3cret' /* comment */ AS a, %s::text AS b", ("parameter",))
        try:
            await c.execute("SELECT 's3cret'::int")
        except psycopg.Error as error:
            print(error)
        """
    run = traced(program("sync", body), postgres.dsn, env={"OTEL_RUN_REDACT": "off"})
    first, second = run.spans
    assert (first.name, first.attributes["db.query.summary"]) == ("SELECT", "SELECT")
    assert first.attributes["db.query.text"] == "SELECT 's3cret' /* comment */ AS a, %s::text AS b"
    assert second.attributes["db.query.text"] == "SELECT 's3cret'::int"
    assert second.status_message + "\n" == run.stdout


@pytest.mark.parametrize("many", [False, True])
def test_the_begin_of_an_orm_s_statement_is_its_elder_brother(many: bool, postgres: Server, traced: Traced) -> None:
    run = traced(
        f"""
        import sys, sqlalchemy as sa
        from opentelemetry import trace

        sets = {'[{"x": 1}, {"x": 2}]' if many else '{"x": 1}'}
        engine = sa.create_engine(sys.argv[1].replace("postgresql:", "postgresql+psycopg:"))
        engine.connect().close()
        with trace.get_tracer("test").start_as_current_span("root"), engine.begin() as connection:
            connection.execute(sa.text("SELECT set_config('a.b', CAST(:x AS text), true)"), sets)
        """,
        postgres.dsn,
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    root, begin, select, commit = run.spans
    statement = "BATCH SELECT" if many else "SELECT"
    assert [span.name for span in run.spans] == ["root", "BEGIN", statement, "COMMIT"]
    assert {span.parent_id for span in (begin, select, commit)} == {root.span_id}
    assert begin.end <= select.start <= select.end <= commit.start
    assert begin.scope == "otel_run.instrumentors.psycopg"
    assert begin.attributes["server.port"] == postgres.port

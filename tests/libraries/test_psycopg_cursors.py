"""psycopg's cursors under `otel-run`: COPY, streams, server-side and other cursors, prepared statements, queries."""

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
def test_a_copy_lasts_until_its_block_is_left(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = """
        await c.set_autocommit(True)
        await c.execute("CREATE TEMP TABLE t (id int, name text)")
        cursor = c.cursor()
        async with cursor.copy("COPY t FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text"])
            await copy.write_row((731, "s3cret"))
            import time
            time.sleep(0.1)
        async with cursor.copy(sql.SQL("COPY {} (id) FROM STDIN").format(sql.Identifier("t"))) as copy:
            for number in range(100):
                await copy.write_row((number,))
        assert cursor.rowcount == 100
        async with cursor.copy("COPY t TO STDOUT") as copy:
            assert b"s3cret" in b"".join([bytes(block) async for block in copy])
        async with cursor.copy("COPY (SELECT * FROM t WHERE id = 731) TO STDOUT") as copy:
            assert [row async for row in copy.rows()] == [("731", "s3cret")]
        await c.execute("SELECT 1")
        """
    run = traced(program(style, body), postgres.dsn)
    several = described("COPY SELECT t", "COPY (SELECT * FROM t WHERE id = ?) TO STDOUT")
    del several["db.operation.name"]
    assert_spans(
        run,
        described("CREATE TABLE t", "CREATE TEMP TABLE t (id int, name text)", "t"),
        described("COPY t", "COPY t FROM STDIN (FORMAT BINARY)", "t"),
        described("COPY t", 'COPY "t" (id) FROM STDIN', "t"),
        described("COPY t", "COPY t TO STDOUT", "t"),
        several,
        described("SELECT", "SELECT ?"),
    )
    assert run.spans[1].duration_ms >= 100


@STYLES
def test_a_copy_that_fails_tells_why(style: str, postgres: Server, traced: Traced, described: Described) -> None:
    body = """
        await c.set_autocommit(True)
        await c.execute("CREATE TEMP TABLE t (id int)")
        for statement in ("COPY t FROM STDIN", "COPY t TO STDOUT"):
            try:
                async with c.cursor().copy(statement) as copy:
                    raise LookupError("s3cret")
            except LookupError as error:
                print(repr(error), error.__context__, error.__cause__)
        try:
            async with c.cursor().copy("COPY nowhere FROM STDIN") as copy:
                pass
        except psycopg.errors.UndefinedTable as error:
            print(type(error).__name__, error.__context__, error.__cause__)
        try:
            async with c.cursor().copy("COPY t FROM STDIN") as copy:
                await copy.write("s3cret\\n")
        except psycopg.errors.InvalidTextRepresentation as error:
            print(type(error).__name__, error.__context__, error.__cause__)
        """
    source = program(style, body)
    run = traced(source, postgres.dsn)
    assert run.stdout == traced(source, postgres.dsn, env={"OTEL_RUN_ENABLED": "false"}).stdout
    assert run.stdout.count("\n") == 4
    copy = described("COPY t", "COPY t FROM STDIN", "t")
    assert_spans(
        run,
        described("CREATE TABLE t", "CREATE TEMP TABLE t (id int)", "t"),
        {**copy, "error.type": "LookupError"},
        {**described("COPY t", "COPY t TO STDOUT", "t"), "error.type": "LookupError"},
        {
            **described("COPY nowhere", "COPY nowhere FROM STDIN", "nowhere"),
            "error.type": "psycopg.errors.UndefinedTable",
            "db.response.status_code": "42P01",
        },
        {
            **copy,
            "error.type": "psycopg.errors.InvalidTextRepresentation",
            "db.response.status_code": "22P02",
        },
    )


STREAMS = """
        import time
        await c.set_autocommit(True)
        async for row in c.cursor().stream("SELECT generate_series(1, 3)"):
            time.sleep(0.1)
        stream = c.cursor().stream("SELECT generate_series(1, 100000)")
        async for row in stream:
            break
        await stream.aclose()
        try:
            async for row in c.cursor().stream("SELECT 1 / (5 - x) FROM generate_series(1, 10) x"):
                pass
        except psycopg.errors.DivisionByZero as error:
            print(error, error.__context__, error.__cause__)
        try:
            async for row in c.cursor().stream("SELECT nope FROM t"):
                pass
        except psycopg.errors.UndefinedTable as error:
            print(type(error).__name__)
        await c.execute("SELECT 1")
"""


@STYLES
def test_a_stream_lasts_until_its_first_row_or_its_error(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = STREAMS if style == "async" else STREAMS.replace("aclose", "close")
    run = traced(program(style, body), postgres.dsn)
    assert run.stdout == "division by zero None None\nUndefinedTable\n", run
    names = [span.name for span in run.spans]
    assert names == ["SELECT", "SELECT", "SELECT", "SELECT t", "SELECT"], run
    assert [span.attributes.get("db.response.status_code") for span in run.spans] == [
        None,
        None,
        "22012",
        "42P01",
        None,
    ]
    assert [span.status for span in run.spans] == ["UNSET", "UNSET", "ERROR", "ERROR", "UNSET"]
    assert run.spans[0].duration_ms < 100
    assert run.stderr == ""


def test_a_stream_that_is_forgotten_leaves_the_context_as_it_was(postgres: Server, traced: Traced) -> None:
    body = """
        from opentelemetry import trace
        c.autocommit = True
        with trace.get_tracer("test").start_as_current_span("root") as root:
            next(c.cursor().stream("SELECT generate_series(1, 100000)"))
            assert trace.get_current_span() is root
            c.execute("SELECT 2")
        assert not trace.get_current_span().get_span_context().is_valid
        """
    run = traced(program("sync", body), postgres.dsn)
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [(span.name, span.status) for span in run.spans] == [
        (name, "UNSET") for name in ("root", "SELECT", "SELECT")
    ]
    assert {span.parent_id for span in run.spans[1:]} == {run.spans[0].span_id}


@STYLES
def test_a_server_cursor_tells_its_fetches(style: str, postgres: Server, traced: Traced, described: Described) -> None:
    body = """
        cursor = c.cursor("page", withhold=True, scrollable=True)
        await cursor.execute("SELECT generate_series(1, 731)")
        await c.commit()
        assert len([await cursor.fetchone(), *await cursor.fetchmany(10)]) == 11
        await cursor.scroll(-5)
        await cursor.close()
        """
    fetch = described("FETCH", 'FETCH FORWARD ? FROM "page"')
    assert_spans(
        traced(program(style, body), postgres.dsn),
        described("BEGIN"),
        described("SELECT", "SELECT generate_series(?, ?)"),
        described("COMMIT"),
        fetch,
        fetch,
        described("MOVE", 'MOVE ? FROM "page"'),
        described("CLOSE", 'CLOSE "page"'),
    )


@STYLES
def test_prepared_statements_and_other_cursors_are_spans_like_any(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = """
        from psycopg.rows import dict_row, namedtuple_row
        await c.set_autocommit(True)
        for number in range(3):
            await c.execute("SELECT %s::int AS a", (number,), prepare=True)
        c.row_factory = dict_row
        assert await (await c.execute("SELECT 1 AS a")).fetchone() == {"a": 1}
        cursor = c.cursor(row_factory=namedtuple_row)
        assert (await (await cursor.execute("SELECT 2 AS b")).fetchone()).b == 2
        if hasattr(psycopg, "AsyncRawCursor"):
            await psycopg.AsyncRawCursor(c).execute("SELECT $1::text AS c", ["s3cret"])
        else:
            await c.execute("SELECT $1::text AS c".replace("$1", "%s"), ["s3cret"])
        await c.cursor(binary=True).execute(b"SELECT 's3cret' AS d")
        await c.execute("")
        """
    run = traced(program(style, body), postgres.dsn)
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [span.attributes.get("db.query.text", "").replace("$1", "%s") for span in run.spans] == [
        *["SELECT %s::int AS a"] * 3,
        "SELECT ? AS a",
        "SELECT ? AS b",
        "SELECT %s::text AS c",
        "SELECT ? AS d",
        "",
    ]
    # A query without text is named for its system.
    assert (run.spans[-1].name, run.spans[-1].attributes) == ("postgresql", described.database)


@STYLES
def test_two_phase_commits_tell_no_name_of_a_transaction(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    body = """
        name = c.xid(1, "s3cret", "s3cret")
        await c.tpc_begin(name)
        await c.execute("SELECT 1")
        try:
            await c.tpc_prepare()
            await c.tpc_rollback()
        except psycopg.DatabaseError as error:
            await c.close()
        """
    run = traced(program(style, body), postgres.dsn)
    assert [span.name for span in run.spans[:3]] == ["BEGIN", "SELECT", "PREPARE TRANSACTION"], run
    prepare = run.spans[2].attributes
    assert prepare["db.query.text"] == "PREPARE TRANSACTION ?"
    # Most servers have them disabled.
    assert prepare.get("db.response.status_code") in (None, "55000")
    assert not any(secret in repr(run.spans) for secret in ("s3cret", "czNjcmV0"))
    run = traced(
        program(
            style,
            """
        try:
            await c.tpc_rollback(c.xid(1, "s3cret", "s3cret"))
        except psycopg.DatabaseError:
            await c.close()
        """,
        ),
        postgres.dsn,
    )
    (unknown,) = run.spans
    # psycopg 3.1 writes it small.
    assert unknown.name.upper() == "ROLLBACK PREPARED", run
    assert unknown.attributes["db.response.status_code"] == "42704"
    assert unknown.status_message == "prepared transaction with identifier ? does not exist"

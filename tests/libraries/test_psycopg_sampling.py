"""psycopg where some requests are kept and others are not: the kept ones are told whole, the others not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libraries.psycopg_programs import STYLES, Described, program
from libraries.sampled_programs import LOOKING, REQUESTS, at_start

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run, Traced


@pytest.fixture
def described(postgres: Server) -> Described:
    return Described(postgres)


def told(run: Run) -> list[str]:
    """Return the texts of the statements; the program must have gone well, and all be children of the requests."""
    assert (run.returncode, run.stderr) == (0, ""), run
    statements = [span for span in run.spans if span.kind == "CLIENT"]
    requests = {span.span_id for span in run.spans if span.name == "request"}
    assert all(span.parent_id in requests for span in statements), run
    return [str(span.attributes["db.query.text"]) for span in statements]


EVERYTHING = """
        async def everything(cursor):
            await cursor.execute("SELECT 1")
            await cursor.executemany("SELECT %s", [(1,), (2,)])
            async with cursor.copy("COPY (SELECT 3) TO STDOUT") as copy:
                assert [bytes(row) async for row in copy]
            assert [row async for row in cursor.stream("SELECT 4")] == [(4,)]
            async with c.cursor("named") as named:
                await named.execute("SELECT 5")
                assert await named.fetchall() == [(5,)]
            async with c.transaction():
                pass
            try:
                async with c.transaction():
                    await c.execute("SELECT 1 / 0")
            except psycopg.errors.DivisionByZero:
                pass
            await c.commit()
"""


@STYLES
def test_the_same_cursor_serves_requests_of_both_kinds(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    source = REQUESTS + program(
        style,
        EVERYTHING
        + """
        cursor = c.cursor()
        for enter in (dropped, kept, dropped, kept):
            with enter():
                await everything(cursor)
            assert_outside()
        with dropped():
            await everything(cursor)
        """,
    )
    run = traced(source, postgres.dsn)
    texts = told(run)
    half = len(texts) // 2
    assert half > 10
    assert texts[0] == "BEGIN"
    assert texts[half - 1] == "COMMIT"
    assert texts[:half] == texts[half:]
    statements = [span for span in run.spans if span.kind == "CLIENT"]
    assert statements[1].attributes == described("SELECT", "SELECT ?")
    failed = [span for span in statements if span.status == "ERROR"]
    assert [span.attributes["db.query.text"] for span in failed] == ["SELECT ? / ?"] * 2


@STYLES
def test_nothing_is_told_where_nothing_is_kept(style: str, postgres: Server, traced: Traced) -> None:
    source = program(style, EVERYTHING + "        await everything(c.cursor())\n")
    run = traced(source, postgres.dsn, env={"OTEL_TRACES_SAMPLER": "always_off", "OTEL_RUN_CONNECTION_THRESHOLD": "0"})
    assert (run.returncode, run.stderr, run.spans) == (0, "", [])


@STYLES
def test_a_transaction_may_begin_in_one_request_and_end_in_another(
    style: str, postgres: Server, traced: Traced, described: Described
) -> None:
    source = REQUESTS + program(
        style,
        """
        with dropped():
            await c.execute("SELECT 1")
        with kept():
            await c.commit()
            await c.execute("SELECT 2, 2")
        with dropped():
            await c.rollback()
        with kept():
            await c.execute("SELECT 3, 3, 3")
            await c.commit()
        """,
    )
    run = traced(source, postgres.dsn)
    assert told(run) == ["COMMIT", "BEGIN", "SELECT ?, ?", "BEGIN", "SELECT ?, ?, ?", "COMMIT"]
    assert next(span for span in run.spans if span.kind == "CLIENT").attributes == described("COMMIT")


@STYLES
def test_a_pipeline_counts_the_answers_of_all(style: str, postgres: Server, traced: Traced) -> None:
    source = REQUESTS + program(
        style,
        """
        # The first fails late: all that comes behind it is queued by then.
        # psycopg logs what goes wrong while a pipeline that has failed is left.
        __import__("logging").getLogger("psycopg").setLevel("CRITICAL")
        await c.set_autocommit(True)
        try:
            async with c.pipeline() as pipeline:
                with dropped():
                    await c.execute("SELECT 1")
                with kept():
                    await c.execute("SELECT 1 / (pg_sleep(0.3) IS NULL)::int AS first")
                with dropped():
                    await c.execute("SELECT 1")
                with kept():
                    await c.execute("SELECT 2 AS second")
                await pipeline.sync()
        except psycopg.errors.DivisionByZero:
            pass
        with kept():
            try:
                async with c.pipeline() as pipeline:
                    await c.execute("SELECT 3 AS third")
                    with dropped():
                        await c.execute("SELECT 1 / 0")
                    await pipeline.sync()
            except psycopg.errors.DivisionByZero:
                pass
        with kept():
            async with c.pipeline() as pipeline:
                with dropped():
                    await c.execute("SELECT 1")
                fourth = await c.execute("SELECT 4 AS fourth")
                with dropped():
                    assert await fourth.fetchone() == (4,)
        assert_outside()
        """,
    )
    run = traced(source, postgres.dsn)
    assert [text.rpartition(" ")[2] for text in told(run)] == ["first", "second", "third", "fourth"]
    ends = [span.attributes.get("error.type") for span in run.spans if span.kind == "CLIENT"]
    assert ends == ["psycopg.errors.DivisionByZero", "psycopg.errors.PipelineAborted", None, None]


@STYLES
def test_a_copy_or_a_stream_belongs_to_the_request_that_began_it(style: str, postgres: Server, traced: Traced) -> None:
    source = REQUESTS + program(
        style,
        """
        cursor = c.cursor()
        await cursor.execute("CREATE TEMP TABLE t (a int)")
        for outer, inner in ((kept, dropped), (dropped, kept)):
            with outer():
                async with cursor.copy("COPY t FROM STDIN") as copy:
                    with inner():
                        await copy.write_row((1,))
                rows = cursor.stream("SELECT a FROM t")
                async for row in rows:
                    break
            with inner():
                assert [row async for row in rows] == [(1,)][: outer is dropped]
        """,
    )
    run = traced(source, postgres.dsn)
    assert (run.returncode, run.stderr) == (0, ""), run
    inside = [s.attributes["db.query.text"] for s in run.spans if s.kind == "CLIENT" and int(s.trace_id, 16) == 0xA]
    assert inside == ["COPY t FROM STDIN", "SELECT a FROM t"]


@STYLES
def test_a_cursor_is_not_kept_alive(style: str, postgres: Server, traced: Traced) -> None:
    source = (
        "import gc, weakref\n"
        + REQUESTS
        + program(
            style,
            EVERYTHING
            + """
        for enter in (kept, dropped):
            with enter():
                cursor = c.cursor()
                await everything(cursor)
                rows = cursor.stream("SELECT generate_series(1, 9)")
                async for row in rows:
                    break
                closing = rows.aclose() if hasattr(rows, "aclose") else rows.close()
                await closing
                about = weakref.ref(cursor)
            del cursor, rows
            gc.collect()
            assert about() is None
        """,
        )
    )
    run = traced(source, postgres.dsn)
    assert (run.returncode, run.stderr) == (0, ""), run


@STYLES
def test_a_sampler_that_looks_at_attributes_sees_them_all(style: str, postgres: Server, traced: Traced) -> None:
    source = program(style, EVERYTHING + "        await everything(c.cursor())\n")
    looking = traced(LOOKING + source + "print(json.dumps(seen))", postgres.dsn)
    recorded = traced(source, postgres.dsn)
    assert (looking.returncode, looking.stderr, looking.spans) == (0, "", [])
    assert json.loads(looking.stdout) == [[span.name, at_start(span)] for span in recorded.spans]

"""What a program sees of psycopg under `otel-run` is what it sees without: objects, errors, signatures, pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.psycopg_programs import STYLES, program

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

OFF = {"OTEL_RUN_ENABLED": "false"}

SIGNATURES = """
import importlib, inspect, pickle, re
import psycopg, psycopg.crdb

modules = [psycopg, psycopg.crdb, psycopg.copy]
try:
    modules.append(importlib.import_module("psycopg_pool"))
except ImportError:
    pass
for module in modules:
    for name, cls in sorted(vars(module).items()):
        if not inspect.isclass(cls) or not cls.__module__.startswith("psycopg"):
            continue
        for attribute in dir(cls):
            function = inspect.getattr_static(cls, attribute)
            bound = getattr(cls, attribute, None)
            if not callable(bound) or inspect.isclass(bound) or attribute in ("__class__", "__subclasshook__"):
                continue
            try:
                signature = inspect.signature(bound)
            except (ValueError, TypeError):
                continue
            kinds = [f.__name__ for f in (
                inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
            ) if f(bound)]
            where = [getattr(bound, name, "") for name in ("__module__", "__qualname__")]
            # Defaults of some arguments are functions, told with their addresses.
            print(name, attribute, type(function).__name__, where, re.sub("0x[0-9a-f]+", "", str(signature)), kinds)
            print(inspect.getdoc(bound))
for function in (psycopg.connect, psycopg.Connection.connect, psycopg.Cursor.execute, psycopg.AsyncCursor.executemany):
    assert pickle.loads(pickle.dumps(function)) == function
    print(pickle.dumps(function))
"""


def test_signatures_kinds_and_docs_are_what_they_were(traced: Traced) -> None:
    with_us = traced(SIGNATURES)
    assert (with_us.returncode, with_us.stderr) == (0, ""), with_us
    assert "Cursor execute function" in with_us.stdout
    assert with_us.stdout == traced(SIGNATURES, env=OFF).stdout


# Everything that may fail, with what hangs on the error.
ERRORS = """
        import pickle, traceback

        async def show(run):
            try:
                result = await run()
            except BaseException as error:
                chain = [type(e).__name__ for e in (error.__cause__, error.__context__) if e is not None]
                print(type(error).__name__, error, chain, error.__suppress_context__, getattr(error, "sqlstate", ""))
                if isinstance(error, psycopg.Error):
                    copy = pickle.loads(pickle.dumps(error))
                    print(copy, copy.diag.message_primary, copy.diag.severity)
            else:
                print("went well", type(result).__name__)

        async def inside_another():
            try:
                raise LookupError("first")
            except LookupError:
                await c.execute("SELECT 1 / 0")

        await c.set_autocommit(True)
        cursor = c.cursor()
        await show(lambda: cursor.execute("SELECT 1"))
        await show(lambda: c.execute("SELECT nope"))
        await show(lambda: c.execute("SELECT %s", ()))
        await show(lambda: c.execute("SELECT %s", (object(),)))
        await show(lambda: c.execute(731))
        await show(lambda: cursor.execute())
        await show(lambda: cursor.executemany("SELECT %s", 731))
        await show(lambda: cursor.executemany("SELECT %s::int", [("a",)]))
        await show(lambda: cursor.executemany("SELECT %s::int", [("1",), ("2",)]))
        await show(inside_another)
        await show(lambda: c.cursor("named").executemany("SELECT 1", []))
        await show(lambda: c.tpc_prepare())
        await show(lambda: c.tpc_begin("x"))
        cursor.close()
        await show(lambda: cursor.execute("SELECT 1"))
        await show(lambda: c.execute("COPY pg_class TO STDOUT"))
        await c.close()
"""


@STYLES
def test_errors_and_results_are_what_they_were(style: str, postgres: Server, traced: Traced) -> None:
    body = ERRORS if style == "sync" else ERRORS.replace("cursor.close()", "await cursor.close()")
    source = program(style, body)
    with_us = traced(source, postgres.dsn, warnings="ignore")
    assert with_us.returncode == 0, with_us
    assert "ZeroDivision" not in with_us.stdout
    assert "['LookupError']" in with_us.stdout, with_us
    assert with_us.stdout == traced(source, postgres.dsn, env=OFF, warnings="ignore").stdout


@STYLES
def test_objects_are_the_library_s_own(style: str, postgres: Server, traced: Traced) -> None:
    body = """
        import pickle
        from psycopg.rows import dict_row, namedtuple_row
        cursor = c.cursor()
        assert await cursor.execute("SELECT 1 AS a") is cursor
        assert type(cursor) is psycopg.AsyncCursor
        row = await cursor.fetchone()
        assert (type(row), row, pickle.loads(pickle.dumps(row))) == (tuple, (1,), (1,))
        assert isinstance(c, psycopg.AsyncConnection)
        assert await cursor.executemany("SELECT %s", [(1,), (2,)], returning=True) is None
        assert [await cursor.fetchone(), cursor.nextset(), await cursor.fetchone()] == [(1,), True, (2,)]

        class Mine(psycopg.AsyncCursor):
            count = 0
            async def execute(self, query, params=None, **kwargs):
                self.count += 1
                return await super().execute(query, params, **kwargs)

        c.cursor_factory = Mine
        mine = await c.execute("SELECT 2")
        assert (type(mine), mine.count, await mine.fetchall()) == (Mine, 1, [(2,)])
        for kind in (psycopg.AsyncConnection, psycopg.AsyncCursor, psycopg.AsyncServerCursor):
            assert not [name for name in vars(kind) if "otel" in name.lower()]
        print("fine")
        """
    run = traced(program(style, body), postgres.dsn)
    assert (run.returncode, run.stdout, run.stderr) == (0, "fine\n", ""), run


@STYLES
@pytest.mark.parametrize("statement", ["SELECT 1", "SELECT 1 / 0"])
def test_the_context_is_afterwards_what_it_was_before(
    style: str, statement: str, postgres: Server, traced: Traced
) -> None:
    body = f"""
        import logging
        from opentelemetry import context, trace
        logging.disable()
        with trace.get_tracer("test").start_as_current_span("root"):
            before = context.get_current()
            for run in (
                lambda: c.execute("{statement}"),
                lambda: c.rollback(),
                lambda: c.cursor().executemany("{statement}", [(), ()]),
                lambda: c.rollback(),
            ):
                try:
                    await run()
                except psycopg.Error:
                    pass
                assert context.get_current() is before
        """
    run = traced(program(style, body), postgres.dsn)
    assert (run.returncode, run.stderr) == (0, ""), run
    root, *others = run.spans
    assert {span.parent_id for span in others} == {root.span_id}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("del psycopg.Cursor.__mro__[1]._start_copy_gen", "has no _start_copy_gen"),
        ("psycopg.Connection.__mro__[1]._exec_command = lambda self, sql: None", "takes no command"),
        ("del psycopg.Connection.__mro__[1].info", "has no info"),
    ],
)
def test_a_psycopg_of_another_shape_is_left_alone_as_a_whole(change: str, why: str, traced: Traced) -> None:
    run = traced(
        f"""
        import psycopg
        from otel_run.instrumentors.psycopg import PsycopgInstrumentor
        from otel_run.patching.wrap import DoesNotFit

        PsycopgInstrumentor().uninstrument()
        {change}
        before = [dict(vars(cls)) for cls in (psycopg.Cursor, psycopg.Connection, psycopg.AsyncConnection)]
        try:
            PsycopgInstrumentor().instrument(skip_dep_check=True)
        except DoesNotFit as reason:
            print(reason)
        assert before == [dict(vars(cls)) for cls in (psycopg.Cursor, psycopg.Connection, psycopg.AsyncConnection)]
        """
    )
    assert run.returncode == 0, run
    assert why in run.stdout


def test_cursors_and_connections_that_can_not_be_hashed_are_traced_each_for_itself(
    postgres: Server, traced: Traced
) -> None:
    run = traced(
        """
        import sys, psycopg

        class Alike:
            __hash__ = None
            def __eq__(self, other):
                return True

        class Cursor(Alike, psycopg.Cursor):
            pass

        class Connection(Alike, psycopg.Connection):
            pass

        with Connection.connect(sys.argv[1], autocommit=True, cursor_factory=Cursor) as c:
            first, second = c.cursor(), c.cursor()
            with first.copy("COPY pg_language (lanname) TO STDOUT") as copy:
                list(copy)
            for _ in range(4):
                second.execute("SELECT 1")
        """,
        postgres.dsn,
    )
    assert [span.name for span in run.spans] == ["COPY pg_language", *["SELECT"] * 4], run
    assert run.stderr == ""

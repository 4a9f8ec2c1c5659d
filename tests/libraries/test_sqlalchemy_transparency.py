"""SQLAlchemy behaves under `otel-run` as it does without: the same program, the same output, with python alone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libraries.sqlalchemy_programs import ASYNC, MODEL, USUAL, of
from servers.program import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from otel_run.command.demo.servers import Server
    from servers.program import Traced

# Prints what a program can see of an exception. Frames of ours in its traceback are all that is new.
EXPLAIN = """
def explain(error, depth=0):
    if error is None or depth > 3:
        return None
    cause, context = explain(error.__cause__, depth + 1), explain(error.__context__, depth + 1)
    return [type(error).__name__, str(error), getattr(error, "connection_invalidated", None), cause, context,
            explain(getattr(error, "orig", None), depth + 1), error.__suppress_context__]
"""

EVERYTHING = (
    MODEL
    + EXPLAIN
    + """
import copy, inspect, pickle, re
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import NullPool, QueuePool, StaticPool
from sqlalchemy.pool.base import _ConnectionRecord

url = sys.argv[1]
engine = sa.create_engine(url)
for owner in (DefaultDialect, type(engine.dialect)):
    for name in "do_execute do_executemany do_execute_no_params do_commit do_rollback do_ping".split():
        method = getattr(owner, name)
        print(name, inspect.signature(method), method.__qualname__, method.__module__, method.__doc__)
for method in (Engine.__init__, QueuePool._do_get, _ConnectionRecord._ConnectionRecord__connect):
    print(inspect.signature(method), method.__qualname__)

with engine.connect() as c:
    Base.metadata.create_all(c)
    with orm.Session(c) as session:
        session.add_all([Item(id=n, name=f"name {n}") for n in range(3)])
        session.flush()
        rows = session.execute(sa.select(Item.id, Item.name).order_by(Item.id)).all()
        print(type(rows[0]).__name__, rows, pickle.loads(pickle.dumps(rows)) == rows)
        item = session.get(Item, 1)
        print(pickle.loads(pickle.dumps(item)).name)
        with session.begin_nested():
            session.execute(sa.insert(Item), [{"id": 10, "name": "a"}, {"id": 11, "name": "b"}])
        result = session.execute(sa.update(Item).values(name=Item.name + "!"))
        print(type(result).__name__, result.rowcount)
    for statement in ("SELECT * FROM nowhere", "INSERT INTO items VALUES (1, NULL), (1, NULL)", "SELEC 1"):
        c.rollback() if hasattr(c, "rollback") else None
        try:
            c.execute(sa.text(statement))
        except sa.exc.SQLAlchemyError as error:
            print(re.sub("0x[0-9a-f]+", "0x", repr(explain(error))))
            again = pickle.loads(pickle.dumps(error)) if "sqlite" in url else copy.copy(error)
            print(type(again).__name__, again.statement)

class Replaced(Exception): pass

@sa.event.listens_for(engine, "handle_error")
def handle(context):
    print("handled", type(context.original_exception).__name__, type(context.sqlalchemy_exception).__name__)
    if "replace" in context.statement:
        raise Replaced("theirs") from context.original_exception
    if "return" in context.statement:
        return Replaced("returned")

@sa.event.listens_for(engine, "before_cursor_execute", retval=True)
def before(connection, cursor, statement, parameters, context, executemany):
    if "veto" in statement:
        raise LookupError("not today")
    return statement, parameters

for text in ("SELECT replace FROM nowhere", "SELECT return FROM nowhere", "SELECT veto", "SELECT nothing FROM nowhere"):
    with engine.connect() as c:
        try:
            c.execute(sa.text(text))
        except Exception as error:
            print(re.sub("0x[0-9a-f]+", "0x", repr(explain(error))))

for cls in (NullPool, StaticPool, QueuePool):
    other = sa.create_engine(url, poolclass=cls)
    with other.connect() as c:
        print(cls.__name__, c.execute(sa.text("SELECT 1")).scalar(), isinstance(other.pool, cls))
    other.dispose()
    with other.connect() as c:
        print(c.execute(sa.text("SELECT 2")).scalar())
"""
)

IN_ASYNCIO = ASYNC.replace(
    "async def main():",
    EXPLAIN
    + """
async def slow(engine):
    async with engine.connect() as c:
        await c.exec_driver_sql("SELECT pg_sleep(30)")

async def main():""",
).replace(
    "{body}",
    """
    async with engine.connect() as c:
        for statement in ("SELECT * FROM nowhere", "SELECT 'x'::int", "SELEC 1"):
            try:
                await c.execute(sa.text(statement))
            except sa.exc.SQLAlchemyError as error:
                print(explain(error))
            await c.rollback()
        print((await c.execute(sa.text("SELECT 1 AS one"))).mappings().all())
    task = asyncio.create_task(slow(engine))
    await asyncio.sleep(0.3)
    task.cancel("enough")
    try:
        await task
    except asyncio.CancelledError as error:
        print(explain(error))
""",
)


# SQLAlchemy 1.4 advertises 2.0.
QUIET = {"SQLALCHEMY_SILENCE_UBER_WARNING": "1"}


def alone(folder: Path, source: str, *argv: str) -> str:
    """Return what a program prints without us."""
    (folder / "alone.py").write_text(source)
    command = [sys.executable, "alone.py", *argv]
    run = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("driver", ["sqlite", "psycopg", "psycopg2"])
def test_core_and_orm_do_and_raise_what_they_did(driver: str, tmp_path: Path, postgres: Server, traced: Traced) -> None:
    url = "sqlite://" if driver == "sqlite" else of(postgres, driver)
    expected = alone(tmp_path, EVERYTHING, url)
    run = traced(EVERYTHING, url, env=QUIET)
    assert (run.stdout, run.returncode) == (expected, 0), run
    assert run.stderr == ""
    assert run.spans


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_async_engines_do_and_raise_what_they_did(
    driver: str, tmp_path: Path, postgres: Server, traced: Traced
) -> None:
    url = of(postgres, driver)
    expected = alone(tmp_path, IN_ASYNCIO, url)
    run = traced(IN_ASYNCIO, url)
    assert (run.stdout, run.returncode) == (expected, 0), run
    assert run.stderr == ""
    assert not [span for span in run.spans if span.status == "ERROR" and "pg_sleep" in str(span.attributes)]


def test_a_statement_that_never_went_out_has_no_span_and_one_that_a_listener_condemned_ends_well(
    traced: Traced,
) -> None:
    run = traced(EVERYTHING, "sqlite://")
    told = [span.attributes["db.query.text"] for span in run.spans if "db.query.text" in span.attributes]
    assert not [text for text in told if "veto" in text], run
    replaced = [span for span in run.spans if "replace" in span.attributes.get("db.query.text", "")]
    assert [(span.status, span.attributes["error.type"]) for span in replaced] == [
        ("ERROR", "sqlite3.OperationalError")
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_with_an_engine_of_its_own_is_traced(postgres: Server, traced: Traced) -> None:
    run = traced(
        """
        import os, sys, sqlalchemy as sa
        engine = sa.create_engine(sys.argv[1])
        with engine.connect() as c:
            c.exec_driver_sql("SELECT 1 AS parent")
        child = os.fork()
        if child == 0:
            engine.dispose(**({"close": False} if sa.__version__ > "1.4.33" else {}))
            with engine.connect() as c:
                c.exec_driver_sql("SELECT 1 AS child")
            sys.exit()
        os.waitpid(child, 0)
        """,
        of(postgres, USUAL),
    )
    assert run.returncode == 0, run
    assert sorted(span.attributes["db.query.text"] for span in run.spans if span.name == "SELECT") == [
        "SELECT ? AS child",
        "SELECT ? AS parent",
    ]

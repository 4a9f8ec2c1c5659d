"""Databases that others instrument: asyncpg, psycopg2, sqlite3 and pymongo, under `otel-run` with contrib's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.command.demo.servers import Server
    from servers.program import Run

PARENT = "from opentelemetry import trace\ntracer = trace.get_tracer('app')\n"


def test_a_query_of_asyncpg_is_a_span_without_its_literals(postgres: Server, alike: Callable[..., Run]) -> None:
    run = alike(
        f"""
import asyncio, asyncpg
{PARENT}
async def main():
    connection = await asyncpg.connect(sys.argv[1])
    with tracer.start_as_current_span("parent"):
        print(await connection.fetch("SELECT 'hidden' AS found"))
    await connection.close()
asyncio.run(main())
""",
        postgres.url,
    )
    parent = run.span("parent")
    (span,) = [span for span in run.spans if span.scope == "opentelemetry.instrumentation.asyncpg"]
    assert (span.kind, span.parent_id) == ("CLIENT", parent.span_id)
    assert "hidden" in run.stdout
    assert "hidden" not in str(run.spans)


@pytest.mark.parametrize("imports", ["import psycopg2", "from psycopg2 import connect", "import psycopg2.extras"])
def test_a_query_of_psycopg2_is_a_span(imports: str, postgres: Server, alike: Callable[..., Run]) -> None:
    call = "connect" if "from" in imports else "psycopg2.connect"
    run = alike(
        f"""
{imports}
{PARENT}
connection = {call}(sys.argv[1])
with tracer.start_as_current_span("parent"), connection.cursor() as cursor:
    cursor.execute("SELECT 'hidden'")
    print(cursor.fetchall())
connection.close()
""",
        postgres.url,
    )
    (span,) = [span for span in run.spans if span.scope == "opentelemetry.instrumentation.psycopg2"]
    assert (span.name, span.kind, span.parent_id) == ("SELECT", "CLIENT", run.span("parent").span_id)
    assert run.stdout == "[('hidden',)]\n"
    assert "hidden" not in str(run.spans)


def test_a_query_of_sqlite3_is_a_span(alike: Callable[..., Run]) -> None:
    run = alike(
        f"""
import sqlite3
{PARENT}
connection = sqlite3.connect(":memory:")
with tracer.start_as_current_span("parent"):
    cursor = connection.cursor()
    print(cursor.execute("SELECT 'hidden'").fetchall())
    print(connection.execute("SELECT 'hidden too'").fetchall())
connection.close()
"""
    )
    spans = [span for span in run.spans if span.scope == "opentelemetry.instrumentation.sqlite3"]
    assert {(span.name, span.kind, span.parent_id) for span in spans} == {
        ("SELECT", "CLIENT", run.span("parent").span_id)
    }
    assert "hidden" not in str(run.spans)


DRIVERS = {
    "sqlite3": "create_engine('sqlite://')",
    "psycopg2": "create_engine(sys.argv[1].replace('postgresql:', 'postgresql+psycopg2:'))",
    "psycopg": "create_engine(sys.argv[1].replace('postgresql:', 'postgresql+psycopg:'))",
    "asyncpg": "create_async_engine(sys.argv[1].replace('postgresql:', 'postgresql+asyncpg:'))",
    "aiosqlite": "create_async_engine('sqlite+aiosqlite://')",
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_query_through_sqlalchemy_is_one_span_whatever_the_driver(
    driver: str, postgres: Server, alike: Callable[..., Run]
) -> None:
    run = alike(
        f"""
import asyncio
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
engine = {DRIVERS[driver]}
async def main():
    async with engine.connect() as connection:
        print((await connection.execute(text("SELECT 'hidden'"))).fetchall())
    await engine.dispose()
if hasattr(engine, "sync_engine"):
    asyncio.run(main())
else:
    with engine.connect() as connection:
        print(connection.execute(text("SELECT 'hidden'")).fetchall())
    engine.dispose()
""",
        postgres.url,
    )
    texts = ("db.query.text", "db.statement")
    spans = [span for span in run.spans if any(span.attributes.get(name) == "SELECT ?" for name in texts)]
    assert [span.scope for span in spans] == ["otel_run.instrumentors.sqlalchemy"], run


def test_pymongo_is_imported_and_patched_without_a_trace_of_it(closed_port: int, alike: Callable[..., Run]) -> None:
    run = alike(
        """
import bson
print(bson.encode({}), "pymongo" in sys.modules)
import pymongo
client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), serverSelectionTimeoutMS=100)
try:
    client.db.command("ping")
except pymongo.errors.ServerSelectionTimeoutError as error:
    print(type(error))
client.close()
""",
        str(closed_port),
    )
    assert "ServerSelectionTimeoutError" in run.stdout
    assert run.spans == []

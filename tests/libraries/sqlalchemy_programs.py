"""Programs that use SQLAlchemy, sync and async, and the whole spans that are expected of them."""

from __future__ import annotations

import importlib.util
import itertools
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Run

# In every program: the engine's URL is the first argument, and "s3cret" is a value or a part of one.
MODEL = """
import sys, sqlalchemy as sa
from sqlalchemy import orm

Base = orm.declarative_base()

class Item(Base):
    __tablename__ = "items"
    __table_args__ = {"prefixes": ["TEMPORARY"]}
    id = sa.Column(sa.Integer, primary_key=True, autoincrement=False)
    name = sa.Column(sa.String, unique=True)

"""
SYNC = MODEL + "engine = sa.create_engine(sys.argv[1])\n"
ASYNC = (
    MODEL
    + """
import asyncio
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

async def main():
    engine = create_async_engine(sys.argv[1])
{body}
    await engine.dispose()

asyncio.run(main())
"""
)


def sync(body: str) -> str:
    """Return a whole program."""
    return SYNC + "\n".join(line[8:] for line in body.strip("\n").splitlines())


def in_asyncio(body: str) -> str:
    """Return a whole program whose `body` runs in a coroutine."""
    return ASYNC.replace("{body}", "\n".join(line[4:] for line in body.strip("\n").splitlines()))


# psycopg's dialect is new in SQLAlchemy 2.0.
_HAS_PSYCOPG = importlib.util.find_spec("sqlalchemy.dialects.postgresql.psycopg") is not None
USUAL = "psycopg" if _HAS_PSYCOPG else "psycopg2"


def of(server: Server, driver: str) -> str:
    """Return the URL of `server` for one of PostgreSQL's drivers."""
    if driver == "psycopg" and not _HAS_PSYCOPG:
        pytest.skip("this SQLAlchemy has no dialect for psycopg 3")
    return server.dsn.replace("postgresql:", f"postgresql+{driver}:")


class Described:
    """The attributes of spans on one database."""

    def __init__(self, database: dict[str, Any]) -> None:
        self.database = database

    def __call__(self, summary: str, text: str = "", collection: str = "", **others: Any) -> dict[str, Any]:
        """Return the attributes of a statement of one operation, or of a driver's call if there is no text."""
        operation = summary.removesuffix(" " + collection) if collection else summary
        return {
            **self.database,
            "db.query.summary": summary,
            "db.operation.name": operation,
            **({"db.query.text": text} if text else {}),
            **({"db.collection.name": collection} if collection else {}),
            **{name.replace("__", "."): value for name, value in others.items()},
        }

    @classmethod
    def postgres(cls, server: Server) -> Described:
        """Return the attributes of spans on a PostgreSQL."""
        database = {"db.system.name": "postgresql", "db.namespace": "postgres"}
        return cls({**database, "server.address": server.host, "server.port": server.port})

    @property
    def begin(self) -> dict[str, Any]:
        """The attributes of the BEGIN that psycopg sends, and its instrumentor tells."""
        return self("BEGIN", "BEGIN")


def assert_spans(run: Run, *expected: dict[str, Any]) -> None:
    """Assert that `run` went well, and that its spans are those expected, siblings one after the other."""
    assert run.returncode == 0, run
    assert [span.attributes for span in run.spans] == list(expected), run
    for span in run.spans:
        assert span.name == span.attributes["db.query.summary"]
        assert span.kind == "CLIENT"
        is_psycopgs = span.name == "BEGIN" and "db.query.text" in span.attributes
        assert span.scope == f"otel_run.instrumentors.{'psycopg' if is_psycopgs else 'sqlalchemy'}"
        assert (span.status == "ERROR") == ("error.type" in span.attributes)
    assert len({span.parent_id for span in run.spans}) <= 1
    assert all(one.end <= other.start for one, other in itertools.pairwise(run.spans)), run
    assert "s3cret" not in repr(run.spans)
    assert run.stderr == ""

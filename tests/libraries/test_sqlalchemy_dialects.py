"""Dialects of other people under `otel-run`, engines made at other times, and our patches taken away again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.sqlalchemy_programs import USUAL, of

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced

MINE = """
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

class Mine(SQLiteDialect_pysqlite):
    name = "mine"
    supports_statement_cache = True
{methods}

registry.impls["mine"] = lambda: Mine
engine = sa.create_engine("mine://")
"""
SHAPES = {
    "the usual one": """
    def do_execute(self, cursor, statement, parameters, context=None):
        super().do_execute(cursor, statement, parameters, context)
""",
    "one that does not call the one above": """
    def do_execute(self, cursor, statement, parameters, context=None):
        cursor.execute(statement, parameters)
""",
    "other names": """
    def do_execute(self, cur, operation, parameters, context=None):
        super().do_execute(cur, operation, parameters, context)
""",
    "more arguments": """
    def do_execute(self, cursor, statement, parameters, context=None, *more, **options):
        super().do_execute(cursor, statement, parameters, context)
""",
    "any arguments": """
    def do_execute(self, *args):
        super().do_execute(*args)
""",
    "no context": """
    def do_execute(self, cursor, statement, parameters, context=None):
        super().do_execute(cursor, statement, parameters)
""",
}


AGAIN = """
import sys, sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.event.attr import _CompoundListener
from sqlalchemy.pool import QueuePool
from sqlalchemy.pool.base import _ConnectionRecord
from otel_run.instrumentors.sqlalchemy import SqlalchemyInstrumentor

ours = SqlalchemyInstrumentor()

def patched():
    classes = [DefaultDialect, Engine, _CompoundListener, QueuePool, _ConnectionRecord]
    for cls in classes:
        classes += [below for below in type.__subclasses__(cls) if below not in classes]
    asyncpg = sys.modules.get("sqlalchemy.dialects.postgresql.asyncpg")
    classes += [asyncpg.AsyncAdapt_asyncpg_connection] if asyncpg else []
    return {
        (cls, name): value for cls in classes for name, value in vars(cls).items()
        if getattr(getattr(value, "__code__", None), "co_filename", "").endswith("wrap.py")
    }
"""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_dialect_that_overrides_the_execution_is_traced_once_whatever_its_shape(shape: str, traced: Traced) -> None:
    run = traced(
        MINE.format(methods=SHAPES[shape])
        + """
with engine.connect() as c:
    print(c.execute(sa.text("SELECT 1")).scalar())
"""
    )
    assert run.stdout == "1\n", run
    assert [(span.name, span.attributes["db.system.name"]) for span in run.spans] == [("SELECT", "mine")]
    assert run.stderr == ""


def test_a_method_of_another_shape_is_left_alone_by_itself_and_that_is_said(traced: Traced) -> None:
    run = traced(
        MINE.format(methods=SHAPES["other names"])
        + """
with engine.connect() as c:
    c.execute(sa.text("SELECT 1"))
from otel_run import report
for note in report.notes:
    if "alone" in note[1]:
        print(note[2])
"""
    )
    assert run.stdout == "__main__.Mine.do_execute takes no cursor where it is expected\n", run
    assert run.stderr == ""


@pytest.mark.parametrize("name", ["_do_get", "do_ping", "do_execute", "_exec_w_sync_on_first_run"])
def test_a_library_without_what_we_patch_is_left_alone_as_a_whole(name: str, traced: Traced) -> None:
    # As a later version might be.
    run = traced(
        AGAIN
        + """
ours.uninstrument()
for cls in (*QueuePool.__mro__, *DefaultDialect.__mro__, *_CompoundListener.__mro__):
    if sys.argv[1] in vars(cls):
        delattr(cls, sys.argv[1])
try:
    ours.instrument()
except Exception as why:
    print(type(why).__name__, why)
assert not patched(), patched()
""",
        name,
    )
    assert run.returncode == 0, run
    assert run.stdout.startswith("DoesNotFit sqlalchemy."), run
    assert run.stdout.endswith(f" has no {name}\n")


def test_uninstrument_takes_everything_away_also_of_dialects_seen_later(postgres: Server, traced: Traced) -> None:
    run = traced(
        AGAIN
        + """
assert patched()
ours.uninstrument()
assert not patched(), patched()
originals = dict(vars(DefaultDialect))
ours.instrument()
later = sa.create_engine(sys.argv[1])
names = {name for _, name in patched()}
assert {"do_execute", "do_ping", "_do_get", "_start_transaction", "__init__"} <= names, names
ours.uninstrument()
assert not patched(), patched()
assert dict(vars(DefaultDialect)) == originals
with sa.create_engine("sqlite://").connect() as c:
    c.execute(sa.text("SELECT 'off'"))
ours.instrument()
with sa.create_engine("sqlite://").connect() as c:
    c.execute(sa.text("SELECT 1 AS back"))
""",
        of(postgres, "asyncpg"),
    )
    assert run.returncode == 0, run
    assert [span.attributes["db.query.text"] for span in run.spans] == ["SELECT ? AS back"]
    assert run.stderr == ""


def test_an_engine_made_before_patching_is_traced_with_its_server(postgres: Server, traced: Traced) -> None:
    run = traced(
        AGAIN
        + """
ours.uninstrument()
engine = sa.create_engine(sys.argv[1])
ours.instrument()
with engine.begin() as c:
    c.execute(sa.text("SELECT 1"))
""",
        of(postgres, USUAL),
    )
    assert [span.name for span in run.spans if span.name != "BEGIN"] == ["SELECT", "COMMIT"], run
    for span in run.spans:
        assert span.attributes["server.port"] == postgres.port
        assert span.attributes["db.namespace"] == "postgres"


def test_a_schema_that_is_set_with_the_connection_is_told(postgres: Server, traced: Traced) -> None:
    run = traced(
        """
        import sys, sqlalchemy as sa
        url = sa.engine.make_url(sys.argv[1]).update_query_dict({"options": "-csearch_path=shop"})
        with sa.create_engine(url).connect() as c:
            c.execute(sa.text("SELECT 1"))
        """,
        of(postgres, USUAL),
    )
    assert {span.name for span in run.spans} >= {"SELECT", "ROLLBACK"}, run
    assert {span.attributes["db.namespace"] for span in run.spans} == {"postgres|shop"}

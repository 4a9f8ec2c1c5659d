"""psycopg 3, sync and async: a span for each statement, and for what psycopg sends by itself.

psycopg sends BEGIN with the first statement, inside the very call of the program that runs it. So a
statement's span does not start with its call but when psycopg has begun (`BaseCursor._start_query`), and
BEGIN becomes its elder brother. BEGIN, COMMIT, SAVEPOINT, FETCH and the like all pass through
`BaseConnection._exec_command`, in both kinds of connection and in `transaction()` blocks, and only when they
really go to the server. In pipeline mode both are but queued there; see psycopg_statements.py and
psycopg_pipeline.py.

No span is made current: nothing that could be traced runs below libpq.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import psycopg_pool
from otel_run.instrumentors.psycopg_connecting import Alias, Connecting, Databases
from otel_run.instrumentors.psycopg_pipeline import Pipelines
from otel_run.instrumentors.psycopg_statements import Statements
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.on_import import Finder
from otel_run.patching.wrap import DoesNotFit, Patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.trace import Tracer

_UNIT = "instrumentor psycopg"


class PsycopgInstrumentor(Instrumentor):
    """Connections, cursors, server-side cursors, COPY, stream, pipelines, transactions and pools of psycopg 3."""

    library = "psycopg"
    # Those that were made when psycopg_pool was imported after psycopg.
    _pools: list[Patch] | None = None

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """List what runs statements; cursors and connections of other kinds inherit from these."""
        import psycopg
        import psycopg.conninfo

        read: tuple[tuple[Any, str], ...] = (
            (psycopg.BaseConnection, "info"),
            (psycopg.conninfo, "conninfo_to_dict"),
            (psycopg.pq.PGconn, "parameter_status"),
        )
        for owner, name in read:
            if not hasattr(owner, name):
                raise DoesNotFit(f"{owner.__name__} has no {name}")
        yield from self._pool_patches(tracer)
        databases = Databases()
        connecting = Connecting(tracer, databases)
        pipelines = Pipelines()
        watch = Statements(tracer, databases, pipelines)
        for owner, name, begin, takes in (
            (psycopg.Connection, "connect", connecting.connect, "conninfo"),
            (psycopg.AsyncConnection, "connect", connecting.connect, "conninfo"),
            (psycopg.Cursor, "execute", watch.execute, "query"),
            (psycopg.Cursor, "executemany", watch.executemany, "query params_seq"),
            (psycopg.ServerCursor, "execute", watch.execute, "query"),
            (psycopg.AsyncCursor, "execute", watch.execute, "query"),
            (psycopg.AsyncCursor, "executemany", watch.executemany, "query params_seq"),
            (psycopg.AsyncServerCursor, "execute", watch.execute, "query"),
            (psycopg.Copy, "__exit__", watch.copy_exit, "exc_type exc_val"),
            (psycopg.AsyncCopy, "__aexit__", watch.copy_exit, "exc_type exc_val"),
            (psycopg.Cursor, "_start_query", watch.start_query, ""),
            (psycopg.Cursor, "_start_copy_gen", watch.copy_start, "statement"),
            (psycopg.Cursor, "_stream_send_gen", watch.stream_send, "query"),
            (psycopg.Cursor, "_stream_fetchone_gen", watch.stream_fetch, ""),
            (psycopg.Connection, "_exec_command", watch.command, "command"),
        ):
            yield Patch(_UNIT, _definer(owner, name), name, begin, takes)
        if psycopg.connect == psycopg.Connection.connect:
            yield Alias(psycopg)
        yield from _pipeline_patches(psycopg, pipelines)

    def _pool_patches(self, tracer: Tracer) -> list[Patch]:
        """Return the pools' patches if they have been imported; else see to it that they come when they are."""
        if hasattr(sys.modules.get(psycopg_pool.AWAITED), "AsyncConnectionPool"):
            return psycopg_pool.patches(tracer)
        pools: list[Patch] = []

        def add() -> None:
            if not self.is_instrumented_by_opentelemetry or self._pools is not pools:
                return
            # It may have been executed again, which changes but one of its modules.
            for patch in pools:
                patch.undo()
            pools[:] = psycopg_pool.patches(tracer)
            for patch in pools:
                patch.apply()
            self._applied += pools

        self._pools = pools
        finder = next((finder for finder in sys.meta_path if isinstance(finder, Finder)), None)
        if finder is not None:
            finder.wait_for(psycopg_pool.AWAITED, add)
        return []


def _pipeline_patches(psycopg: Any, pipelines: Pipelines) -> Iterator[Patch]:
    # 3.0 has none.
    if hasattr(psycopg, "Pipeline"):
        yield Patch(_UNIT, _definer(psycopg.Pipeline, "_process_results"), "_process_results", pipelines.answer)
        yield Patch(_UNIT, psycopg.Pipeline, "__exit__", pipelines.leave, "exc_type exc_val")
        yield Patch(_UNIT, psycopg.AsyncPipeline, "__aexit__", pipelines.leave, "exc_type exc_val")


def _definer(cls: type, name: str) -> type:
    """Return the class that gives `cls` its `name`: for private ones a base that sync and async share."""
    return next((base for base in cls.__mro__ if name in vars(base)), cls)

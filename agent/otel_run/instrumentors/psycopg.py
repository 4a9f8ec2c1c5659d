"""psycopg 3, sync and async: a span for each statement, and for what psycopg sends by itself.

psycopg sends BEGIN with the first statement, inside the very call of the program that runs it. So a
statement's span does not start with its call but when psycopg has begun (`BaseCursor._start_query`), and
BEGIN becomes its elder brother. BEGIN, COMMIT, SAVEPOINT, FETCH and the like all pass through
`BaseConnection._exec_command`, in both kinds of connection and in `transaction()` blocks, and only when they
really go to the server. In pipeline mode both are but queued there; see psycopg_pipeline.py.

No span is made current: nothing that could be traced runs below libpq.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import context

from otel_run.instrumentors import psycopg_pool, sql
from otel_run.instrumentors.notes import Notes
from otel_run.instrumentors.psycopg_connecting import Alias, Connecting, Databases, is_open
from otel_run.instrumentors.psycopg_pipeline import Pipelines
from otel_run.instrumentors.psycopg_text import text_of
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.on_import import Finder
from otel_run.patching.wrap import DoesNotFit, Patch
from otel_run.tracing.call import Call, is_suppressed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.psycopg_pipeline import Sent
    from otel_run.patching.wrap import Finish

_UNIT = "instrumentor psycopg"
_CANCELED = "57014"  # SQLSTATE query_canceled


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
        watch = _Watch(tracer, databases, pipelines)
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


class _Query:
    """A statement that its cursor was given; the span starts when psycopg has begun its transaction."""

    __slots__ = ("_batch", "_call", "_query", "answered", "pipeline", "sent")

    def __init__(self, query: Any, batch: int | None = None, pipeline: Any = None) -> None:
        self._query = query
        self._batch = batch
        self._call: Call | None = None
        # The program's own pipeline, in which the statement is but queued; psycopg makes another for executemany.
        self.pipeline = pipeline
        self.sent: Sent | None = None
        # When the first row of a stream had come, in ns since the epoch.
        self.answered: int | None = None

    def start(self, tracer: Tracer, database: sql.Database, connection: Any) -> None:
        name, attributes = database.describe(text_of(self._query, connection), self._batch)
        self._call = Call(tracer, name, attributes, current=False)

    def end(self, error: BaseException | None, at: int | None = None) -> None:
        # Without a call nothing of it went to the server: BEGIN failed, or the cursor was closed.
        if self._call is not None:
            sql.end(self._call, error, at)


class _Watch:
    """What happens before and after each patched function; the methods are named for what they watch."""

    def __init__(self, tracer: Tracer, databases: Databases, pipelines: Pipelines) -> None:
        self._tracer = tracer
        self._databases = databases
        self._pipelines = pipelines
        self._queries: Notes[_Query] = Notes()

    def execute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        return self._run(args[0], _argument(args, kwargs, 1, "query"))

    def executemany(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        # An iterator's length is known to nobody, and is not ours to consume.
        sets = _argument(args, kwargs, 2, "params_seq")
        batch = len(sets) if hasattr(sets, "__len__") else None
        return self._run(args[0], _argument(args, kwargs, 1, "query"), batch)

    def _run(self, cursor: Any, query: Any, batch: int | None = None) -> Finish | None:
        if is_suppressed(sql.INSIDE_POOL):
            return None
        given = self._queries[cursor] = _Query(query, batch, getattr(cursor.connection, "_pipeline", None))

        def finish(_result: Any, error: BaseException | None) -> None:
            self._queries.pop(cursor)
            if given.sent is None:
                given.end(error)
            else:
                self._pipelines.queued(given.pipeline, given.sent, error)

        return finish

    def start_query(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        cursor = args[0]
        given = self._queries.get(cursor)
        if given is None:
            return None

        def finish(_result: Any, error: BaseException | None) -> None:
            connection = cursor.connection
            if error is None and is_open(connection):
                given.start(self._tracer, self._databases.of(connection), connection)
                if given.pipeline is not None:
                    given.sent = self._pipelines.put(given.pipeline, given.end)

        return finish

    def copy_start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch a COPY being sent; it lasts until the block that moves the rows is left."""
        return self._send(args[0], _argument(args, kwargs, 1, "statement"))

    def copy_exit(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        given = self._queries.pop(getattr(args[0], "cursor", None))
        if given is None:
            return None
        # An error in the program's block ends the COPY too, though __exit__ itself goes well.
        ending = args[2] if len(args) > 2 else None
        return lambda _result, error: given.end(ending if error is None else error)

    def stream_send(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch a stream's query being sent."""
        return self._send(args[0], _argument(args, kwargs, 1, "query"))

    def stream_fetch(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch a row of a stream being fetched.

        The query lasts until the first: the rest comes when the program likes. It ends with the last one all the
        same, for each may be the one that fails.
        """
        cursor = args[0]
        given = self._queries.get(cursor)
        if given is None:
            return None

        def finish(row: Any, error: BaseException | None) -> None:
            if row is not None:
                given.answered = given.answered or time.time_ns()
                return
            self._queries.pop(cursor)
            # A program that wants no more rows has psycopg cancel the query, and then hears nothing of it.
            is_over = error is None or (given.answered and getattr(error, "sqlstate", "") == _CANCELED)
            given.end(None if is_over else error, given.answered if is_over else None)

        return finish

    def _send(self, cursor: Any, query: Any) -> Finish | None:
        if is_suppressed(sql.INSIDE_POOL):
            return None
        given = self._queries[cursor] = _Query(query)

        def finish(_result: Any, error: BaseException | None) -> None:
            if error is not None:
                self._queries.pop(cursor)
                given.end(error)

        return finish

    def command(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch one of psycopg's own statements."""
        connection, command = args[0], _argument(args, kwargs, 1, "command")
        above = None
        if is_suppressed(sql.INSIDE_POOL):
            above = _statement_above(command)
            if above is None:
                return None
        if not is_open(connection):
            return None
        name, attributes = self._databases.of(connection).describe(text_of(command, connection))
        call = Call(self._tracer, name, attributes, current=False, parent=above.parent if above is not None else None)

        def end(error: BaseException | None) -> None:
            sql.end(call, error)
            if above is not None:
                above.restart()

        pipeline = getattr(connection, "_pipeline", None)
        if pipeline is None:
            return lambda _result, error: end(error)
        sent = self._pipelines.put(pipeline, end)
        return lambda _result, error: self._pipelines.queued(pipeline, sent, error)


def _statement_above(command: Any) -> Call | None:
    """Return the call of the ORM that hides psycopg's own, if `command` is the BEGIN of its transaction."""
    above = context.get_value(sql.STATEMENT)
    begins = isinstance(command, bytes) and command.startswith(b"BEGIN")
    return above if begins and isinstance(above, Call) and above else None


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)

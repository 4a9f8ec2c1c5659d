"""psycopg 3, sync and async: a span for each statement, and for what psycopg sends by itself.

psycopg sends BEGIN with the first statement, inside the very call of the program that runs it. So a
statement's span does not start with its call but when psycopg has begun (`BaseCursor._start_query`), and
BEGIN becomes its elder brother. BEGIN, COMMIT, SAVEPOINT, FETCH and the like all pass through
`BaseConnection._exec_command`, in both kinds of connection and in `transaction()` blocks, and only when they
really go to the server. In pipeline mode commands are but queued there, so those that wait for their answer
are watched one level higher.

No span is made current: nothing that could be traced runs below libpq.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from otel_run.instrumentors import sql
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing.call import EVERYTHING, Call, is_suppressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

_IDLE = 0  # psycopg.pq.TransactionStatus.IDLE


class PsycopgInstrumentor(Instrumentor):
    """Cursors, server-side cursors, COPY, stream, pipelines and transactions of psycopg 3."""

    library = "psycopg"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """List what runs statements; cursors of other kinds inherit from these."""
        import psycopg

        watch = _Watch(tracer)
        for owner, name, begin in (
            (psycopg.Cursor, "execute", watch.execute),
            (psycopg.Cursor, "executemany", watch.executemany),
            (psycopg.ServerCursor, "execute", watch.execute),
            (psycopg.AsyncCursor, "execute", watch.execute),
            (psycopg.AsyncCursor, "executemany", watch.executemany),
            (psycopg.AsyncServerCursor, "execute", watch.execute),
            (psycopg.Copy, "__exit__", watch.copy_exit),
            (psycopg.AsyncCopy, "__aexit__", watch.copy_exit),
            (psycopg.Cursor, "_start_query", watch.start_query),
            (psycopg.Cursor, "_start_copy_gen", watch.copy_start),
            (psycopg.Cursor, "_stream_send_gen", watch.stream_send),
            (psycopg.Cursor, "_stream_fetchone_gen", watch.stream_fetch),
            (psycopg.Connection, "_exec_command", watch.command),
            (psycopg.Connection, "_start_query", watch.begin_in_pipeline),
            (psycopg.Connection, "_commit_gen", watch.end_in_pipeline("COMMIT")),
            (psycopg.Connection, "_rollback_gen", watch.end_in_pipeline("ROLLBACK")),
        ):
            yield Patch("instrumentor psycopg", _definer(owner, name), name, begin)


def _definer(cls: type, name: str) -> type:
    """Return the class that gives `cls` its `name`: for private ones a base that sync and async share."""
    return next((base for base in cls.__mro__ if name in vars(base)), cls)


class _Query:
    """A statement that its cursor was given; the span starts when psycopg has begun its transaction."""

    __slots__ = ("_batch", "_call", "_query")

    def __init__(self, query: Any, batch: int | None = None) -> None:
        self._query = query
        self._batch = batch
        self._call: Call | None = None

    def start(self, tracer: Tracer, database: sql.Database, connection: Any) -> None:
        name, attributes = database.describe(text_of(self._query, connection), self._batch)
        self._call = Call(tracer, name, attributes, current=False)

    def end(self, error: BaseException | None) -> None:
        # Without a call nothing of it went to the server: BEGIN failed, or the cursor was closed.
        if self._call is not None:
            sql.end(self._call, error)


class _Watch:
    """What happens before and after each patched function; the methods are named for what they watch."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._queries: WeakKeyDictionary[Any, _Query] = WeakKeyDictionary()
        self._databases: WeakKeyDictionary[Any, sql.Database] = WeakKeyDictionary()

    def execute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        return self._run(args[0], _argument(args, kwargs, 1, "query"))

    def executemany(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        # An iterator's length is known to nobody, and is not ours to consume.
        sets = _argument(args, kwargs, 2, "params_seq")
        batch = len(sets) if hasattr(sets, "__len__") else None
        return self._run(args[0], _argument(args, kwargs, 1, "query"), batch)

    def _run(self, cursor: Any, query: Any, batch: int | None = None) -> Finish | None:
        if is_suppressed(EVERYTHING):
            return None
        given = self._queries[cursor] = _Query(query, batch)

        def finish(_result: Any, error: BaseException | None) -> None:
            self._queries.pop(cursor, None)
            given.end(error)

        return finish

    def start_query(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        cursor = args[0]
        given = self._queries.get(cursor)
        if given is None:
            return None

        def finish(_result: Any, error: BaseException | None) -> None:
            if error is None:
                given.start(self._tracer, self._database(cursor.connection), cursor.connection)

        return finish

    def copy_start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch a COPY being sent; it lasts until the block that moves the rows is left."""
        return self._send(args[0], _argument(args, kwargs, 1, "statement"))

    def copy_exit(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        given = self._queries.pop(args[0].cursor, None)
        if given is None:
            return None
        # An error in the program's block ends the COPY too, though __exit__ itself goes well.
        ending = args[2] if len(args) > 2 else None
        return lambda _result, error: given.end(error or ending)

    def stream_send(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch a stream's query being sent.

        It lasts until the first row: the rest comes when the program likes, or never (the conventions
        forbid a span that ends in a clean-up).
        """
        return self._send(args[0], _argument(args, kwargs, 1, "query"))

    def stream_fetch(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        given = self._queries.pop(args[0], None)
        return None if given is None else lambda _result, error: given.end(error)

    def _send(self, cursor: Any, query: Any) -> Finish | None:
        if is_suppressed(EVERYTHING):
            return None
        given = self._queries[cursor] = _Query(query)

        def finish(_result: Any, error: BaseException | None) -> None:
            if error is not None:
                self._queries.pop(cursor, None)
                given.end(error)

        return finish

    def command(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch one of psycopg's own statements."""
        connection = args[0]
        if connection._pipeline or is_suppressed(EVERYTHING):
            return None
        return self._own(connection, _argument(args, kwargs, 1, "command"))

    def begin_in_pipeline(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        connection = args[0]
        if not connection._pipeline or connection._autocommit or connection.pgconn.transaction_status != _IDLE:
            return None
        return None if is_suppressed(EVERYTHING) else self._own(connection, connection._get_tx_start_command())

    def end_in_pipeline(self, command: str) -> Callable[[tuple[Any, ...], dict[str, Any]], Finish | None]:
        def begin(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
            connection = args[0]
            # psycopg refuses it inside a transaction() block, without asking the server.
            refuses = connection._num_transactions or connection._tpc
            if not connection._pipeline or refuses or connection.pgconn.transaction_status == _IDLE:
                return None
            return None if is_suppressed(EVERYTHING) else self._own(connection, command)

        return begin

    def _own(self, connection: Any, command: Any) -> Finish:
        name, attributes = self._database(connection).describe(text_of(command, connection))
        call = Call(self._tracer, name, attributes, current=False)
        return lambda _result, error: sql.end(call, error)

    def _database(self, connection: Any) -> sql.Database:
        found = self._databases.get(connection)
        if found is None:
            info = connection.info
            host = info.host or info.hostaddr
            found = sql.database("postgresql", info.dbname, host, info.port)
            self._databases[connection] = found
        return found


def text_of(query: Any, connection: Any) -> str:
    """Return the text of whatever psycopg takes as a query, without adapting the values in it."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if hasattr(query, "interpolations"):
        return _text_of_template(query, connection)
    from psycopg import sql as composing

    if isinstance(query, composing.Composed):
        return "".join(text_of(part, connection) for part in query)
    if isinstance(query, composing.Literal):
        return "?"
    return str(query.as_string(connection)) if isinstance(query, composing.Composable) else ""


def _text_of_template(template: Any, connection: Any) -> str:
    """Return the text of a t-string (Python 3.14): i is an identifier, q a query, anything else a value."""
    text = str(template.strings[0])
    for part, after in zip(template.interpolations, template.strings[1:], strict=True):
        if part.format_spec == "q":
            text += text_of(part.value, connection)
        elif part.format_spec == "i":
            text += '"' + str(part.value).replace('"', '""') + '"'
        else:
            text += "?"
        text += after
    return text


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)

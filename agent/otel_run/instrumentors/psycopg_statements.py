"""psycopg's statements: each from where it is really sent to where it is really over.

Below a request of which nothing is kept each patch asks for that alone, and leaves nothing behind. So what is noted
about a cursor is noted by what made a span, and what comes later (an answer, a row, the end of a block) goes by the
note: it need not know who was sampled.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import sql
from otel_run.instrumentors.notes import Notes
from otel_run.instrumentors.psycopg_connecting import is_open
from otel_run.instrumentors.psycopg_text import text_of
from otel_run.tracing.call import Call, is_suppressed
from otel_run.tracing.entering import now
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.psycopg_connecting import Databases
    from otel_run.instrumentors.psycopg_pipeline import Pipelines, Sent
    from otel_run.patching.wrap import Finish

_CANCELED = "57014"  # SQLSTATE query_canceled


class _Query:
    """A statement that its cursor was given; the span starts when psycopg has begun its transaction.

    Called, it is told that the call is over which was given the statement.
    """

    __slots__ = ("_around", "_batch", "_call", "_key", "_query", "_watch", "answered", "pipeline", "sent")

    def __init__(
        self,
        watch: Statements,
        around: Context,
        cursor: Any,
        query: Any,
        batch: int | None = None,
        pipeline: Any = None,
    ) -> None:
        self._watch = watch
        self._around = around
        self._query = query
        self._batch = batch
        self._call: Call | None = None
        # Not the cursor, which would then live as long as a stream that is given up.
        self._key = id(cursor)
        # The program's own pipeline, in which the statement is but queued; psycopg makes another for executemany.
        self.pipeline = pipeline
        self.sent: Sent | None = None
        # When the first row of a stream had come, in ns since the epoch.
        self.answered: int | None = None

    def start(self, connection: Any) -> None:
        watch = self._watch
        if not is_open(connection):
            return
        query = self._query
        text = query if type(query) is str else text_of(query, connection)
        name, attributes = watch.databases.of(connection).describe(text, self._batch)
        self._call = Call(watch.tracer, name, attributes, current=False, parent=self._around)
        if self.pipeline is not None:
            self.sent = watch.pipelines.put(self.pipeline, self.end)

    def end(self, error: BaseException | None, at: int | None = None) -> None:
        # Without a call nothing of it went to the server: BEGIN failed, or the cursor was closed.
        if self._call is not None:
            sql.end(self._call, error, at)

    def __call__(self, _result: Any, error: BaseException | None) -> None:
        self._watch.begun.pop(self._key, None)
        if self.sent is None:
            self.end(error)
        else:
            self._watch.pipelines.queued(self.pipeline, self.sent, error)


class Statements:
    """What happens before and after each patched function; the methods are named for what they watch."""

    def __init__(self, tracer: Tracer, databases: Databases, pipelines: Pipelines) -> None:
        self.tracer = tracer
        self.databases = databases
        self.pipelines = pipelines
        # The statements that cursors are about to send, by the cursor's id: none lives longer than the call that has
        # the cursor for an argument.
        self.begun: dict[int, _Query] = {}
        # Those that outlive their first call: of a COPY, of a stream.
        self._lasting: Notes[_Query] = Notes()

    def execute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch a cursor being given a statement."""
        around = now()
        if is_dropped(self.tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            return None
        return self._run(around, args[0], _argument(args, kwargs, 1, "query"))

    def executemany(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch a cursor being given a statement for many sets of parameters."""
        around = now()
        if is_dropped(self.tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            return None
        # An iterator's length is known to nobody, and is not ours to consume.
        sets = _argument(args, kwargs, 2, "params_seq")
        batch = len(sets) if hasattr(sets, "__len__") else None
        return self._run(around, args[0], _argument(args, kwargs, 1, "query"), batch)

    def _run(self, around: Context, cursor: Any, query: Any, batch: int | None = None) -> _Query:
        pipeline = getattr(cursor.connection, "_pipeline", None)
        given = self.begun[id(cursor)] = _Query(self, around, cursor, query, batch, pipeline)
        return given

    def start_query(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch psycopg begin the transaction that a statement needs; then the statement itself is sent."""
        cursor = args[0]
        given = self.begun.get(id(cursor))
        if given is None:
            return None

        def finish(_result: Any, error: BaseException | None) -> None:
            if error is None:
                given.start(cursor.connection)

        return finish

    def copy_start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch a COPY being sent; it lasts until the block that moves the rows is left."""
        return self._send(args[0], _argument(args, kwargs, 1, "statement"))

    def copy_exit(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch a COPY's block being left."""
        given = self._lasting.pop(getattr(args[0], "cursor", None))
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
        given = self._lasting.get(cursor)
        if given is None:
            return None

        def finish(row: Any, error: BaseException | None) -> None:
            if row is not None:
                given.answered = given.answered or time.time_ns()
                return
            self._lasting.pop(cursor)
            # A program that wants no more rows has psycopg cancel the query, and then hears nothing of it.
            is_over = error is None or (given.answered and getattr(error, "sqlstate", "") == _CANCELED)
            given.end(None if is_over else error, given.answered if is_over else None)

        return finish

    def _send(self, cursor: Any, query: Any) -> Finish | None:
        around = now()
        if is_dropped(self.tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            # One that was given up must not be taken for this.
            self._lasting.pop(cursor)
            return None
        given = self.begun[id(cursor)] = _Query(self, around, cursor, query)

        def finish(_result: Any, error: BaseException | None) -> None:
            self.begun.pop(id(cursor), None)
            if error is None:
                self._lasting[cursor] = given
            else:
                given.end(error)

        return finish

    def command(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Watch one of psycopg's own statements."""
        around = now()
        if is_dropped(self.tracer, around):
            return None
        connection, command = args[0], _argument(args, kwargs, 1, "command")
        above = None
        if is_suppressed(sql.INSIDE_POOL, around):
            above = _statement_above(command, around)
            if above is None:
                return None
        if not is_open(connection):
            return None
        name, attributes = self.databases.of(connection).describe(text_of(command, connection))
        parent = around if above is None else above.parent
        call = _Command(self.tracer, name, attributes, current=False, parent=parent)
        call.above = above
        pipeline = getattr(connection, "_pipeline", None)
        if pipeline is None:
            return call
        sent = self.pipelines.put(pipeline, call.answer)
        return lambda _result, error: self.pipelines.queued(pipeline, sent, error)


class _Command(Call):
    """The call of one of psycopg's own statements, which is also what ends it."""

    __slots__ = ("above",)

    # That of an ORM's statement, which starts when this is over.
    above: Call | None

    def answer(self, error: BaseException | None) -> None:
        sql.end(self, error)
        if self.above is not None:
            self.above.restart()

    def __call__(self, _result: Any, error: BaseException | None) -> None:
        self.answer(error)


def _statement_above(command: Any, around: Context) -> Call | None:
    """Return the call of the ORM that hides psycopg's own, if `command` is the BEGIN of its transaction."""
    above = around.get(sql.STATEMENT)
    begins = isinstance(command, bytes) and command.startswith(b"BEGIN")
    return above if begins and isinstance(above, Call) and above else None


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)

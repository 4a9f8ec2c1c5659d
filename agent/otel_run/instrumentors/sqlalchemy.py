"""SQLAlchemy 1.4, 2.0, 2.1, Core and ORM, sync and async: a span for each trip to the database.

What is patched are the dialects' `do_execute`, `do_executemany`, `do_commit` ...: the last of SQLAlchemy before
the driver, documented for dialects' authors, and with one shape in all versions. There the statement is final, the
error is the driver's own (SQLAlchemy's repeats SQL and parameters in its text), and one call is one trip: an
insertmanyvalues of three batches makes three. Not the events: after_cursor_execute is not called for an error,
handle_error is called for others too, and a listener of the program's that raises between them would leave our span
open. Not Connection's methods: 1.4 has no statement yet where 2.x has one.

Dialects override these methods, so every class that defines one is patched, those of engines made later included;
an override that calls the one above it finds the instrumentation suppressed, as does a traced driver.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

from otel_run import report
from otel_run.instrumentors import sql, sqlalchemy_aiosqlite
from otel_run.instrumentors.sqlalchemy_database import Databases, is_silent
from otel_run.instrumentors.sqlalchemy_pool import Pools
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import DoesNotFit, Patch
from otel_run.tracing.call import EVERYTHING, Call, is_suppressed
from otel_run.tracing.entering import now
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Begin, Finish

_UNIT = "instrumentor sqlalchemy"

# The class through which the asyncpg dialect begins its transactions, and what it calls for that.
_ASYNCPG, _START = "AsyncAdapt_asyncpg_connection", "_start_transaction"


class SqlalchemyInstrumentor(Instrumentor):
    """Every engine of SQLAlchemy, made before or after, whatever its dialect and driver."""

    library = "sqlalchemy"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """List the dialects that are loaded, what loads others, and the pools."""
        from sqlalchemy.engine import Engine
        from sqlalchemy.engine.default import DefaultDialect
        from sqlalchemy.event.attr import _CompoundListener
        from sqlalchemy.pool import QueuePool
        from sqlalchemy.pool.base import _ConnectionRecord  # type: ignore[attr-defined,unused-ignore]

        databases = Databases()
        pools = Pools(tracer, databases)
        watch = _Watch(tracer, databases, pools)
        self._dialects = _Dialects(watch, databases)
        # All of them, or it is not SQLAlchemy as we know it.
        for name, (begin, takes) in watch.methods.items():
            Patch(_UNIT, DefaultDialect, name, begin, takes)
        yield from self._dialects.fresh(DefaultDialect)
        yield from self._dialects.threads()
        yield Patch(_UNIT, Engine, "__init__", self._dialects.engine_made, "pool dialect url")
        yield Patch(_UNIT, _ConnectionRecord, "_ConnectionRecord__connect", pools.connect)
        yield Patch(_UNIT, _CompoundListener, "_exec_w_sync_on_first_run", pools.set_up)
        yield Patch(_UNIT, QueuePool, "_do_get", pools.wait)

    def _uninstrument(self, **kwargs: Any) -> None:
        self._dialects.undo()
        super()._uninstrument(**kwargs)


class _Dialects:
    """The classes of dialects, of which each is patched once, when the first engine of it is made."""

    def __init__(self, watch: _Watch, databases: Databases) -> None:
        self._watch = watch
        self._databases = databases
        self._seen: set[type] = set()
        self._later: list[Patch] = []

    def fresh(self, top: type) -> Iterator[Patch]:
        """Yield the patches for `top` and its subclasses, as far as they are new."""
        for cls in (top, *_below(top)):
            # The interfaces are never called, and their arguments were others in 1.4.
            if cls in self._seen or cls.__module__ == "sqlalchemy.engine.interfaces":
                continue
            self._seen.add(cls)
            for name, (begin, takes) in self._watch.methods.items():
                if name in vars(cls):
                    yield from _if_it_fits(cls, name, begin, takes)
            connection = getattr(sys.modules.get(cls.__module__), _ASYNCPG, None)
            if isinstance(connection, type) and connection not in self._seen:
                self._seen.add(connection)
                yield from _if_it_fits(connection, _START, self._watch.start_transaction)

    def threads(self) -> Iterator[Patch]:
        """Yield the patch of the one driver that leaves the thread of its call, once it has been imported."""
        connection = sqlalchemy_aiosqlite.connection_class()
        if connection is not None and connection not in self._seen:
            self._seen.add(connection)
            yield from _if_it_fits(connection, "__init__", sqlalchemy_aiosqlite.made, "connector")

    def engine_made(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        dialect = _argument(args, kwargs, 2, "dialect")
        fresh = [cls for cls in type(dialect).__mro__[:-1] if cls not in self._seen]
        for patch in itertools.chain(self.threads(), *map(self.fresh, fresh)):
            patch.apply()
            self._later.append(patch)
        self._databases.engine_made(dialect, _argument(args, kwargs, 3, "url"))
        return None

    def undo(self) -> None:
        for patch in reversed(self._later):
            patch.undo()
        self._later.clear()


def _if_it_fits(cls: type, name: str, begin: Begin, takes: str = "") -> Iterator[Patch]:
    """Yield the patch of one method of one dialect; another's being of another shape is no reason to leave all."""
    try:
        patch = Patch(_UNIT, cls, name, begin, takes)
    except DoesNotFit as why:
        report.note(_UNIT, "left a dialect's method alone", str(why))
    else:
        yield patch


def _below(cls: type) -> Iterator[type]:
    subclass: type
    # Not cls.__subclasses__(): of a metaclass it would be an unbound method.
    for subclass in type.__subclasses__(cls):
        yield subclass
        yield from _below(subclass)


class _Ending(Call):
    """A call that is also what ends it."""

    __slots__ = ()

    def __call__(self, _result: Any, error: BaseException | None) -> None:
        sql.end(self, error)


class _Statement(_Ending):
    """The call of one statement, of which what is below may say that it begins with a BEGIN."""

    __slots__ = ("database",)

    database: sql.Database


class _Watch:
    """What happens before and after each method of a dialect."""

    def __init__(self, tracer: Tracer, databases: Databases, pools: Pools) -> None:
        self._tracer = tracer
        self._databases = databases
        # Name, what watches it, and the arguments it relies on.
        statement = "cursor statement parameters context"
        self.methods: dict[str, tuple[Begin, str]] = {
            "do_execute": (self._execute, statement),
            "do_executemany": (self._executemany, statement),
            "do_execute_no_params": (self._execute_no_params, "cursor statement context"),
            "do_commit": (self._ending("COMMIT"), ""),
            "do_rollback": (self._ending("ROLLBACK"), ""),
            "do_ping": (pools.ping, ""),
        }

    # The arguments of the first: (dialect, cursor, statement, parameters, context).

    def _execute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        around = now()
        if is_dropped(self._tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            return None
        return self._run(args, kwargs, around, _argument(args, kwargs, 4, "context"))

    def _executemany(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        around = now()
        if is_dropped(self._tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            return None
        sets = _argument(args, kwargs, 3, "parameters")
        batch = len(sets) if hasattr(sets, "__len__") else None
        return self._run(args, kwargs, around, _argument(args, kwargs, 4, "context"), batch)

    def _execute_no_params(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        around = now()
        if is_dropped(self._tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            return None
        return self._run(args, kwargs, around, _argument(args, kwargs, 3, "context"))

    def _run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], around: Context, context: Any, batch: int | None = None
    ) -> _Statement:
        database = self._databases.of(args[0], context)
        name, attributes = database.describe(_argument(args, kwargs, 2, "statement"), batch)
        call = _Statement(self._tracer, name, attributes, EVERYTHING, entry=sql.STATEMENT, parent=around)
        call.database = database
        return call

    def _ending(self, command: str) -> Callable[[tuple[Any, ...], dict[str, Any]], Finish | None]:
        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
            around = now()
            if is_dropped(self._tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
                return None
            # Dialects call their argument what they like.
            connection = args[1] if len(args) > 1 else next(iter(kwargs.values()), None)
            if is_silent(command, connection):
                return None
            name, attributes = self._databases.of_connection(args[0], connection).describe_call(command)
            return _Ending(self._tracer, name, attributes, EVERYTHING, parent=around)

        return begin

    def start_transaction(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch the asyncpg dialect send BEGIN, inside the call that runs the first statement.

        It becomes the statement's elder sibling. psycopg's instrumentor does the same for psycopg. psycopg2 and
        pg8000 send theirs unseen: below Python the one, in code that has had many shapes the other. SQLite's
        goes to no server.
        """
        call = now().get(sql.STATEMENT)
        if not isinstance(call, _Statement) or getattr(args[0], "isolation_level", None) == "autocommit":
            return None
        name, attributes = call.database.describe_call("BEGIN")
        begin = Call(self._tracer, name, attributes, current=False, parent=call.parent)

        def finish(_result: Any, error: BaseException | None) -> None:
            sql.end(begin, error)
            call.restart()

        return finish


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)

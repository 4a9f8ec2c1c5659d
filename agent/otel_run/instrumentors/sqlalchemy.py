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

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from otel_run.instrumentors import sql
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.wrap import Patch
from otel_run.tracing.call import EVERYTHING, Call, is_suppressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Begin, Finish

_UNIT = "instrumentor sqlalchemy"

# Names of dialects that are not the conventions' names of systems.
_SYSTEMS = {
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "redshift": "aws.redshift",
    "db2": "ibm.db2",
    "ibm_db_sa": "ibm.db2",
    "hana": "sap.hana",
    "firebird": "firebirdsql",
    "spanner+spanner": "gcp.spanner",
    "awsathena": "aws.athena",
}


class SqlalchemyInstrumentor(Instrumentor):
    """Every engine of SQLAlchemy, made before or after, whatever its dialect and driver."""

    library = "sqlalchemy"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """List the dialects that are loaded, what loads others, and the connecting that makes no spans."""
        from sqlalchemy.engine import Engine
        from sqlalchemy.engine.default import DefaultDialect
        from sqlalchemy.pool.base import _ConnectionRecord  # type: ignore[attr-defined,unused-ignore]

        watch = _Watch(tracer)
        self._dialects = _Dialects(watch)
        # All of them, or it is not SQLAlchemy as we know it.
        for name in watch.methods:
            Patch(_UNIT, DefaultDialect, name, watch.methods[name])
        yield from self._dialects.fresh(DefaultDialect)
        yield Patch(_UNIT, Engine, "__init__", self._dialects.engine_made)
        yield Patch(_UNIT, _ConnectionRecord, "_ConnectionRecord__connect", watch.connecting)

    def _uninstrument(self, **kwargs: Any) -> None:
        self._dialects.undo()
        super()._uninstrument(**kwargs)


class _Dialects:
    """The classes of dialects, of which each is patched once, when the first engine of it is made."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        self._seen: set[type] = set()
        self._later: list[Patch] = []

    def fresh(self, top: type) -> Iterator[Patch]:
        """Yield the patches for `top` and its subclasses, as far as they are new."""
        for cls in (top, *_below(top)):
            if cls not in self._seen:
                self._seen.add(cls)
                for name, begin in self._watch.methods.items():
                    if name in vars(cls):
                        yield Patch(_UNIT, cls, name, begin)

    def engine_made(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        dialect = args[2] if len(args) > 2 else kwargs.get("dialect")
        for cls in type(dialect).__mro__[:-1]:
            if cls not in self._seen:
                for patch in self.fresh(cls):
                    patch.apply()
                    self._later.append(patch)
        return None

    def undo(self) -> None:
        for patch in reversed(self._later):
            patch.undo()


def _below(cls: type) -> Iterator[type]:
    subclass: type
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _below(subclass)


class _Watch:
    """What happens before and after each method of a dialect."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        # One dialect belongs to one engine, and so to one database.
        self._databases: WeakKeyDictionary[Any, sql.Database] = WeakKeyDictionary()
        self.methods: dict[str, Begin] = {
            "do_execute": self._execute,
            "do_executemany": self._executemany,
            "do_execute_no_params": self._execute_no_params,
            "do_commit": self._ending("COMMIT"),
            "do_rollback": self._ending("ROLLBACK"),
        }

    # The arguments of the first: (dialect, cursor, statement, parameters, context).

    def _execute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        return self._run(args, _argument(args, kwargs, 4, "context"))

    def _executemany(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        return self._run(args, _argument(args, kwargs, 4, "context"), len(_argument(args, kwargs, 3, "parameters")))

    def _execute_no_params(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        return self._run(args, _argument(args, kwargs, 3, "context"))

    def _run(self, args: tuple[Any, ...], context: Any, batch: int | None = None) -> Finish | None:
        if is_suppressed(EVERYTHING):
            return None
        return self._call(*self._database(args[0], context).describe(args[2], batch))

    def _ending(self, command: str) -> Callable[[tuple[Any, ...], dict[str, Any]], Finish | None]:
        def begin(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
            dialect, connection = args[:2]
            if is_suppressed(EVERYTHING) or _is_idle(connection):
                return None
            return self._call(*self._database(dialect, None).describe_call(command))

        return begin

    def _call(self, name: str, attributes: sql.Attributes) -> Finish:
        call = Call(self._tracer, name, attributes, suppress=EVERYTHING)
        return lambda _result, error: sql.end(call, error)

    def connecting(self, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish:
        """Keep quiet while a pool connects: the dialect's probes of version and settings are no query of anybody's."""
        from opentelemetry import context

        token = context.attach(context.set_value(EVERYTHING, True))
        return lambda _result, _error: context.detach(token)

    def _database(self, dialect: Any, context: Any) -> sql.Database:
        found = self._databases.get(dialect)
        if found is None:
            found = _database(dialect, context)
            # COMMIT has no context to ask. It follows a statement, which has one; if not, it is not remembered.
            if context is not None:
                self._databases[dialect] = found
        return found


def _database(dialect: Any, context: Any) -> sql.Database:
    system = "mariadb" if getattr(dialect, "is_mariadb", False) else _SYSTEMS.get(dialect.name, dialect.name)
    if context is None:
        return sql.database(system)
    connection = context.root_connection
    url = connection.engine.url
    if system == "sqlite":
        # A URI may carry a key: file:x.db?key=...
        return sql.database(system, (url.database or ":memory:").partition("?")[0])
    # With `creator=` and for libpq's defaults the URL is silent, but PostgreSQL's drivers know.
    info = getattr(_driver_connection(connection.connection), "info", None)
    address = url.host or getattr(info, "host", None)
    port = url.port or getattr(info, "port", None)
    return sql.database(system, url.database or getattr(info, "dbname", None), address, port)


def _driver_connection(connection: Any) -> Any:
    """Return what the driver itself made, below the pool's wrapper and the wrapper for asyncio."""
    for name in ("driver_connection", "dbapi_connection"):
        found = getattr(connection, name, None)
        if found is not None:
            return found
    return connection


def _is_idle(connection: Any) -> bool:
    """Tell whether no transaction is open, so that the driver will not bother the server with its end."""
    driver = _driver_connection(connection)
    status = getattr(getattr(driver, "info", None), "transaction_status", None)  # psycopg, psycopg2
    if status is not None:
        return bool(status == 0)
    for name in ("in_transaction", "is_in_transaction"):  # sqlite3, aiosqlite; asyncpg
        found = getattr(driver, name, None)
        if found is not None:
            return not (found() if callable(found) else found)
    return False


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(name)

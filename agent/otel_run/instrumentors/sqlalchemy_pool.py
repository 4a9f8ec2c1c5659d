"""SQLAlchemy's pools: connecting, waiting for a connection, and the ping before one is lent.

Each is told afterwards, and only where it took noticeable time or failed. What SQLAlchemy asks meanwhile
(versions, settings, `SELECT 1`) is no query of anybody's, so databases are silent. Not so HTTP: a `do_connect`
listener or a `creator=` may well fetch a password from somewhere.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry import context
from opentelemetry.trace import SpanKind

from otel_run.instrumentors import sql
from otel_run.tracing.call import EVERYTHING, is_suppressed
from otel_run.tracing.entering import now
from otel_run.tracing.silence import Silence
from otel_run.tracing.tracer import is_dropped
from otel_run.tracing.waiting import tell

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.sqlalchemy_database import Databases
    from otel_run.patching.wrap import Finish


class Pools:
    """What happens before and after a pool connects, waits and pings."""

    def __init__(self, tracer: Tracer, databases: Databases) -> None:
        self._tracer = tracer
        self._databases = databases

    def connect(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch `_ConnectionRecord.__connect`: the creator, then the listeners to "connect"."""
        if is_suppressed(sql.INSIDE_POOL):
            return None
        record, began = args[0], time.time_ns()
        dialect = _dialect_of(getattr(record, "_ConnectionRecord__pool", None))
        silence = Silence(sql.INSIDE_POOL)

        def finish(_result: Any, error: BaseException | None) -> None:
            silence(None, error)
            if dialect is None:
                return
            connection = getattr(record, "dbapi_connection", None)
            database = self._databases.of(dialect) if error else self._databases.connected(dialect, connection)
            target = database.attributes.get("db.namespace")
            self._tell(f"CONNECT {target}" if target else "CONNECT", database, began, error)

        return finish

    def set_up(self, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch the listeners to "connect": with a cursor of the driver's, dialects ask for what they need to know."""
        return Silence(EVERYTHING) if context.get_value(sql.INSIDE_POOL) else None

    def ping(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch `Dialect.do_ping`, which asks the driver without the rest of SQLAlchemy."""
        around = now()
        if is_dropped(self._tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            return None
        dialect, began = args[0], time.time_ns()
        silence = Silence(EVERYTHING)

        def finish(result: Any, error: BaseException | None) -> None:
            silence(result, error)
            self._tell("PING", self._databases.of(dialect), began, error)

        return finish

    def wait(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Watch `QueuePool._do_get` where it will wait: there is no connection left, and none may be added."""
        pool = args[0]
        most = getattr(pool, "_max_overflow", -1)
        if most < 0 or pool.overflow() < most or pool.checkedin() or is_suppressed(sql.INSIDE_POOL):
            return None
        began = time.time_ns()

        def finish(result: Any, error: BaseException | None) -> None:
            # With a connection of its own after all, it has been connecting too, which is another span.
            if getattr(result, "starttime", 0) * 1e9 > began:
                return
            dialect = _dialect_of(pool)
            if dialect is not None:
                database = self._databases.of(dialect)
                attributes = {
                    "db.system.name": database.system,
                    "db.client.connection.pool.name": getattr(pool, "logging_name", None) or _name_of(database),
                }
                # The pool's own text: its size and the time waited.
                own = error is not None and type(error).__name__ == "TimeoutError" and error.args
                message = str(error.args[0]) if error is not None and own else None
                tell(self._tracer, "WAIT FOR POOL", SpanKind.INTERNAL, attributes, began, error, message)

        return finish

    def _tell(self, name: str, database: sql.Database, began: int, error: BaseException | None) -> None:
        attributes: sql.Attributes = {**database.attributes, "db.operation.name": name.partition(" ")[0]}
        message = None
        if error is not None:
            error = sql.error_of_driver(error)
            message, code = sql.message(error), sql.code_of(error)
            if code:
                attributes["db.response.status_code"] = code
        tell(self._tracer, name, SpanKind.CLIENT, attributes, began, error, message)


def _dialect_of(pool: Any) -> Any:
    """Return the dialect of an engine's pool; a pool on its own has one that does little and is called nothing."""
    dialect = getattr(pool, "_dialect", None)
    return dialect if hasattr(dialect, "name") else None


def _name_of(database: sql.Database) -> str:
    """Return what the conventions call a pool that has no name: server.address:server.port/db.namespace."""
    told = database.attributes
    address, port = told.get("server.address", ""), told.get("server.port")
    return f"{address}{f':{port}' if port else ''}/{told.get('db.namespace', '')}"

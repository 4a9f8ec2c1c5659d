"""Which database a connection of psycopg leads to, and the time that connecting to it takes.

A schema is told with the database (`database|schema`) where it is known without asking: PostgreSQL 18 reports
the search path and each change of it, and older servers are told one by `options=-c search_path=...`. There a
later SET is not seen; the conventions let the name be that of the connection's beginning.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from otel_run.instrumentors import sql, sql_schema
from otel_run.instrumentors.notes import Notes
from otel_run.patching.wrap import Patch
from otel_run.tracing import waiting
from otel_run.tracing.call import is_cancellation, is_suppressed
from otel_run.tracing.entering import now
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Finish

_OK = 0  # psycopg.pq.ConnStatus.OK
_SEARCH_PATH = b"search_path"


def is_open(connection: Any) -> bool:
    """Tell whether what is sent can go to the server at all."""
    return bool(getattr(connection.pgconn, "status", _OK) == _OK)


class Databases:
    """The databases of connections, each found out once, when the first of its spans is made."""

    def __init__(self) -> None:
        # With the search path as the server reported it, None if it does not.
        self._found: Notes[tuple[sql.Database, bytes | None]] = Notes()

    def of(self, connection: Any) -> sql.Database:
        """Return the database of an open `connection`."""
        found = self._found.get(connection)
        if found is not None and found[1] is None:
            return found[0]
        path = connection.pgconn.parameter_status(_SEARCH_PATH)
        if found is not None and found[1] == path:
            return found[0]
        info = connection.info
        schema = (
            sql_schema.of_path(path.decode("utf-8", "replace")) if path is not None else sql_schema.of_options(info)
        )
        namespace = f"{info.dbname}|{schema}" if schema else info.dbname
        system = "cockroachdb" if getattr(info, "vendor", "") == "CockroachDB" else "postgresql"
        database = sql.database(system, namespace, _address(info.host, info.hostaddr), info.port)
        self._found[connection] = (database, path)
        return database


class Connecting:
    """What happens before and after `connect`, a class method of both kinds of connection."""

    def __init__(self, tracer: Tracer, databases: Databases) -> None:
        self._tracer = tracer
        self._databases = databases

    def connect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Take the time."""
        around = now()
        if is_dropped(self._tracer, around) or is_suppressed(sql.INSIDE_POOL, around):
            return None
        began = time.time_ns()

        def finish(connection: Any, error: BaseException | None) -> None:
            if error is None:
                database = self._databases.of(connection)
            elif is_cancellation(error):
                return
            else:
                database = _wanted(args[1] if len(args) > 1 else kwargs.get("conninfo", ""), kwargs)
            namespace = database.attributes.get("db.namespace")
            name = f"CONNECT {namespace}" if namespace else "CONNECT"
            attributes: sql.Attributes = {**database.attributes, "db.operation.name": "CONNECT"}
            message = None if error is None else sql.message(error)
            waiting.tell(self._tracer, name, SpanKind.CLIENT, attributes, began, error, message)

        return finish


class Alias(Patch):
    """`psycopg.connect`, which holds the method as it was before it was patched."""

    __slots__ = ("_module", "_new", "_was")

    def __init__(self, module: Any) -> None:
        self._module = module
        self._was = self._new = module.connect

    def apply(self) -> None:
        """Have it hold the method as it is now."""
        self._module.connect = self._new = self._module.Connection.connect

    def undo(self) -> None:
        """Give it back what it held."""
        # Not `==`: a proxy that somebody has put around it is equal to it.
        if self._module.connect is self._new:
            self._module.connect = self._was

    def narrow(self, is_left: Any) -> None:
        """Do nothing: it observes nothing by itself."""


def _wanted(conninfo: Any, kwargs: dict[str, Any]) -> sql.Database:
    """Return the database that was to be reached, as far as the program named it."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    names = ("dbname", "host", "hostaddr", "port")
    try:
        given = conninfo_to_dict(str(conninfo), **{name: kwargs[name] for name in names if kwargs.get(name)})
    except psycopg.Error:
        return sql.database("postgresql")
    dbname, host, hostaddr, port = (str(given.get(name) or "") for name in names)
    if "@" in dbname:
        # postgresql://user:pass/word@host/database: a `/` in a password makes the rest of it a part of the database.
        return sql.database("postgresql")
    # Of several hosts, no one is the one that failed.
    address = None if "," in host + hostaddr else _address(host, hostaddr)
    return sql.database("postgresql", dbname or None, address, int(port) if port.isdecimal() else None)


def _address(host: str, hostaddr: str) -> str:
    # A password that holds an `@` makes the rest of it a part of the host; an abstract socket begins with one.
    return host.rpartition("@")[2] if "@" in host[1:] else host or hostaddr

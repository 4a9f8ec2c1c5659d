"""Which database an engine of SQLAlchemy talks to, and whether a transaction is open there.

One dialect belongs to one engine, and so to one database. The URL tells it; where the URL is silent (`creator=`,
libpq's defaults), PostgreSQL's drivers do, once there is a connection. What is asked of drivers is asked by name:
there are dozens, and none has to have any of it.
"""

from __future__ import annotations

import functools
from typing import Any

from otel_run.instrumentors import sql, sql_schema
from otel_run.instrumentors.notes import Notes

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


class Databases:
    """The databases of all engines, each found out once."""

    def __init__(self) -> None:
        self._found: Notes[sql.Database] = Notes()
        self._urls: Notes[Any] = Notes()

    def engine_made(self, dialect: Any, url: Any) -> None:
        """Keep the URL of an engine; one made before is asked for it with its first statement."""
        self._urls[dialect] = url

    def of(self, dialect: Any, context: Any = None) -> sql.Database:
        """Return the database of `dialect`; `context` is that of a statement, if there is one."""
        found = self._found.get(dialect)
        if found is not None:
            return found
        if context is None:
            return _database(dialect, self._urls.get(dialect), None)
        connection = context.root_connection
        return self.connected(dialect, connection.connection, connection.engine.url)

    def of_connection(self, dialect: Any, connection: Any) -> sql.Database:
        """Return the database of `dialect`, whose `connection` may be the first that is told of."""
        found = self._found.get(dialect)
        return self.connected(dialect, connection) if found is None else found

    def connected(self, dialect: Any, connection: Any, url: Any = None) -> sql.Database:
        """Return the database of `dialect`, that `connection` leads to; it is remembered if the URL is known."""
        if url is None:
            url = self._urls.get(dialect)
        found = _database(dialect, url, driver_connection(connection))
        if url is not None:
            self._found[dialect] = found
        return found


def _database(dialect: Any, url: Any, driver: Any) -> sql.Database:
    system = "mariadb" if getattr(dialect, "is_mariadb", False) else _SYSTEMS.get(dialect.name, dialect.name)
    if url is None and driver is None:
        return sql.database(system)
    name = getattr(url, "database", None)
    if system == "sqlite":
        # A URI may carry a key: file:x.db?key=...
        return sql.database(system, (name or ":memory:").partition("?")[0])
    info = getattr(driver, "info", None)
    # A password that holds an `@` makes the rest of it a part of the host, and a name with a `/` all of it of the
    # database: user:pass@word@host, name/more:password@host.
    address = (getattr(url, "host", None) or "").rpartition("@")[2] or getattr(info, "host", None)
    port = getattr(url, "port", None) or getattr(info, "port", None)
    name = None if "@" in (name or "") else name or getattr(info, "dbname", None)
    schema = _schema(driver) if name and system == "postgresql" else None
    return sql.database(system, f"{name}|{schema}" if schema else name, address, port)


def _schema(driver: Any) -> str | None:
    """Return the schema of a new connection, where PostgreSQL 18 reports it or `options` set it."""
    info: Any = getattr(driver, "info", None)  # psycopg, psycopg2
    if hasattr(info, "parameter_status"):
        path = info.parameter_status("search_path")
        return sql_schema.of_path(path) if path else sql_schema.of_options(info)
    if hasattr(driver, "get_settings"):  # asyncpg
        return sql_schema.of_path(getattr(driver.get_settings(), "search_path", None) or "")
    return None


def driver_connection(connection: Any) -> Any:
    """Return what the driver itself made, below the pool's wrapper and the wrapper for asyncio."""
    for name in ("driver_connection", "dbapi_connection"):
        found = getattr(connection, name, None)
        if found is not None:
            return found
    return connection


def is_silent(command: str, connection: Any) -> bool:
    """Tell whether no transaction is open, so that the driver will not bother the server with its end."""
    driver = driver_connection(connection)
    cls: type = type(driver)
    name, always = _transaction_flag(cls)
    if name:
        found = getattr(driver, name, True)
        return command not in always and not (found() if callable(found) else found)
    # psycopg, whose `info` is made anew for each look; psycopg2.
    found = getattr(driver, "pgconn", None) or getattr(driver, "info", None)
    return bool(getattr(found, "transaction_status", None) == 0)


@functools.lru_cache(maxsize=64)
def _transaction_flag(cls: type) -> tuple[str, str]:
    """Return the attribute that tells of a transaction, and the command that is sent whatever it says."""
    # Not by the attribute's presence alone: MySQL's drivers have the like, and send everything all the same.
    # By all classes: a program may have a connection class of its own.
    for library in (base.__module__.partition(".")[0] for base in cls.__mro__):
        if library in _TRANSACTION_FLAGS:
            return _TRANSACTION_FLAGS[library]
    return "", ""


_TRANSACTION_FLAGS = {
    "sqlite3": ("in_transaction", ""),
    "aiosqlite": ("in_transaction", ""),
    "asyncpg": ("is_in_transaction", ""),
    "pg8000": ("_in_transaction", "COMMIT"),
}

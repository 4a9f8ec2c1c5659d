"""What all SQL libraries share: a statement's attributes by the conventions, and what of an error may be told.

Source: OpenTelemetry semantic conventions, "Database client spans" (stable). Everything that a sampler may
want is there when the span starts. Messages of databases repeat the values that they complain about
(`invalid input syntax for type integer: "4111..."`), so only what is known to hold none is told.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from otel_run import settings
from otel_run.masking import sql as sql_text

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from otel_run.tracing.call import Call

    Attributes = dict[str, AttributeValue]

# Under this key the open Call of an ORM's statement is in the context, for what its driver sends in front of it.
STATEMENT = "otel_run.statement"

# Set while a pool connects, tries or waits: what SQL goes out meanwhile belongs to that, or to nobody. Not
# EVERYTHING, which would also hide the HTTP request of what fetches a password.
INSIDE_POOL = "otel_run.inside_pool"

# How the conventions before the stable ones called a system, where that was another name.
_OLD_SYSTEMS = {"microsoft.sql_server": "mssql", "oracle.db": "oracle", "aws.redshift": "redshift"}


class Database:
    """One database as its spans tell it; `database` makes it."""

    __slots__ = ("attributes", "system")

    def __init__(
        self, system: str, namespace: str | None = None, address: str | None = None, port: int | None = None
    ) -> None:
        self.system = system
        told: list[tuple[str, str | int | None]] = []
        told += [("db.system.name", system), ("db.namespace", namespace), ("server.address", address)]
        old: list[tuple[str, str | int | None]] = []
        old += [("db.system", _OLD_SYSTEMS.get(system, system)), ("db.name", namespace), ("net.peer.name", address)]
        # A path is a Unix domain socket, which has no port whatever the driver says.
        if port and address and address[0] not in "/@":
            told.append(("server.port", port))
            old.append(("net.peer.port", port))
        names = told + old if _wants_old_names() else told
        self.attributes: Attributes = {name: value for name, value in names if value}

    def describe(self, text: str, batch: int | None = None) -> tuple[str, Attributes]:
        """Return the span's name and attributes for `text`, run for `batch` sets of parameters; change neither."""
        if batch is None and len(text) <= sql_text.LONGEST_REMEMBERED:
            return _remembered(self, text)
        return self._describe(_as_told(sql_text.describe(text, self.system), text), batch)

    def _describe(self, statement: sql_text.Statement, batch: int | None = None) -> tuple[str, Attributes]:
        attributes = self._operation(statement.summary, statement.operation, batch)
        if statement.text:
            attributes["db.query.text"] = statement.text
        if statement.collection:
            attributes["db.collection.name"] = statement.collection
        if statement.text and _wants_old_names():
            attributes["db.statement"] = statement.text
        return str(attributes.get("db.query.summary") or self.system), attributes

    def describe_call(self, operation: str) -> tuple[str, Attributes]:
        """Return name and attributes for a driver's own `operation` (COMMIT) of unknown text; change neither."""
        return _remembered_call(self, operation)

    def _operation(self, summary: str, operation: str, batch: int | None) -> Attributes:
        attributes = dict(self.attributes)
        # One set of parameters is no batch, none at all is one.
        is_batch = batch is not None and batch != 1
        if is_batch:
            attributes["db.operation.batch.size"] = batch or 0
        prefix = "BATCH " if is_batch else ""
        if summary:
            attributes["db.query.summary"] = prefix + summary
        if operation:
            attributes["db.operation.name"] = prefix + operation
        return attributes


@functools.lru_cache(maxsize=256)
def database(
    system: str, namespace: str | None = None, address: str | None = None, port: int | None = None
) -> Database:
    """Return the one Database of these particulars, however many connections it has."""
    return Database(system, namespace, address, port)


@functools.lru_cache(maxsize=2048)
def _remembered(to: Database, text: str) -> tuple[str, Attributes]:
    # A repeated statement, which nearly all are, costs one look-up, sampled or not.
    return to._describe(_as_told(sql_text.read(text, to.system), text))


@functools.lru_cache(maxsize=64)
def _remembered_call(to: Database, operation: str) -> tuple[str, Attributes]:
    return operation, to._operation(operation, operation, None)


def _as_told(statement: sql_text.Statement, text: str) -> sql_text.Statement:
    """Return `statement` with its `text` as it was given, if the user wants nothing masked."""
    return statement if settings.current().masks() else statement._replace(text=text[: sql_text.LONGEST])


def end(call: Call, error: BaseException | None, at: int | None = None) -> None:
    """End `call`, now or `at` (ns since the epoch); it failed with the driver's `error` unless that is None."""
    if error is None or not call.span.is_recording():
        call.end(error, at=at)
        return
    error = error_of_driver(error)
    code = code_of(error)
    if code:
        call.span.set_attribute("db.response.status_code", code)
    told = getattr(call.span, "attributes", None) or {}
    call.end(error, message(error, str(told.get("db.query.text", ""))), at)


def _wants_old_names() -> bool:
    return "database/dup" in settings.current().semconv_opt_in


def error_of_driver(error: BaseException) -> BaseException:
    """Return the error that the driver raised: what SQLAlchemy's layer for asyncio makes of it says less."""
    return error.__cause__ if error.__cause__ is not None and _library(error) == "sqlalchemy" else error


def code_of(error: BaseException) -> str:
    """Return the database's own code: SQLSTATE, or the vendor's number."""
    # psycopg and asyncpg; psycopg2; sqlite3 since Python 3.11.
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, name, None)
        if isinstance(code, str):
            return code
    # MySQL's drivers give their number first, pyodbc the SQLSTATE, Oracle's an object.
    first = error.args[0] if error.args and _library(error) in _CODE_FIRST else ""
    return str(getattr(first, "full_code", first))


def _library(error: BaseException) -> str:
    return type(error).__module__.split(".")[0]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CODE_FIRST = _set("MySQLdb pymysql aiomysql asyncmy mariadb pyodbc aioodbc oracledb cx_Oracle")

# SQLSTATE classes whose messages name tables, columns, constraints, settings, but no value of a row.
_HARMLESS = _set("08 0A 21 23 25 26 28 2B 34 3D 3F 40 42 53 54 55 57 58")
# Data exceptions, and texts that could not be parsed: the quoted piece is the value.
_QUOTES_VALUE = _set("22000 42601 42602 42622")
# From the first quote to the last, for a value may hold quotes itself; and bytes. The server speaks many languages.
_QUOTE = "[\"'\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u2039\u203a\u300c\u300d]"
_VALUE = re.compile(f"{_QUOTE}.*{_QUOTE}|0x[0-9a-fA-F]+", re.DOTALL)
_PIECE = re.compile(f"{_QUOTE}(.*?){_QUOTE}", re.DOTALL)
_WITH_AT = re.compile(r"""["'][^"']*@[^"']*["']""")
# Errors without SQLSTATE in which libpq, the driver or its pool speaks: of connections, never of rows.
_OF_CONNECTIONS = _set(
    "OperationalError InterfaceError ConnectionTimeout CancellationTimeout PipelineAborted "
    "PoolClosed PoolTimeout TooManyRequests"
)
# The server's functions through which a procedure says what its author liked, under any SQLSTATE.
_RAISING = _set("exec_stmt_raise PLy_elog PLy_elog_impl")
# Those that complain of a prepared transaction's name, which is a literal of the statement.
_NAMING_TRANSACTIONS = _set("LockGXact MarkAsPreparing")


def message(error: BaseException, query: str | None = None) -> str | None:
    """Return the text of a driver's `error` that holds no value, or None; all of it if nothing is masked.

    `query` is the masked text of the statement that failed: the names that the server complains of are told if
    they are in it, for they may come from a literal (`nextval('...')`, `'...'::regclass`, `COPY FROM '...'`).
    """
    if not settings.current().masks():
        return str(error)
    if type(error).__module__ == "sqlite3":
        return _sqlite_message(error, query)
    # psycopg and psycopg2 keep the pieces of the server's answer in `diag`, asyncpg in the error itself.
    answer = getattr(error, "diag", error)
    text = getattr(answer, "message_primary", None) or getattr(answer, "message", None)
    if isinstance(text, str):
        raised_by = getattr(answer, "source_function", None) or getattr(answer, "server_source_function", None)
        return _postgresql_message(code_of(error), text, raised_by, query)
    if _library(error) in ("psycopg", "psycopg2", "psycopg_pool") and type(error).__name__ in _OF_CONNECTIONS:
        return _connection_message(str(error).partition("\n")[0])
    return None


def _connection_message(text: str) -> str | None:
    # `postgresql://user:pass/word@host` has "pass" for a port and what follows for a database, so libpq's
    # complaint repeats the password: `invalid integer value "pass" for connection option "port"`.
    if text.startswith("invalid "):
        return None
    # A password that holds an `@` makes the rest of it a part of the host.
    return _WITH_AT.sub("?", text)


def _postgresql_message(state: str, text: str, raised_by: str | None, query: str | None) -> str | None:
    if raised_by in _RAISING:
        return None
    if raised_by in _NAMING_TRANSACTIONS:
        return _VALUE.sub("?", text)
    if state in _QUOTES_VALUE or state.startswith("22"):
        # What follows a colon repeats the input.
        return _VALUE.sub("?", text.split(": ")[0])
    if state[:2] not in _HARMLESS:
        return None
    # Constraints are named by the schema, never by the statement that violates them.
    if query is None or state.startswith("23"):
        return text
    quoted = {word for piece in _PIECE.findall(text) for word in _words(piece)}
    return text if quoted <= _words(query) else _VALUE.sub("?", text)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _sqlite_message(error: BaseException, query: str | None) -> str | None:
    # A trigger's RAISE(ABORT, ...) tells what its author liked.
    if getattr(error, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_TRIGGER":
        return None
    text = str(error)
    known = ("UNIQUE ", "NOT NULL ", "FOREIGN KEY ", "CHECK ", "no such ", "near ", "database ", "table ", "disk ")
    if not text.startswith(known):
        return None
    what, colon, name = _VALUE.sub("?", text).partition(": ")
    # What is missing may be named by a string: FROM 'x'. And a CHECK without a name is told by its condition.
    is_named = name.isidentifier() if what.startswith("CHECK") else query is None or _words(name) <= _words(query)
    return what if what.startswith(("CHECK ", "no such ")) and not is_named else what + colon + name

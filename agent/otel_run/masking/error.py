"""What an exception's text may hold of secrets: the values that a database complains about, and URLs.

For spans of others, of which only the text is left. The message of a database's error is quoted values in
a sentence, SQLAlchemy appends the statement and its parameters, PostgreSQL the row; a stack trace ends with
all of that. Names of tables and constraints stay, as far as the words before them tell that they are names.
"""

from __future__ import annotations

import re

from otel_run.masking import redis, sql, url


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Modules of database drivers, and of what stands on them.
_DRIVERS = _words(
    "psycopg psycopg2 asyncpg pg8000 aiopg sqlalchemy sqlite3 aiosqlite MySQLdb pymysql mysql aiomysql asyncmy mariadb "
    "oracledb cx_Oracle pyodbc aioodbc pymssql ibm_db clickhouse_driver clickhouse_connect snowflake duckdb peewee "
    "tortoise pymongo django.db redis valkey"
)
_DRIVER = "(?:" + "|".join(name.replace(".", r"\.") for name in _DRIVERS) + ")"
_IS_DRIVER = re.compile(_DRIVER + r"\b")
# The last line of a stack trace, and of each exception that one was raised from.
_ERROR_LINE = re.compile(rf"^(?P<type>{_DRIVER}\.[\w.]+: )(?P<message>.*)$", re.MULTILINE)

_STATEMENT = re.compile(r"^\[SQL: (?P<text>.*?)\](?=\s*(?:^\[|^\(Background|\Z))", re.MULTILINE | re.DOTALL)
_REST_OF_LINE = re.compile(r"^(?P<label>\[parameters: |DETAIL: |LINE \d+: |CONTEXT: |QUERY: ).*$", re.MULTILINE)
# redis-py tells which command of a pipeline failed, with its arguments.
_COMMAND = re.compile(r"(?<=Command # )(?P<number>\d+ )\((?P<text>.*?)\)(?= of pipeline)", re.DOTALL)
_QUOTED = re.compile(r"(?P<before>\w+ |)(?:(?<!\w)'[^'\n]*(?:''[^'\n]*)*'?|\"[^\"\n]*\"?)")
_NAMED = _words(
    "at column columns constraint database extension field function host index operator parameter relation role "
    "schema sequence server table type user view"
)


def is_database_error(exception_type: str) -> bool:
    """Tell whether `exception_type`, a qualified name (`exception.type`), is that of a database's library."""
    return bool(_IS_DRIVER.match(exception_type))


def mask(text: str, of_database: bool = False) -> str:
    """Return `text`, a message or a stack trace, without values; `of_database` if a database's error wrote it."""
    masked = url.mask(text)
    if "[SQL: " in masked:
        masked = _STATEMENT.sub(lambda found: f"[SQL: {sql.mask(found['text'])}]", masked)
    if "Command # " in masked:
        masked = _COMMAND.sub(lambda found: f"{found['number']}({redis.mask(found['text'])})", masked)
    masked = _REST_OF_LINE.sub(lambda found: found["label"] + "?", masked)
    if of_database:
        first, newline, rest = masked.partition("\n")
        return _unquote(first) + newline + rest
    return _ERROR_LINE.sub(lambda found: found["type"] + _unquote(found["message"]), masked)


def _unquote(message: str) -> str:
    return _QUOTED.sub(_unless_a_name, message)


def _unless_a_name(found: re.Match[str]) -> str:
    return found[0] if found["before"].strip().lower() in _NAMED else found["before"] + "?"

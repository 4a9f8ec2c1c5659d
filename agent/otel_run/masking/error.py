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
# The last line of a stack trace, and of each exception that one was raised from, with all lines of the message.
# In the trace of an exception group each line has `|` before it.
_ERROR = re.compile(
    rf"^(?P<type>[ |]*{_DRIVER}\.[\w.]+: )(?P<message>.*(?:\n(?!\n(?:The above|During)).*)*)", re.MULTILINE
)

# What a limit for attributes has cut off is masked to the end; so whatever begins is found, in linear time.
_STATEMENT = re.compile(
    r"^(?P<before>[ |]*)\[SQL: (?P<text>.*?)(?P<end>\](?=[\s|]*(?:^[ |]*\[|^[ |]*\(Background|\Z))|\Z)",
    re.MULTILINE | re.DOTALL,
)
_REST_OF_LINE = re.compile(
    r"^(?P<label>[ |]*(?:\[parameters: |DETAIL: |LINE \d+: |CONTEXT: |QUERY: )).*$", re.MULTILINE
)
# redis-py tells which command of a pipeline failed, with its arguments.
_COMMAND = re.compile(r"(?<=Command # )(?P<number>\d+ )\((?P<text>.*?)(?P<end>\) of pipeline|\Z)", re.DOTALL)
# http.client takes the password of a URL for a port.
_NO_PORT = re.compile(r"(?<=port: '|e 10: ')[^'@\n]*(?=@)")

# Where what a message says ends and what is added to it begins.
_ADDED = re.compile(
    r"^[ |]*(?:\[SQL: |\[parameters: |DETAIL: |HINT: |LINE \d|CONTEXT: |QUERY: |\(Background)", re.MULTILINE
)
# A procedure of the user's on the server wrote the message, with any values in it.
_RAISED = re.compile(r"\bRaise(?:Exception|Error)(?:: |\) |$)")
_HINT = re.compile(r"^(?P<label>[ |]*HINT: ).*$", re.MULTILINE)
# Values with quotes of their own in them, and values without any: (what is before, what is behind).
_SURROUNDED = (
    (': "', '"'),
    ("entry '", "' for key"),
    ("value: '", "' for "),
    ("value '", "' for "),
    ("key value is (", ")"),
    ("dup key: {", "}"),
)
# A longer word is no word of a sentence; without a limit the search would go through it again and again.
_QUOTED = re.compile(r"(?P<before>\w{1,20} |)(?P<quoted>(?<!\w)'[^'\n]*(?:''[^'\n]*)*'?|\"[^\"\n]*\"?)")
_NAMED = _words(
    "at column columns constraint database extension field function host index operator parameter relation role "
    "schema sequence server table type user view"
)


def is_database_error(exception_type: str) -> bool:
    """Tell whether `exception_type`, a qualified name (`exception.type`), is that of a database's library."""
    return bool(_IS_DRIVER.match(exception_type))


def mask(text: str, of_database: bool = False, system: str = "other_sql", exception_type: str = "") -> str:
    """Return `text`, a message or a stack trace, without values; `of_database` if a database's error wrote it.

    `system` is the dialect of a statement in it, `exception_type` what raised it, if that is known.
    """
    masked = url.mask(text)
    if "@" in masked:
        masked = _NO_PORT.sub("REDACTED", masked)
    if "[SQL: " in masked:
        masked = _STATEMENT.sub(
            lambda found: f"{found['before']}[SQL: {sql.mask(found['text'], system)}{found['end']}", masked
        )
    if "Command # " in masked:
        masked = _COMMAND.sub(lambda found: f"{found['number']}({redis.mask(found['text'])}{found['end']}", masked)
    masked = _REST_OF_LINE.sub(lambda found: found["label"] + "?", masked)
    if of_database:
        masked = _mask_message(exception_type, masked)
    else:
        masked = _ERROR.sub(lambda found: found["type"] + _mask_message(found["type"], found["message"]), masked)
    # A `?` that stands for a value now may look like that of a URL, here or when it is masked again.
    return url.mask(masked)


def _mask_message(exception_type: str, text: str) -> str:
    raised = _RAISED.search(text.partition("\n")[0])
    if _RAISED.search(exception_type):
        return "?"
    if raised:
        return text[: raised.end()] + "?" + _HINT.sub(r"\g<label>?", _added(text, raised.end()))
    first, newline, rest = text.partition("\n")
    for before, behind in _SURROUNDED:
        start, end = first.find(before), first.rfind(behind)
        if start >= 0 and start + len(before) <= end:
            first = first[: start + len(before) - 1] + "?" + first[end + 1 :]
    is_open = False

    def unless_a_name(found: re.Match[str]) -> str:
        nonlocal is_open
        quoted = found["quoted"]
        is_open = len(quoted) == 1 or quoted[-1] != quoted[0]
        is_name = not is_open and found["before"].strip().lower() in _NAMED
        return found[0] if is_name else found["before"] + "?"

    first = _QUOTED.sub(unless_a_name, first)
    # A value of several lines ends nobody knows where.
    return first + (_added(text, len(text) - len(rest)) if is_open else newline + rest)


def _added(text: str, start: int) -> str:
    """Return what a library or the server has added to its message, from the line where it begins."""
    found = _ADDED.search(text, start)
    return "\n" + text[found.start() :] if found else ""

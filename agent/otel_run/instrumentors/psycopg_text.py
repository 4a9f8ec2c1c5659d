"""The text of whatever psycopg takes as a query, read without adapting the values in it.

Adapting would run the program's own dumpers, and the values are masked anyway: each becomes `?` at once.
"""

from __future__ import annotations

from typing import Any


def text_of(query: Any, connection: Any) -> str:
    """Return the text of `query`: str, bytes, an object of psycopg.sql or a t-string."""
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

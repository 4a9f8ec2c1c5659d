"""A span in a few words: this file is about what stands on its line, and in the summary below all lines.

What a reader looks for comes first: the method and the URL, the query, the key. Credentials and the query of a URL
are never shown, whoever made the span: a terminal is also a log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_run.view import conventions
from otel_run.view.cache_labels import command, short_command
from otel_run.view.span import CLIENT, SERVER
from otel_run.view.url_labels import address_of, path_of, short_name, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.view.span import Span
    from otel_run.view.tree import Node

# No line is longer, wherever it is shown; the whole text is among the attributes.
_LONGEST = 10_000
_LONGEST_SHORT, _LONGEST_FAILURE = 40, 60


def label(span: Span) -> str:
    """Return what stands on the span's line: one line, and never empty."""
    make = _LABELS.get(conventions.category(span))
    return one_line((make(span) if make is not None else "") or span.name) or "(no name)"


def short(span: Span) -> str:
    """Return two words or three, alike for spans that do alike."""
    make = _SHORT.get(conventions.category(span))
    found = one_line((make(span) if make is not None else "") or label(span))
    return found if len(found) <= _LONGEST_SHORT else found[: _LONGEST_SHORT - 1] + "…"


def failure(node: Node) -> str:
    """Return how it failed: `502`, `TimeoutError`, else "error"; empty if it did not."""
    span = node.span
    if not conventions.is_failed(span):
        return ""
    status = conventions.status_code(span) or 0
    if status >= 400:
        return str(status)[:_LONGEST_FAILURE]
    name = one_line(conventions.error_type(span)).rpartition(".")[2]
    if name and name != "_OTHER":
        return name[:_LONGEST_FAILURE]
    code = conventions.number(span, "rpc.grpc.status_code")
    if code is not None and 0 < code < len(_GRPC_CODES):
        return _GRPC_CODES[code]
    code = conventions.number(span, "process.exit.code")
    return f"exit {code}" if code else "error"


def one_line(text: str) -> str:
    """Return `text` with each stretch of white space as one blank, and no longer than a line may be."""
    return " ".join(text[:_LONGEST].split())


def _http(span: Span) -> str:
    method = conventions.method(span)
    if span.kind == SERVER:
        where = conventions.route(span) or conventions.path(span) or path_of(conventions.url(span))
    elif span.kind == CLIENT or conventions.url(span):
        where = without_secrets(conventions.url(span)) or conventions.host(span)
    else:
        return ""
    return f"{method} {where}" if where else ""


def _sql(span: Span) -> str:
    statement = conventions.statement(span)
    size = conventions.batch_size(span)
    return f"BATCH {size} {statement}" if statement and size is not None else statement


def _message(span: Span) -> str:
    operation, destination = conventions.messaging_operation(span), conventions.destination(span)
    return f"{operation} {destination}" if operation and destination else ""


def _function(span: Span) -> str:
    # What a user has named himself stays; only a full path is more than a line needs.
    if span.name != conventions.function(span):
        return ""
    *_, owner, name = ["", *span.name.split(".")]
    return f"{owner}.{name}" if owner[:1].isupper() else name


def _short_http(span: Span) -> str:
    if span.kind == SERVER:
        return ""
    url = conventions.url(span)
    address = address_of(url)
    name = short_name(conventions.host(span) or address)
    if not name:
        # Everything is at one place: only the path tells one service from the other.
        words = [word for word in path_of(url).split("/") if word and not _DIGIT.search(word)]
        name = words[-1] if words else address
    return f"{conventions.method(span)} {name}" if name else ""


def _short_sql(span: Span) -> str:
    told = conventions.summary(span)
    if told:
        return told
    statement = conventions.statement(span)[:_LONGEST]
    verb = conventions.operation(span) or statement.lstrip("( \t\r\n").partition(" ")[0].upper()
    table = conventions.collection(span)
    if not table:
        found = _TABLE.search(statement)
        table = found[1] if found else ""
    return f"{verb} {table}" if statement or table else ""


_DIGIT = re.compile(r"\d")
_TABLE = re.compile(r"""\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?["`\[]?([\w.$]+)""", re.IGNORECASE)

# category -> what makes a label; the span's name where there is none, or where it returns nothing.
_LABELS: dict[str, Callable[[Span], str]] = {
    "http": _http,
    "database": _sql,
    "cache": command,
    "messaging": _message,
    "rpc": conventions.called,
    "code": _function,
}
_SHORT: dict[str, Callable[[Span], str]] = {"http": _short_http, "database": _short_sql, "cache": short_command}

# Source: gRPC, "Status codes and their use".
_GRPC_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

"""What the attributes of a span tell, whichever names it tells it by: this file is about the conventions, old and new.

Each fact has its stable name first, then the names that it had before, which many instrumentors still give. Anybody
may have sent the span: a value of an unexpected type counts as none, and nothing here raises. Source: OpenTelemetry
semantic conventions (HTTP, database, messaging, RPC, code), and those of 1.12 to 1.25 for the old names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.view.span import CONSUMER, ERROR, PRODUCER, SERVER

if TYPE_CHECKING:
    from otel_run.view.span import Span

# What is said of a span that has the attribute: the first one counts. A database, broker or service that is reached
# over HTTP has the attributes of HTTP too, and a request that names the function which handles it is a request.
_MARKS = (
    ("db.system.name", "database"),
    ("db.system", "database"),
    ("messaging.system", "messaging"),
    ("rpc.system.name", "rpc"),
    ("rpc.system", "rpc"),
    ("http.request.method", "http"),
    ("http.method", "http"),
    ("messaging.destination.name", "messaging"),
    ("messaging.destination", "messaging"),
    ("code.function.name", "code"),
    ("code.function", "code"),
    ("process.executable.name", "process"),
    ("process.pid", "process"),
)

# Stores that are asked by key, and of which an answer is expected at once.
CACHES = frozenset({"redis", "valkey", "memcached", "dragonfly", "keydb", "aerospike", "hazelcast"})


def category(span: Span) -> str:
    """Return "http", "database", "cache", "messaging", "rpc", "code" or "process"; empty if it is none of these."""
    attributes = span.attributes
    if attributes:
        for name, found in _MARKS:
            if name in attributes:
                return "cache" if found == "database" and system(span) in CACHES else found
    return ""


def text(span: Span, *names: str) -> str:
    """Return the first of these attributes that is a text and not empty; else the empty text."""
    attributes = span.attributes
    for name in names:
        if name in attributes:
            value = attributes[name]
            if value and isinstance(value, str):
                return value
    return ""


def number(span: Span, *names: str) -> int | None:
    """Return the first of these attributes that is an integer, or a text of up to nine digits."""
    attributes = span.attributes
    for name in names:
        value = attributes.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and len(value) <= 9 and value.isascii() and value.isdigit():
            return int(value)
    return None


# HTTP


def method(span: Span) -> str:
    """Return the method of an HTTP request; of an unusual one the method as it was sent."""
    known = text(span, "http.request.method", "http.method")
    return (text(span, "http.request.method_original") or "HTTP") if known == "_OTHER" else known


def url(span: Span) -> str:
    """Return the whole URL as it is told, credentials and query included if nobody masked them."""
    return text(span, "url.full", "http.url")


def route(span: Span) -> str:
    """Return the route that a server found for a request."""
    return text(span, "http.route")


def path(span: Span) -> str:
    """Return the path that a server was asked for, without the query."""
    return text(span, "url.path") or text(span, "http.target").partition("?")[0]


def host(span: Span) -> str:
    """Return the server that is or was asked, without its port."""
    return text(span, "server.address", "net.peer.name", "http.host", "net.host.name", "network.peer.address")


def status_code(span: Span) -> int | None:
    """Return the status code of the response."""
    return number(span, "http.response.status_code", "http.status_code")


def resend_count(span: Span) -> int:
    """Return how many times the request had been sent before."""
    return number(span, "http.request.resend_count", "http.resend_count") or 0


# Databases and caches


def system(span: Span) -> str:
    """Return the database's or cache's kind: `postgresql`, `redis`."""
    return text(span, "db.system.name", "db.system").lower()


def statement(span: Span) -> str:
    """Return the text of a query or command, as it is told."""
    return text(span, "db.query.text", "db.statement")


def summary(span: Span) -> str:
    """Return what a query does and to which tables: `SELECT orders`."""
    return text(span, "db.query.summary")


def operation(span: Span) -> str:
    """Return the operation's name: `SELECT`, `GET`, `PIPELINE`."""
    return text(span, "db.operation.name", "db.operation")


def collection(span: Span) -> str:
    """Return the table or collection that is asked."""
    return text(span, "db.collection.name", "db.sql.table", "db.mongodb.collection", "db.cassandra.table")


def batch_size(span: Span) -> int | None:
    """Return how many commands went out as one."""
    return number(span, "db.operation.batch.size", "db.redis.pipeline_length")


def returned_rows(span: Span) -> int | None:
    """Return how many rows or values came back: of a cache, 0 is a miss."""
    return number(span, "db.response.returned_rows")


def is_connecting(span: Span) -> bool:
    """Tell whether it is the time that it took to get a connection, which asks for nothing by itself."""
    return span.name.startswith(("WAIT FOR POOL", "CONNECT")) and category(span) in ("database", "cache")


# Messages and calls


def destination(span: Span) -> str:
    """Return the topic or queue."""
    return text(
        span,
        "messaging.destination.template",
        "messaging.destination.name",
        "messaging.destination",
        "messaging.url",
    )


def messaging_operation(span: Span) -> str:
    """Return what is done with messages, as the old names and the new have it: `publish`, `receive`, `process`."""
    told = text(span, "messaging.operation.type", "messaging.operation", "messaging.operation.name")
    return _OPERATIONS.get(told, told) or _OPERATION_OF_KIND.get(span.kind, "")


_OPERATIONS = {"send": "publish", "create": "publish", "deliver": "process"}
_OPERATION_OF_KIND = {PRODUCER: "publish", CONSUMER: "process"}


def called(span: Span) -> str:
    """Return `service/method` of a remote call, as far as it is told."""
    service, name = text(span, "rpc.service"), text(span, "rpc.method")
    # Since 1.39 of the conventions the method holds the service.
    return name if not service or name.startswith(service + "/") else f"{service}/{name}" if name else service


# Functions and failures


def function(span: Span) -> str:
    """Return a function's name, with its module if it is told so."""
    return text(span, "code.function.name", "code.function")


def is_failed(span: Span) -> bool:
    """Tell whether it failed: it says so itself, or it is a server that answered with 5xx."""
    # Some instrumentors of servers leave the status as it is.
    return span.status == ERROR or (span.kind == SERVER and 500 <= (status_code(span) or 0) <= 599)


def error_type(span: Span) -> str:
    """Return how it failed: a class with its module, a status code, or whatever its instrumentor calls it."""
    told = text(span, "error.type")
    if told:
        return told
    for event in reversed(span.events):
        if event.name == "exception":
            value = event.attributes.get("exception.type")
            if value and isinstance(value, str):
                return value
    return ""

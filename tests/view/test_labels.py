"""What stands on a span's line, by what its attributes tell: in the conventions' names of today and of before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_run.view import conventions
from otel_run.view.labels import failure, label, short
from otel_run.view.span import CLIENT, CONSUMER, ERROR, INTERNAL, PRODUCER, SERVER, Event, Span
from otel_run.view.tree import Node

if TYPE_CHECKING:
    from otel_run.command.demo.servers import Server
    from servers.program import Traced
    from servers.web import Web

TIMES = "\N{MULTIPLICATION SIGN}"


def span(name: str = "the name", kind: int = CLIENT, **fields: Any) -> Span:
    """Return a span of no time."""
    return Span("t", "1", "", name, 0, 0, kind, **fields)


def told(attributes: dict[str, Any], kind: int = CLIENT, name: str = "the name") -> tuple[str, str, str]:
    """Return the category, the label and the short label of a span with these attributes."""
    found = span(name, kind, attributes=attributes)
    return conventions.category(found), label(found), short(found)


URLS = {
    "http://reference-data/v1/instruments/AAPL": ("http://reference-data/v1/instruments/AAPL", "reference-data"),
    "https://user:secret@api.example.com:8443/a?token=secret#x": ("https://api.example.com:8443/a?…", "api"),
    "http://a:secret/word@host/p": ("http://host/p", "host"),
    "http://a:secret?word@host/p?q": ("http://host/p?…", "host"),
    "http://secret@secret@host/": ("http://host/", "host"),
    "//user:secret@host/p": ("//host/p", "host"),
    "user:secret@host/p": ("host/p", "host"),
    "http://localhost:8000/v1/items/17?": ("http://localhost:8000/v1/items/17", "items"),
    "http://127.0.0.1:8000/": ("http://127.0.0.1:8000/", "127.0.0.1:8000"),
    "http://[::1]:8000/v1/health": ("http://[::1]:8000/v1/health", "health"),
    "http://[": ("http://[", "["),
    "http://host?secret": ("http://host?…", "host"),
    "http://host/mail/a@b.org": ("http://host/mail/a@b.org", "host"),
    "http://host/a\n  b": ("http://host/a b", "host"),
}


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("names", [("http.request.method", "url.full"), ("http.method", "http.url")])
def test_a_request_that_goes_out_is_its_method_and_url_without_what_is_secret(url: str, names: tuple[str, str]) -> None:
    where, to = URLS[url]
    assert told({names[0]: "POST", names[1]: url}) == ("http", f"POST {where}", f"POST {to}")
    # The conventions have no kind but CLIENT for it; some instrumentors give none.
    assert told({names[0]: "POST", names[1]: url}, 0)[1] == f"POST {where}"


HTTP = [
    (CLIENT, {"http.request.method": "GET", "server.address": "prices.internal"}, "GET prices.internal", "GET prices"),
    (CLIENT, {"http.method": "GET", "net.peer.name": "prices", "http.target": "/x?y"}, "GET prices", "GET prices"),
    (CLIENT, {"http.request.method": "_OTHER", "http.request.method_original": "BREW", "url.full": "http://h/"},
     "BREW http://h/", "BREW h"),
    (CLIENT, {"http.request.method": "_OTHER", "url.full": "http://h/"}, "HTTP http://h/", "HTTP h"),
    (CLIENT, {"http.request.method": "GET"}, "the name", "the name"),
    (SERVER, {"http.request.method": "GET", "http.route": "/orders/{id}", "url.path": "/orders/7"},
     "GET /orders/{id}", "GET /orders/{id}"),
    (SERVER, {"http.request.method": "GET", "url.path": "/a/7", "url.query": "a=b"}, "GET /a/7", "GET /a/7"),
    (SERVER, {"http.method": "GET", "http.target": "/orders/7?token=secret"}, "GET /orders/7", "GET /orders/7"),
    (SERVER, {"http.method": "GET", "http.url": "http://u:p@h/orders?x"}, "GET /orders", "GET /orders"),
    (SERVER, {"http.method": "GET", "http.url": "http://h?x"}, "GET /", "GET /"),
    (SERVER, {"http.method": "GET"}, "the name", "the name"),
    # `http send` and `http receive`, which ASGI's instrumentors make for each message.
    (INTERNAL, {"http.request.method": "GET"}, "the name", "the name"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "attributes", "line", "few"), HTTP)
def test_requests(kind: int, attributes: dict[str, Any], line: str, few: str) -> None:
    assert told(attributes, kind) == ("http", line, few)


SQL = [
    ({"db.query.text": "SELECT *\n  FROM \t orders\r\n WHERE id = ?", "db.query.summary": "SELECT orders"},
     "SELECT * FROM orders WHERE id = ?", "SELECT orders"),
    ({"db.query.text": "COMMIT", "db.query.summary": "COMMIT"}, "COMMIT", "COMMIT"),
    ({"db.query.text": "INSERT INTO t VALUES (?)", "db.query.summary": "BATCH INSERT t", "db.operation.batch.size": 3},
     "BATCH 3 INSERT INTO t VALUES (?)", "BATCH INSERT t"),
    ({"db.statement": 'select x from "Orders" where id = 1', "db.name": "shop"},
     'select x from "Orders" where id = 1', "SELECT Orders"),
    ({"db.statement": "INSERT INTO shop.orders (id) VALUES (1)", "db.operation": "INSERT"},
     "INSERT INTO shop.orders (id) VALUES (1)", "INSERT shop.orders"),
    ({"db.operation": "find", "db.mongodb.collection": "orders"}, "the name", "find orders"),
    ({"db.operation.name": "CONNECT"}, "the name", "the name"),
    ({"db.client.connection.pool.name": "main"}, "the name", "the name"),
]  # fmt: skip


@pytest.mark.parametrize("system", [{"db.system.name": "postgresql"}, {"db.system": "PostgreSQL"}])
@pytest.mark.parametrize(("attributes", "line", "few"), SQL)
def test_queries(system: dict[str, str], attributes: dict[str, Any], line: str, few: str) -> None:
    assert told({**attributes, **system}) == ("database", line, few)


CACHE = {
    "GET cache:instrument:AAPL": ("GET cache:instrument:AAPL", "GET cache"),
    "SET key ?": ("SET key", "SET redis"),
    "set user:1 ? EX ?": ("SET user:1 EX", "SET user"),
    "HGET user:1 name": ("HGET user:1 name", "HGET user"),
    "MGET a b": ("MGET a b", "MGET redis"),
    "MGET a b c": ("MGET a … 3 keys", "MGET redis"),
    "ZADD board 1 2 3": ("ZADD board", "ZADD redis"),
    'GET "a key; of words"': ('GET "a key; of words"', "GET redis"),
    'GET "never closed': ('GET "never closed', "GET redis"),
    "GET 7f3a:x": ("GET 7f3a:x", "GET redis"),
    "PING": ("PING", "PING redis"),
    "GET ?": ("GET", "GET redis"),
    "": ("the name", "the name"),
}


@pytest.mark.parametrize("text", CACHE)
@pytest.mark.parametrize("names", [("db.system.name", "db.query.text"), ("db.system", "db.statement")])
def test_commands_to_a_cache_are_told_with_their_key(text: str, names: tuple[str, str]) -> None:
    assert told({names[0]: "redis", names[1]: text}) == ("cache", *CACHE[text])


PIPELINES = [
    ("PIPELINE", 3, "GET a; GET b; SET c ?", f"PIPELINE 3 (GET{TIMES}2 SET{TIMES}1)"),
    ("PIPELINE GET", 12, "GET a", f"PIPELINE 12 (GET{TIMES}12)"),
    ("MULTI", 12, "GET a; SET b ?", "MULTI 12 (GET SET)"),
    ("MULTI", 99, "GET a; SET b ?; ...", "MULTI 99 (GET SET …)"),
    ("PIPELINE", 2, "", "PIPELINE 2"),
    ("PIPELINE", 2, 'GET "a; b"; GET c', f"PIPELINE 2 (GET{TIMES}2)"),
    ("", 2, "SET a ?\nGET b", f"PIPELINE 2 (SET{TIMES}1 GET{TIMES}1)"),
]


@pytest.mark.parametrize(("operation", "size", "text", "line"), PIPELINES)
def test_a_pipeline_tells_how_many_commands_of_what(operation: str, size: int, text: str, line: str) -> None:
    names = {"db.system.name": "valkey", "db.operation.name": operation, "db.query.text": text}
    expected = ("cache", line, line.split()[0])
    assert told({**names, "db.operation.batch.size": size}) == expected
    assert told({**names, "db.redis.pipeline_length": size}) == expected


OTHERS = [
    (PRODUCER, {"messaging.system": "kafka", "messaging.destination.name": "orders"}, "messaging", "publish orders"),
    (CONSUMER, {"messaging.destination": "orders", "messaging.operation": "receive"}, "messaging", "receive orders"),
    (CONSUMER, {"messaging.system": "sqs", "messaging.destination.name": "q", "messaging.operation.type": "deliver"},
     "messaging", "process q"),
    (PRODUCER, {"messaging.system": "sqs", "http.method": "POST"}, "messaging", "the name"),
    (CLIENT, {"rpc.system": "grpc", "rpc.service": "shop.Orders", "rpc.method": "Get"}, "rpc", "shop.Orders/Get"),
    (CLIENT, {"rpc.system.name": "grpc", "rpc.method": "shop.Orders/Get"}, "rpc", "shop.Orders/Get"),
    (CLIENT, {"rpc.system": "aws-api", "rpc.service": "S3", "http.status_code": 200}, "rpc", "S3"),
    (INTERNAL, {"code.function.name": "shop.orders.Order.save"}, "code", "the name"),
    (INTERNAL, {"process.pid": 7, "process.executable.name": "python"}, "process", "the name"),
    (INTERNAL, {"http.response.status_code": 200}, "", "the name"),
    (INTERNAL, {}, "", "the name"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "attributes", "category", "line"), OTHERS)
def test_the_rest(kind: int, attributes: dict[str, Any], category: str, line: str) -> None:
    assert told(attributes, kind) == (category, line, line)


def test_a_function_that_is_named_with_its_module_is_told_without() -> None:
    for path, line in (("shop.orders.Order.save", "Order.save"), ("shop.orders.save", "save"), ("save", "save")):
        assert told({"code.function.name": path}, INTERNAL, path)[1] == line


def test_a_span_without_a_name_is_told_so() -> None:
    assert told({}, name="")[1:] == ("(no name)", "(no name)")
    assert told({}, name=" \n ")[1:] == ("(no name)", "(no name)")


FAILURES = [
    ({}, {"status": ERROR}, "error"),
    ({}, {}, ""),
    ({"http.response.status_code": 502}, {"status": ERROR}, "502"),
    ({"http.status_code": "503"}, {"status": ERROR}, "503"),
    ({"http.response.status_code": 200, "error.type": "http.client.CutShort"}, {"status": ERROR}, "CutShort"),
    ({"http.response.status_code": 500}, {"kind": SERVER}, "500"),
    ({"http.response.status_code": 404}, {"kind": SERVER}, ""),
    ({"http.response.status_code": 404}, {"kind": CLIENT}, ""),
    ({"error.type": "builtins.TimeoutError"}, {"status": ERROR}, "TimeoutError"),
    ({"error.type": "TimeoutError"}, {}, ""),
    ({"error.type": "app.f.<locals>.Boom"}, {"status": ERROR}, "Boom"),
    ({"error.type": "_OTHER"}, {"status": ERROR}, "error"),
    ({}, {"status": ERROR, "events": [Event("exception", 0, {"exception.type": "psycopg.errors.Twice"})]}, "Twice"),
    ({}, {"events": [Event("exception", 0, {"exception.type": "ValueError"})]}, ""),
    ({"rpc.grpc.status_code": 14}, {"status": ERROR}, "UNAVAILABLE"),
    ({"rpc.grpc.status_code": 99}, {"status": ERROR}, "error"),
    ({"process.exit.code": 3}, {"status": ERROR}, "exit 3"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "fields", "words"), FAILURES)
def test_how_it_failed_is_told_in_a_few_words(attributes: dict[str, Any], fields: dict[str, Any], words: str) -> None:
    found = span(attributes=attributes, **fields)
    assert failure(Node(found)) == words
    assert conventions.is_failed(found) == bool(words)


def _names() -> list[str]:
    tables = [*HTTP, *OTHERS]
    known = {name for _, attributes, *_ in tables for name in attributes}
    known |= {name for attributes, *_ in (*SQL, *FAILURES) for name in attributes}
    return sorted(known | {"db.system.name", "db.system", "db.redis.pipeline_length", "messaging.operation.name"})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from(list(URLS)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(_names()), _VALUES, max_size=8),
    st.text(),
    st.integers(0, 5),
    st.integers(0, 2),
    st.lists(st.dictionaries(st.just("exception.type"), _VALUES), max_size=2),
)
def test_whatever_the_attributes_are_there_is_one_line(
    attributes: dict[str, Any], name: str, kind: int, status: int, events: list[dict[str, Any]]
) -> None:
    raised = [Event("exception", 0, event) for event in events]
    found = span(name, kind, attributes=attributes, status=status, events=raised)
    assert label(found)
    assert len(label(found).splitlines()) == 1
    assert 0 < len(short(found)) <= 40
    assert bool(failure(Node(found))) == conventions.is_failed(found)
    assert len(failure(Node(found))) <= 60


@pytest.mark.parametrize(
    "text", ["a" * 10**6, '"' * 10**6, '"\\' * 10**6, "; " * 10**6, "@:/" * 10**6, "FROM " * 10**6]
)
def test_a_text_of_a_million_characters_is_a_line_that_can_be_read(text: str) -> None:
    for system, kind in (("redis", CLIENT), ("postgresql", CLIENT), ("", CLIENT), ("", SERVER)):
        attributes = dict.fromkeys(("db.query.text", "url.full", "url.path", "server.address", "error.type"), text)
        attributes |= {"db.system.name": system} if system else {"http.request.method": "GET"}
        found = span(text, kind, attributes=attributes, status=ERROR)
        assert len(label(found)) <= 10_000
        assert len(short(found)) <= 40
        assert len(failure(Node(found))) <= 60


PROGRAM = """
import sys
import httpx, psycopg, redis, requests

web, dsn, cache = sys.argv[1:]
requests.get(web.replace("://", "://user:secret@") + "/echo?token=secret")
httpx.post(web + "/status/503")
with psycopg.connect(dsn) as connection:
    connection.execute("SELECT 'literal',\\n   42")
client = redis.Redis.from_url(cache)
client.get("cache:instrument:AAPL")
client.mget("a", "b", "c")
pipe = client.pipeline()
for number in range(2):
    pipe.get(f"key{number}")
pipe.set("key", "secret")
pipe.execute()
"""


def test_the_spans_of_a_real_program(postgres: Server, valkey: Server, web: Web, traced: Traced) -> None:
    run = traced(PROGRAM, web.url, postgres.url, valkey.url)
    assert (run.returncode, run.stderr) == (0, ""), run
    spans = [
        span(it.name, CLIENT, attributes=it.attributes, status=ERROR if it.status == "ERROR" else 0) for it in run.spans
    ]
    lines = [(label(it), short(it), failure(Node(it))) for it in spans if not conventions.is_connecting(it)]
    assert lines == [
        (f"GET {web.url}/echo?…", "GET echo", ""),
        (f"POST {web.url}/status/503", "POST status", "503"),
        ("BEGIN", "BEGIN", ""),
        ("SELECT ?, ?", "SELECT", ""),
        ("COMMIT", "COMMIT", ""),
        ("GET cache:instrument:AAPL", "GET cache", ""),
        ("MGET a … 3 keys", "MGET redis", ""),
        (f"MULTI 3 (GET{TIMES}2 SET{TIMES}1)", "MULTI", ""),
    ]

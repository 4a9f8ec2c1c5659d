"""What is told of a request's URL: the path as it came, the query without its secrets."""

from __future__ import annotations

import pytest

from libraries.arrivals import asgi, describe, expected, wsgi
from otel_run.instrumentors.http_arrival import legal, path_of


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a%2Fb/%C3%A9?x=/y", "/a%2Fb/%C3%A9"),
        ("//a//b", "//a//b"),
        ("/caf\xc3\xa9/\xe9", "/caf%C3%A9/%E9"),
        ("*", "*"),
        ("http://h.example:80/a/b?x", "/a/b"),
        ("http://me:secret@h.example/a", "/a"),
        ("http://h.example", "/"),
        ("http://h.example?x=/y", "/"),
        ("HTTP://h.example/a", "/a"),
        ("/http://h.example/a", "/http://h.example/a"),
    ],
)
def test_the_path_is_the_one_that_came(target: str, path: str) -> None:
    assert path_of(target) == path
    decoded = describe(asgi(path="/else", raw_path=target.encode("latin-1")))
    assert decoded["url.path"] == path
    for name in ("RAW_URI", "REQUEST_URI"):
        assert describe(wsgi(PATH_INFO="/else", **{name: target}))["url.path"] == path


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("/a b", "/a%20b"),
        ("/100%", "/100%25"),
        ("/caf\xc3\xa9", "/caf%C3%A9"),
        ("/a;b=c,d@e:f!", "/a;b=c,d@e:f!"),
        ("*", "*"),
    ],
)
def test_a_path_that_the_server_has_decoded_is_encoded_again(path: str, quoted: str) -> None:
    assert describe(wsgi(SCRIPT_NAME="/app", PATH_INFO=path))["url.path"] == "/app" + quoted
    text = path.encode("latin-1").decode("utf-8")
    assert describe(asgi(path=text, raw_path=None))["url.path"] == quoted


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", None),
        ("a=b&c", "a=b&c"),
        ("a=%C3%A9+b", "a=%C3%A9+b"),
        ("a=\xc3\xa9", "a=%C3%A9"),
        ("token=x&b=1", "token=REDACTED&b=1"),
        ("password=\xe9", "password=REDACTED"),
        ("?", "?"),
        ("next=http%3A%2F%2Fme%3Asecret%40h", "next=REDACTED"),
    ],
)
@pytest.mark.parametrize("gateway", ["wsgi", "asgi"])
def test_the_query_is_masked_and_left_out_where_there_is_none(query: str, told: str | None, gateway: str) -> None:
    arrival = wsgi(QUERY_STRING=query) if gateway == "wsgi" else asgi(query_string=query.encode("latin-1"))
    assert describe(arrival) == expected(url_query=told)
    assert describe(arrival, OTEL_RUN_REDACT="off").get("url.query", "") == legal(query)


def test_a_port_that_python_refuses_to_read_is_none() -> None:
    told = describe(wsgi(HTTP_HOST=None, SERVER_PORT="9" * 5000, REMOTE_PORT="9" * 5000))
    assert {name: told.get(name) for name in ("server.address", "server.port", "network.peer.port")} == {
        "server.address": "10.0.0.9",
        "server.port": None,
        "network.peer.port": None,
    }

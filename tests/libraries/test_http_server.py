"""What is told of a request when it arrives: attributes, as the conventions say, whatever anybody sends.

They are made here of environments of WSGI and scopes of ASGI as servers make them. Servers themselves are asked in
tests/gateways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libraries.arrivals import DESCRIBED, asgi, describe, expected, wsgi
from otel_run.instrumentors.asgi_arrival import AsgiArrival
from otel_run.instrumentors.wsgi import WsgiArrival

if TYPE_CHECKING:
    from otel_run.instrumentors.http_arrival import Arrival


@pytest.mark.parametrize("arrival", [wsgi, asgi])
def test_a_plain_request(arrival: Any) -> None:
    assert describe(arrival()) == DESCRIBED


PROXIED = {
    "forwarded": (
        {"Forwarded": "for=192.0.2.60;proto=https;host=shop.example, for=10.0.0.7"},
        expected(url_scheme="https", server_address="shop.example", server_port=443, client_address="192.0.2.60"),
    ),
    "IPv6 with a port": ({"Forwarded": 'For="[2001:db8::17]:4711"'}, expected(client_address="2001:db8::17")),
    "unknown": ({"Forwarded": "for=unknown"}, DESCRIBED),
    "unknown, and a list": (
        {"Forwarded": "for=unknown", "X-Forwarded-For": "192.0.2.1"},
        expected(client_address="192.0.2.1"),
    ),
    "obfuscated": ({"Forwarded": 'for="_hidden:_port"'}, expected(client_address="_hidden")),
    "a host with a port": (
        {"Forwarded": 'HOST="shop.example:8443";PROTO=HTTPS'},
        expected(url_scheme="https", server_address="shop.example", server_port=8443),
    ),
    "lists": (
        {
            "X-Forwarded-For": "192.0.2.1, 10.0.0.7",
            "X-Forwarded-Proto": "https, http",
            "X-Forwarded-Host": "shop.example, b",
        },
        expected(url_scheme="https", server_address="shop.example", server_port=443, client_address="192.0.2.1"),
    ),
    "forwarded before lists": (
        {"Forwarded": "for=192.0.2.60", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"},
        expected(url_scheme="https", client_address="192.0.2.60"),
    ),
    "a client with a port": ({"X-Forwarded-For": "192.0.2.1:5555"}, expected(client_address="192.0.2.1")),
    "an unknown client": ({"X-Forwarded-For": "unknown, 10.0.0.7"}, DESCRIBED),
    "a client that is a port": ({"X-Forwarded-For": ":80"}, DESCRIBED),
    "TLS that ends before us": (
        {"X-Forwarded-Proto": "HTTPS", "Host": "a.example"},
        expected(url_scheme="https", server_port=443),
    ),
    "a scheme that is none": ({"X-Forwarded-Proto": "<script>"}, DESCRIBED),
    "a scheme without a port": (
        {"X-Forwarded-Proto": "gopher", "Host": "a.example"},
        expected(url_scheme="gopher", server_port=None),
    ),
    "malformed": (
        {"Forwarded": '"for', "X-Forwarded-For": ",", "X-Forwarded-Proto": ",", "X-Forwarded-Host": " "},
        DESCRIBED,
    ),
    "host without a port": ({"Host": "a.example"}, expected(server_port=80)),
    "host of IPv6": ({"Host": "[2001:db8::1]:8080"}, expected(server_address="2001:db8::1", server_port=8080)),
    "host of IPv6 without a port": ({"Host": "[2001:db8::1]"}, expected(server_address="2001:db8::1", server_port=80)),
    "host with a bad port": ({"Host": "a.example:http"}, expected(server_port=80)),
    "host with credentials": ({"Host": "me:secret@a.example:8000"}, DESCRIBED),
    "no host": ({"Host": ""}, expected(server_address="10.0.0.9")),
    "user agent": ({"User-Agent": "curl/8 \xe9"}, expected(user_agent_original="curl/8 \xe9")),
}


@pytest.mark.parametrize("arrival", [wsgi, asgi])
@pytest.mark.parametrize(("headers", "described"), PROXIED.values(), ids=PROXIED)
def test_what_headers_tell(headers: dict[str, str], described: dict[str, Any], arrival: Any) -> None:
    assert describe(arrival(headers)) == described


NO_PEER = {"client_address": None, "network_peer_address": None, "network_peer_port": None}
OTHERS = {
    "HTTP/1.0": (
        wsgi(HTTP_HOST=None, SERVER_PROTOCOL="HTTP/1.0"),
        {"server_address": "10.0.0.9", "network_protocol_version": "1.0"},
    ),
    "HTTP/1.0 by ASGI": (asgi(http_version="1.0"), {"network_protocol_version": "1.0"}),
    "HTTP/2": (asgi(http_version="2"), {"network_protocol_version": "2"}),
    "an unknown protocol": (wsgi(SERVER_PROTOCOL="INCLUDED"), {"network_protocol_version": None}),
    "TLS": (
        wsgi({"Host": "h"}, **{"wsgi.url_scheme": "https"}),
        {"url_scheme": "https", "server_address": "h", "server_port": 443},
    ),
    "TLS by ASGI": (
        asgi({"host": "h"}, scheme="https"),
        {"url_scheme": "https", "server_address": "h", "server_port": 443},
    ),
    "WebSocket": (
        asgi({"host": "h"}, type="websocket", scheme="wss", method=None),
        {"url_scheme": "wss", "server_address": "h", "server_port": 443},
    ),
    "WebSocket without a scheme": (asgi(type="websocket", scheme=None), {"url_scheme": "ws"}),
    "no scheme": (asgi(scheme=None), {}),
    "no port of the peer's": (wsgi(REMOTE_PORT=None), {"network_peer_port": None}),
    "a port of the peer's that is none": (wsgi(REMOTE_PORT="x"), {"network_peer_port": None}),
    "a UNIX socket": (wsgi(REMOTE_ADDR="", REMOTE_PORT=None, SERVER_NAME=None, SERVER_PORT=None), NO_PEER),
    "a UNIX socket by ASGI": (asgi(client=None, server=("/run/app.sock", None)), NO_PEER),
    "a UNIX socket and no host": (
        asgi({"host": ""}, client=None, server=("/run/app.sock", None)),
        {**NO_PEER, "server_address": "/run/app.sock", "server_port": None},
    ),
    "a UNIX socket behind a proxy": (
        asgi({"x-forwarded-for": "192.0.2.1"}, client=None, server=None),
        {**NO_PEER, "client_address": "192.0.2.1"},
    ),
    "no address at all": (
        asgi({"host": ""}, client=None, server=None),
        {**NO_PEER, "server_address": None, "server_port": None},
    ),
}


@pytest.mark.parametrize(("arrival", "changes"), OTHERS.values(), ids=OTHERS)
def test_what_servers_tell(arrival: Arrival, changes: dict[str, Any]) -> None:
    assert describe(arrival) == expected(**changes)


def test_an_environment_and_a_scope_with_nothing_in_them_are_told_all_the_same() -> None:
    assert describe(WsgiArrival({})) == {
        "http.request.method": "_OTHER", "http.request.method_original": "", "url.path": "", "url.scheme": "http"
    }  # fmt: skip
    assert describe(AsgiArrival({"type": "http"})) == {
        "http.request.method": "GET", "url.path": "", "url.scheme": "http"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "variables", "told"),
    [
        ("QUERY", {}, {"http.request.method": "QUERY"}),
        ("PROPFIND", {}, {"http.request.method": "_OTHER", "http.request.method_original": "PROPFIND"}),
        ("get", {}, {"http.request.method": "_OTHER", "http.request.method_original": "get"}),
        ("PROPFIND", {"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET,PROPFIND"}, {"http.request.method": "PROPFIND"}),
        (
            "POST",
            {"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET,PROPFIND"},
            {"http.request.method": "_OTHER", "http.request.method_original": "POST"},
        ),
        ("get", {"OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS": "true"}, {"http.request.method": "get"}),
    ],
)
def test_methods_that_are_not_known_are_others(method: str, variables: dict[str, str], told: dict[str, str]) -> None:
    changed = {**DESCRIBED, **told}
    assert describe(wsgi(REQUEST_METHOD=method), **variables) == changed
    assert describe(asgi(method=method), **variables) == changed


def test_the_old_names_are_told_beside_the_stable_ones_if_that_is_wanted() -> None:
    headers = {"User-Agent": "x/1", "X-Forwarded-For": "192.0.2.1"}
    new = expected(user_agent_original="x/1", client_address="192.0.2.1", url_query="a=b&token=REDACTED")
    old = {
        "http.method": "GET",
        "http.scheme": "http",
        "http.host": "a.example:8000",
        "http.target": "/?a=b&token=REDACTED",
        "http.flavor": "1.1",
        "http.user_agent": "x/1",
        "http.client_ip": "192.0.2.1",
        "net.host.name": "a.example",
        "net.host.port": 8000,
        "net.peer.ip": "10.0.0.1",
        "net.peer.port": 4711,
        "net.sock.peer.addr": "10.0.0.1",
        "net.sock.peer.port": 4711,
    }
    query = "a=b&token=x"
    arrivals = [wsgi(headers, QUERY_STRING=query), asgi(headers, query_string=query.encode())]
    for arrival in arrivals:
        assert describe(arrival, OTEL_SEMCONV_STABILITY_OPT_IN="http/dup") == new | old
        assert describe(arrival, OTEL_SEMCONV_STABILITY_OPT_IN="http") == new


ANYTHING = st.text(st.characters(max_codepoint=255), max_size=40)
SENT = ("host", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "user-agent")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(SENT, ANYTHING)), ANYTHING, ANYTHING)
def test_whatever_is_sent_is_told_in_texts_that_can_be_exported(headers: dict[str, str], path: str, query: str) -> None:
    by_wsgi = wsgi(headers, PATH_INFO=path, QUERY_STRING=query)
    by_asgi = asgi(headers, raw_path=path.encode("latin-1"), query_string=query.encode("latin-1"))
    for arrival in (by_wsgi, by_asgi):
        for variables in ({}, {"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup"}):
            told = describe(arrival, **variables)
            assert str(told["url.path"]).isascii()
            assert str(told.get("url.query", "")).isascii()
            assert {name for name, value in told.items() if value in ("", None)} <= {"url.path", "http.target"}
            assert all(str(value).encode() is not None for value in told.values())
        assert isinstance(arrival.url(), str)

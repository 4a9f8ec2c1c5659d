"""waitress, the simplest of servers: what a bare WSGI application's spans are."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from otel_run.command.demo.servers import HOST

if TYPE_CHECKING:
    from servers.serving import Serving

BARE = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


def test_a_bare_application_has_a_span_without_a_route(serving: Serving) -> None:
    with serving(BARE, "waitress-serve", "--listen=127.0.0.1:{port}", "app:application") as server:
        assert server.ask("/a?token=x&b=1").endswith(b"hello")
        # One connection, and the second sent before the first is answered.
        with socket.create_connection((HOST, server.port), timeout=20) as connection:
            connection.sendall(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert b"".join(iter(lambda: connection.recv(65536), b"")).count(b"hello") == 2
    span, *pipelined = server.spans
    assert [(one.attributes["url.path"], one.parent_id) for one in pipelined] == [("/b", ""), ("/c", "")], server
    assert (span.name, span.kind, span.status, span.parent_id) == ("GET", "SERVER", "UNSET", ""), server
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.path": "/a",
        "url.query": "token=REDACTED&b=1",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": span.attributes["network.peer.port"],
        "network.protocol.version": "1.1",
    }

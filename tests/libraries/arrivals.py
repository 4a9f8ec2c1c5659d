"""One request as gateways hand it over, by WSGI or ASGI, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.instrumentors.asgi_arrival import AsgiArrival
from otel_run.instrumentors.http_arrival import Description
from otel_run.instrumentors.wsgi import WsgiArrival

if TYPE_CHECKING:
    from otel_run.instrumentors.http_arrival import Arrival

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "10.0.0.9",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "10.0.0.1",
    "REMOTE_PORT": "4711",
    "HTTP_HOST": "a.example:8000",
    "wsgi.url_scheme": "http",
    "wsgi.input": None,
}
DESCRIBED = {
    "http.request.method": "GET",
    "url.path": "/",
    "url.scheme": "http",
    "server.address": "a.example",
    "server.port": 8000,
    "client.address": "10.0.0.1",
    "network.peer.address": "10.0.0.1",
    "network.peer.port": 4711,
    "network.protocol.version": "1.1",
}


def wsgi(headers: dict[str, str] | None = None, **environ: Any) -> Arrival:
    """Return a request as WSGI has it; None for what is not in the environment."""
    added = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in (headers or {}).items()}
    found = {**ENVIRON, **added, **environ}
    return WsgiArrival({name: value for name, value in found.items() if value is not None or name == "wsgi.input"})


def asgi(headers: dict[str, str] | None = None, **scope: Any) -> Arrival:
    """Return the same as ASGI has it."""
    sent = {"host": "a.example:8000", **{name.lower(): value for name, value in (headers or {}).items()}}
    found = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items() if value],
        "client": ("10.0.0.1", 4711),
        "server": ("10.0.0.9", 8000),
        **scope,
    }
    return AsgiArrival({name: value for name, value in found.items() if value is not None})


def describe(arrival: Arrival, **variables: str) -> dict[str, Any]:
    """Return what is told of a request, by settings."""
    found, problems = settings.read(variables, lambda _group: [])
    assert problems == []
    return dict(Description(found)(arrival))


def expected(**changes: Any) -> dict[str, Any]:
    """Return what is told of the request above, with changes: `url_scheme` for `url.scheme`, None for nothing."""
    names = {name.replace(".", "_"): name for name in (*DESCRIBED, "user_agent.original", "url.query")}
    changed = {**DESCRIBED, **{names[short]: value for short, value in changes.items()}}
    return {name: value for name, value in changed.items() if value is not None}

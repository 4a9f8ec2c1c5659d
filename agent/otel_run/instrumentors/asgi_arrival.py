"""An ASGI request as it arrives: what its scope tells, and whether another scope is a copy of it.

Middleware copies scopes, mounts change them in place, and each layer inside asks whether what it is given is the
request that has a span already. A scope has no identity that survives; its headers nearly have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors.http_arrival import Arrival, is_plain, path_of, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_run.instrumentors.http_arrival import Told

    Scope = dict[str, Any]


class AsgiArrival(Arrival):
    """A request as an ASGI scope has it; read as far as somebody asks, which for most nobody does."""

    __slots__ = ("_headers", "_made", "_path", "mark", "method", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        headers = scope.get("headers")
        # ASGI allows what can be read only once, which the application shall do.
        self._headers: Any = headers if hasattr(headers, "__len__") else ()
        # Copies of a scope have the same headers.
        self.mark = headers or scope
        self.method = scope.get("method", "GET")
        # Now: some frameworks take from it, in place, what a mount has matched.
        self._path: str = scope.get("path", "")
        self._made: dict[bytes, bytes] | None = None

    @property
    def _joined(self) -> dict[bytes, bytes]:
        """The headers by name, of several with the same the values joined."""
        if self._made is None:
            joined: dict[bytes, bytes] = dict(self._headers)
            if len(joined) != len(self._headers):
                joined = {}
                for name, value in self._headers:
                    joined[name] = joined[name] + b", " + value if name in joined else value
            self._made = joined
        return self._made

    @property
    def scheme(self) -> str:
        """The scheme; that of the handshake is the WebSocket's."""
        return self.scope.get("scheme") or ("ws" if self.scope["type"] == "websocket" else "http")

    @property
    def query(self) -> str:
        """The query, without its question mark."""
        query: bytes = self.scope.get("query_string") or b""
        return query.decode("latin-1")

    @property
    def local(self) -> tuple[str, int | None] | None:
        """Our end of the socket."""
        return _address(self.scope.get("server"))

    def path(self) -> str:
        """Return the path below the root of the server, decoded."""
        return self._path

    def parts(self) -> tuple[str, str]:
        """Return what the application is mounted at, and the path, which has that in front or not."""
        return self.scope.get("root_path") or "", self._path

    def raw_path(self) -> str:
        """Return the path as it came, where the server tells."""
        raw: bytes | None = self.scope.get("raw_path")
        return path_of(raw.decode("latin-1")) if raw else super().raw_path()

    def brings_context(self) -> bool:
        """Tell whether there is something for the propagators of W3C in it."""
        joined = self._joined
        return b"traceparent" in joined or b"baggage" in joined

    def told(self) -> Told:
        """Return all that is told of each request."""
        get, joined = self.scope.get, self._made or self._joined
        header = joined.get
        raw, query = get("raw_path"), get("query_string")
        path = raw.decode("latin-1") if raw else self._path
        peer, port = _address(get("client")) or (None, None)
        host, agent = header(b"host"), header(b"user-agent")
        proxied = None
        if not _PROXIED.isdisjoint(joined):
            forwarded, proto, other, client = map(self.header, _OF_PROXIES)
            proxied = (forwarded, proto, other, client)
        return (
            get("scheme") or self.scheme,
            path if is_plain(path) and path[:1] == "/" else path_of(path) if raw else quoted(path),
            query.decode("latin-1") if query else "",
            get("http_version", ""),
            peer,
            port,
            None if host is None else host.decode("latin-1"),
            None if agent is None else agent.decode("latin-1"),
            proxied,
        )

    def header(self, name: str) -> str | None:
        """Return a header's value; of several, joined by commas."""
        value = self._joined.get(_NAMES.get(name) or name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def headers(self) -> Iterable[tuple[str, str]]:
        """Return all headers, one by one."""
        return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._headers]

    def is_like(self, other: Arrival) -> bool:
        """Tell whether this is the other, or a copy of it, whatever middleware has put in its place or beside."""
        return super().is_like(other) or (isinstance(other, AsgiArrival) and self._is_copied_from(other))

    def _is_copied_from(self, other: AsgiArrival) -> bool:
        # Copies of the list have the very same pairs, deep ones too: a tuple of bytes is not copied.
        if not set(map(id, self._headers)).isdisjoint(map(id, other._headers)):
            return True
        # New pairs of the same values are what a client in process makes as well; but that has a span of its own.
        if not self.asks_like(other) or self.header("traceparent") != other.header("traceparent"):
            return False
        # Of the shortest there is one for all.
        theirs = {id(value) for value in other._joined.values() if len(value) > 1}
        return not theirs.isdisjoint(map(id, self._joined.values()))


_NAMES = {
    name: name.encode()
    for name in (
        "baggage", "forwarded", "host", "traceparent", "tracestate", "user-agent", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-proto",
    )
}  # fmt: skip


_OF_PROXIES = ("forwarded", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-for")
_PROXIED = frozenset(map(str.encode, _OF_PROXIES))


def _address(pair: Any) -> tuple[str, int | None] | None:
    if not (pair and pair[0]):
        return None
    # granian's are texts.
    port = pair[1]
    return (pair[0], int(port) if isinstance(port, str) and port.isdecimal() else port)

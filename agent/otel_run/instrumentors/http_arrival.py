"""A request as it arrives, whichever gateway brings it, and what the conventions want told of it at the start.

What proxies in front of us say (`Forwarded`, `X-Forwarded-*`) is told as it stands: who the client was is theirs to
know. Nothing is decided by it. Source: OpenTelemetry semantic conventions, "HTTP server span"; RFC 7239.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from otel_run.instrumentors.http_forwarded import split_host, told_by_proxies
from otel_run.instrumentors.url_template import DEFAULT_PORTS
from otel_run.masking.url import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.util.types import AttributeValue

    from otel_run.instrumentors.http_forwarded import Proxied
    from otel_run.instrumentors.http_headers import Attributes
    from otel_run.settings import Settings

    # Scheme, path as it came, query, version, address and port of the peer, `Host`, `User-Agent`, what proxies tell.
    Told = tuple[str, str, str, str, str | None, int | None, str | None, str | None, Proxied | None]

# Of a server that is asked for by more names, or by any, the others are read each time.
_MOST_HOSTS = 32
_MOST_CHARACTERS = 256
_DEFAULT_PORTS = {**DEFAULT_PORTS, "ws": 80, "wss": 443}


class Arrival:
    """One request. Subclasses read it from a WSGI environment or an ASGI scope; names of headers are lower case."""

    __slots__ = ()

    # What a copy of the environment or scope still holds: two arrivals with the same one are one request.
    mark: object
    method: str

    @property
    def scheme(self) -> str:
        """The scheme of the URL."""
        raise NotImplementedError

    @property
    def query(self) -> str:
        """What follows the `?` in the URL."""
        raise NotImplementedError

    @property
    def local(self) -> Any:
        """(address, port) of our end of the socket; None where there is none."""
        raise NotImplementedError

    def path(self) -> str:
        """Return the path below the root of the server, decoded."""
        raise NotImplementedError

    def parts(self) -> tuple[str, str]:
        """Return what the application is mounted at, and the path it is asked for: with that in front, or without."""
        raise NotImplementedError

    def raw_path(self) -> str:
        """Return the path as it came in the URL."""
        return quoted(self.path())

    def brings_context(self) -> bool:
        """Tell whether there is something for the propagators of W3C in it."""
        raise NotImplementedError

    def told(self) -> Told:
        """Return all that is told of each request, empty or None where it is unknown: in one call, as it costs most."""
        raise NotImplementedError

    def header(self, name: str) -> str | None:
        """Return a header's value; of several, joined by commas (RFC 9110, 5.3)."""
        raise NotImplementedError

    def headers(self) -> Iterable[tuple[str, str]]:
        """Return all headers, one by one."""
        raise NotImplementedError

    def names(self) -> Iterable[str]:
        """Return the names of all headers."""
        return dict(self.headers())

    def url(self) -> str:
        """Return the URL in full, as far as it is known."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.header('host') or ''}{self.raw_path()}{query}"

    def is_like(self, other: Arrival) -> bool:
        """Tell whether this is the other, handed on through mounts and bridges between gateways."""
        if self.mark is other.mark:
            return True
        # Bridges join headers in their own ways.
        return self.asks_like(other) and all(
            _squeezed(self.header(name)) == _squeezed(other.header(name)) for name in _TELLING
        )

    def asks_like(self, other: Arrival) -> bool:
        """Tell whether this asks for what the other does, or what it left of that."""
        if (self.method, self.query) != (other.method, other.query):
            return False
        # Some mounts take what they have matched from the path. An application may know the root that a proxy has
        # taken away, and bridges make "/root/" of "/root".
        root, below = self.parts()
        whole = other.path().rstrip("/")
        return whole.endswith(below.rstrip("/")) and (root + below).rstrip("/").endswith(whole)


_TELLING = ("host", "user-agent", "traceparent")


def _squeezed(value: str | None) -> str | None:
    return value.replace(" ", "") if value else value


# Tells whether a path has nothing in it that is encoded in a URL.
is_plain = re.compile(r"[\w./~-]*", re.ASCII).fullmatch


def quoted(path: str) -> str:
    """Return a decoded path as it stands in a URL."""
    return path if is_plain(path) else quote(path, safe="/:@!$&'()*+,;=~-._", errors="replace")


def path_of(target: str) -> str:
    """Return the path of a request's target as it came, be that a path or a whole URL (RFC 9112, 3.2)."""
    path = target.partition("?")[0]
    if not path.startswith("/"):
        _, is_url, rest = path.partition("://")
        path = f"/{rest.partition('/')[2]}" if is_url else path
    return legal(path)


# All that is ASCII and no space: what came encoded stays so.
_ANYTHING = "".join(map(chr, range(0x21, 0x7F)))


def legal(part: str) -> str:
    """Return a part of a URL, bytes each as the character of its number, with those encoded that no URL holds."""
    return part if part.isascii() else quote(part, _ANYTHING, "latin-1", "replace")


class Description:
    """What is told of a request when its span starts, by the user's settings."""

    def __init__(self, settings: Settings) -> None:
        # Those that are told as they are; None for all.
        self.methods = None if settings.http_capture_all_methods else frozenset(settings.http_known_methods)
        self._hosts: dict[str, tuple[str, int | None]] = {}
        self._old_names = "http/dup" in settings.semconv_opt_in
        self._mask: Callable[[str], str] = mask if settings.masks() else str

    def _split(self, host: str) -> tuple[str, int | None]:
        """Return the address and the port of a `Host`, and remember them: there are few."""
        found = split_host(host)
        if len(self._hosts) < _MOST_HOSTS and len(host) <= _MOST_CHARACTERS:
            self._hosts[host] = found
        return found

    def __call__(self, arrival: Arrival) -> Attributes:
        """Return the attributes."""
        method = arrival.method
        scheme, path, query, version, peer, peer_port, host, agent, proxied = arrival.told()
        named, client = host, ""
        if proxied is not None:
            scheme, named, client = told_by_proxies(proxied, scheme, host)
        attributes: Attributes = {"http.request.method": method, "url.path": path, "url.scheme": scheme}
        if self.methods is not None and method not in self.methods:
            attributes["http.request.method"] = "_OTHER"
            attributes["http.request.method_original"] = method
        if query:
            attributes["url.query"] = self._mask("?" + legal(query))[1:]
        address, port = self._hosts.get(named) or self._split(named) if named else arrival.local or (None, None)
        if address:
            attributes["server.address"] = address
            # A server without a port listens on a socket of the file system.
            port = port or (_DEFAULT_PORTS.get(scheme) if named else None)
            if port:
                attributes["server.port"] = port
        if peer:
            attributes["network.peer.address"] = peer
            if peer_port:
                attributes["network.peer.port"] = peer_port
        if client or peer:
            attributes["client.address"] = client or peer
        if agent:
            attributes["user_agent.original"] = agent
        if version:
            attributes["network.protocol.version"] = version
        if self._old_names:
            attributes.update(_in_old_names(attributes, host))
        return attributes


class Deferred(Mapping[str, "AttributeValue"]):
    """Attributes that are made when somebody looks, which for a request that is not sampled mostly nobody does.

    `tracing.decided` makes a dict of them for samplers that may look.
    """

    __slots__ = ("_arrival", "_describe", "_made")

    def __init__(self, describe: Callable[[Arrival], Attributes], arrival: Arrival) -> None:
        self._describe = describe
        self._arrival = arrival
        self._made: Attributes | None = None

    def made(self) -> Attributes:
        """Return them."""
        if self._made is None:
            self._made = self._describe(self._arrival)
        return self._made

    def __getitem__(self, name: str) -> AttributeValue:
        return self.made()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.made())

    def __len__(self) -> int:
        return len(self.made())

    # Mapping's own would look up each by itself.
    def items(self) -> Any:
        """Return the pairs."""
        return self.made().items()


# stable name -> those of the conventions 1.20, and those of 1.12 that contrib's instrumentors have stayed with
_OLD_NAMES = {
    "http.request.method": ("http.method",),
    "url.scheme": ("http.scheme",),
    "server.address": ("net.host.name",),
    "server.port": ("net.host.port",),
    "client.address": ("http.client_ip",),
    "network.peer.address": ("net.sock.peer.addr", "net.peer.ip"),
    "network.peer.port": ("net.sock.peer.port", "net.peer.port"),
    "user_agent.original": ("http.user_agent",),
    "network.protocol.version": ("http.flavor",),
}


def _in_old_names(attributes: Attributes, host: str | None) -> Attributes:
    old = {name: attributes[new] for new, names in _OLD_NAMES.items() if new in attributes for name in names}
    if host:
        old["http.host"] = host
    query = attributes.get("url.query")
    old["http.target"] = str(attributes["url.path"]) + (f"?{query!s}" if query else "")
    return old

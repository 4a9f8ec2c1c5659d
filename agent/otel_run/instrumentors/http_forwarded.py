"""What proxies in front of a server tell of the request that they took: `Forwarded`, `X-Forwarded-*`, and hosts.

It comes first from the proxy that the client spoke to, so of several the first counts. Anybody may send these
headers: nothing raises, all is read in time that grows with its length, and what is long is not kept.
Sources: RFC 7239; RFC 9110, 5.6.1 (empty members of lists) and 7.2 (`Host`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")
    # The headers Forwarded, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-For.
    Proxied = tuple[str | None, str | None, str | None, str | None]

# What is kept of a text that comes with each request of a client.
_MOST_CHARACTERS = 512


def _kept(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return `read` with a memory for texts that are not long."""
    remembered = lru_cache(maxsize=256)(read)

    def read_or_remember(text: str) -> T:
        return remembered(text) if len(text) <= _MOST_CHARACTERS else read(text)

    return read_or_remember


def first(header: str | None) -> str:
    """Return the first member of a list, if it is known."""
    text = header.partition(",")[0].strip() if header else ""
    return "" if text.lower() == "unknown" else text


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def as_scheme(text: str) -> str:
    """Return a scheme as URLs have it; nothing if it is none."""
    lower = text.lower()
    return lower if _SCHEME.fullmatch(lower) else ""


@_kept
def split_host(text: str) -> tuple[str, int | None]:
    """Return the address and the port of `host:port`, `[2001:db8::1]:port` or either without a port.

    A port that has another name (RFC 7239, 6.3) is none. Credentials, which have no place here, are left out.
    """
    text = text.strip().rpartition("@")[2]
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536
    return address, int(port) if is_port else None


_PARAMETER = re.compile(r"""\s*([\w!#$%&'*+.^`|~-]+)=("(?:[^"\\]|\\.)*"|[^;,"\s]*)\s*""", re.ASCII)
# What RFC 7239 and RFC 9110 allow to be empty: parameters, and before the first element elements too.
_NO_PARAMETERS = re.compile(r"[\s;]*")
_EMPTY = re.compile(r"[\s,;]*")


@_kept
def read_forwarded(value: str) -> dict[str, str]:
    """Return what the first proxy says, `for`, `proto`, `host` and `by`, as far as it can be read and is known."""
    found: dict[str, str] = {}
    at = _end_of(_EMPTY.match(value))
    while True:
        parameter = _PARAMETER.match(value, at)
        if parameter is None:
            return found
        text = parameter[2]
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        if text.lower() != "unknown":
            found.setdefault(parameter[1].lower(), text)
        at = parameter.end()
        if value[at : at + 1] != ";":
            return found
        at = _end_of(_NO_PARAMETERS.match(value, at))


def told_by_proxies(proxied: Proxied, scheme: str, host: str | None) -> tuple[str, str | None, str]:
    """Return the scheme, the host with its port, and the client's address, if known, of what the client asked for.

    `scheme` and `host` are what the request has that came to us.
    """
    forwarded, proto, other_host, client = proxied
    told = read_forwarded(forwarded) if forwarded else {}
    proto = told.get("proto") or first(proto)
    client = told.get("for") or first(client)
    return (
        (as_scheme(proto) if proto else "") or scheme,
        told.get("host") or first(other_host) or host,
        split_host(client)[0] if client else "",
    )


def _end_of(found: re.Match[str] | None) -> int:
    return found.end() if found else 0

"""URLs as they may be shown: this file is about what of a URL stays out of a line.

Split by hand, since whoever made the span may have told what is no URL; and strictly, since what looks like one may
still hold a password.
"""

from __future__ import annotations

import re

_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,30}:)?//")
_END_OF_AUTHORITY = re.compile(r"[/?#]")
_PORT = re.compile(r"(?:[^:]*|\[[^]]*])(?::\d*)?")
_LONGEST = 10_000


def without_secrets(url: str) -> str:
    """Return `url` without credentials and fragment, and with `?…` for its query."""
    scheme, rest = _split(url[:_LONGEST])
    rest = rest.partition("#")[0]
    address, mark, query = rest.partition("?")
    return f"{scheme}{address}{'?…' if mark and query else ''}"


def path_of(url: str) -> str:
    """Return the path of `url` alone."""
    scheme, rest = _split(url[:_LONGEST])
    path = re.split("[?#]", rest, maxsplit=1)[0]
    return path[path.find("/") :] if "/" in path else "/" if scheme else ""


def address_of(url: str) -> str:
    """Return the host of `url`, and its port if there is one."""
    return _END_OF_AUTHORITY.split(_split(url[:_LONGEST])[1], maxsplit=1)[0]


def short_name(host: str) -> str:
    """Return the first part of a host's name; empty if that tells nothing: an address, or this machine."""
    name = host.partition(":")[0].partition(".")[0]
    return "" if name == "localhost" or name.isdigit() or name.startswith("[") else name


def _split(url: str) -> tuple[str, str]:
    """Return the scheme with its slashes, and all that follows the credentials."""
    found = _SCHEME.match(url)
    scheme = found[0] if found else ""
    rest = url[len(scheme) :]
    end = _END_OF_AUTHORITY.search(rest)
    length = end.start() if end else len(rest)
    at = rest.rfind("@", 0, length)
    # `user:pass/word@host`: what stands for the port is none, so the password goes on behind the slash.
    if at < 0 and not _PORT.fullmatch(rest, 0, length):
        at = rest.rfind("@")
    return scheme, rest[at + 1 :]

"""Which template a URL was made from: `/users/{id}` for /users/17, so that spans of one kind have one name.

Clients do not say, so the user does (OTEL_RUN_URL_TEMPLATES). `{name}` and `*` stand for one segment of the
path, `/**` at the end for any rest. A template that begins with a scheme is for that server only. A segment
that holds more than a placeholder (`{id}.json`) keeps the text around it; with several placeholders it stands
for any segment, since taking it apart would not be linear.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from otel_run import report
from otel_run.masking.url import mask

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_PORTS = {"http": 80, "https": 443}

_PLACEHOLDER = re.compile(r"\{[^{}/]*\}|\*")

Server = tuple[str, "str | None", "int | None"]

_NOWHERE: tuple[Server, str] = ("", None, None), ""


class _Template(NamedTuple):
    server: Server | None
    path: str
    pattern: re.Pattern[str]


class UrlTemplates:
    """The templates that the user gave, in their order."""

    def __init__(self, given: Iterable[str]) -> None:
        self._templates: list[_Template] = []
        for one in given:
            why = _what_is_wrong(one)
            if why:
                report.note("OTEL_RUN_URL_TEMPLATES", "not used", f"{mask(one)}: {why}")
            else:
                self._templates.append(_compile(one))

    def of(self, url: str) -> str | None:
        """Return the path of the first template that fits."""
        split = _split(url)
        if split is None:
            return None
        server, path = split
        for template in self._templates:
            if template.server in (None, server) and template.pattern.fullmatch(path):
                return template.path
        return None


def _what_is_wrong(given: str) -> str | None:
    if "?" in given or "#" in given:
        return "a template is of the path, which ends before any ? or #"
    if "://" in given and not (_split(given) or _NOWHERE)[0][1]:
        return "it names no server that can be read"
    return None


def _compile(given: str) -> _Template:
    if "://" in given:
        server, path = _split(given) or _NOWHERE
        return _Template(server, path, _pattern(path))
    path = given if given.startswith("/") else "/" + given
    return _Template(None, path, _pattern(path))


def _pattern(path: str) -> re.Pattern[str]:
    begin, rest = (path[:-3], "(?:/.*)?") if path.endswith("/**") else (path, "")
    return re.compile("/".join(map(_segment, begin.split("/"))) + rest, re.DOTALL)


def _segment(text: str) -> str:
    fixed = _PLACEHOLDER.split(text)
    return "[^/]+".join(map(re.escape, fixed)) if len(fixed) <= 2 else "[^/]+"


def _split(url: str) -> tuple[Server, str] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port), parts.path or "/"

"""What a span is called in the tree: read off its attributes, since span names leave out what tells calls apart.

Both the stable and the old names of the conventions are understood, as anybody's instrumentors make spans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from otel_run.view.tree import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_run.command.demo.receiver import Span

_WORDS_OF_SQL = 4


def node(span: Span) -> Node:
    """Return the span as a node of a tree."""
    parent = (span.trace_id, span.parent_id) if span.parent_id else None
    return Node((span.trace_id, span.id), parent, label(span), span.start, span.end, span.service)


def label(span: Span) -> str:
    """Return `METHOD host path`, the summary of a statement, a Redis command and its key, or else the name."""
    return _http(span) or _database(span.attributes) or span.name


def _http(span: Span) -> str:
    method = _first(span.attributes, "http.request.method", "http.method")
    if not method:
        return ""
    if span.is_server:
        target = _first(span.attributes, "http.route", "url.path", "http.target").partition("?")[0]
    else:
        url = urlsplit(_first(span.attributes, "url.full", "http.url"))
        target = url.netloc.rpartition("@")[2] + url.path
    return f"{method} {target}" if target else ""


def _database(attributes: Mapping[str, Any]) -> str:
    text = _first(attributes, "db.query.text", "db.statement")
    if _first(attributes, "db.system.name", "db.system") == "redis":
        return text
    return _first(attributes, "db.query.summary") or " ".join(text.split()[:_WORDS_OF_SQL])


def _first(attributes: Mapping[str, Any], *names: str) -> str:
    """Return the first of the attributes that is there."""
    return next((str(attributes[name]) for name in names if attributes.get(name)), "")

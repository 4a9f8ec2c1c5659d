"""Traces as one web page in one file: it works from a disk, in a mail and years later, and needs no network.

The data of spans comes from anywhere, so three walls stand between it and a reader's browser: it is JSON in which no
character can end the element that holds it, the scripts only ever make text of it, and a content security policy
lets nothing run but the one script whose hash it names, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# In this order they make the page's one script.
SCRIPTS = (
    *("text", "trace", "sight", "drag"),
    *("list", "about", "minimap", "tree", "bars", "waterfall", "details"),
    *("keys", "live", "page"),
)

_HOLE = re.compile(r"\{\{(\w+)\}\}")
# Within JSON these stand in texts only, where this is another way to write them. `<` could end the element or begin a
# comment in it; the last two end a line in old scripts.
_ESCAPES = {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"}


def page(
    documents: Iterable[Mapping[str, Any]], title: str, live: Mapping[str, str] | None = None, order: str = "newest"
) -> str:
    """Return the page that shows `documents` (document.document), in a list; its order is one of `ORDERS` in list.js.

    With `live`, it listens at the address `live["events"]` of its own server: server-sent events named `trace` with
    one document each, which is added, or replaces that of the same trace id.
    """
    style, script = _read("page.css"), _script()
    contents = {
        "title": html.escape(title),
        "policy": html.escape(_policy(style, script, is_live=live is not None)),
        "style": style,
        "script": script,
        "data": _json({"documents": list(documents), "live": live, "order": order}),
    }
    # In one pass: what looks like a hole within the contents stays as it is.
    return _HOLE.sub(lambda hole: contents[hole[1]], _read("page.html"))


def _script() -> str:
    parts = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _policy(style: str, script: str, is_live: bool) -> str:
    parts = [
        "default-src 'none'",
        f"style-src {_hash(style)}",
        f"script-src {_hash(script)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    if is_live:
        parts.append("connect-src 'self'")
    return "; ".join(parts)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _read(name: str) -> str:
    # Not by `__file__`: the package may be in a zip.
    return (files(__name__) / name).read_text("utf-8")

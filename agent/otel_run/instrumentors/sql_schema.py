"""The one schema of PostgreSQL that a connection works in, as far as its driver tells: `database|schema`.

Only a search path of exactly one plain name is one: `"$user", public` is as good as none. Source: OpenTelemetry
semantic conventions, "PostgreSQL", `db.namespace`.
"""

from __future__ import annotations

import re
from typing import Any

# -c search_path=a, -csearch_path=a, --search_path=a, --search-path=a; the last one counts.
_OPTION = re.compile(r"(?:^|\s)(?:-c\s*|--)search[_-]path\s*=\s*((?:\\.|\S)+)")
_PLAIN = re.compile(r"[A-Za-z_][\w$]*")


def of_options(info: Any) -> str | None:
    """Return the schema that libpq's `options` named when the connection was made."""
    options = _OPTION.findall(getattr(info, "options", None) or "")
    return of_path(options[-1].replace("\\", "")) if options else None


def of_path(path: str) -> str | None:
    """Return the schema if `path` is exactly one plain name."""
    return path.lower() if _PLAIN.fullmatch(path) else None

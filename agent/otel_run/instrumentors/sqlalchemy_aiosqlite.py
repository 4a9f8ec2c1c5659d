"""The thread in which aiosqlite runs all of a connection's statements, kept quiet if SQLAlchemy has the connection.

It is not the thread of SQLAlchemy's call, so what that call has in its context does not silence the instrumentor
of sqlite3 there. But it serves one connection alone, and makes that first of all: then silence is for good.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from opentelemetry import context

from otel_run.instrumentors import sql
from otel_run.tracing.call import EVERYTHING

if TYPE_CHECKING:
    from otel_run.patching.wrap import Finish


def connection_class() -> type | None:
    """Return aiosqlite's class of connections, if that library has been imported."""
    found = getattr(sys.modules.get("aiosqlite"), "Connection", None)
    return found if isinstance(found, type) else None


def made(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    """Watch a connection being made, by a pool of SQLAlchemy's or by the program itself."""
    if not context.get_value(sql.INSIDE_POOL):
        return None

    def finish(_result: Any, error: BaseException | None) -> None:
        connector = getattr(args[0], "_connector", None)
        if error is None and callable(connector):
            # The versions differ in their threads; in all of them this is the first that is called there.
            args[0]._connector = functools.partial(_connect, connector)

    return finish


def _connect(connector: Any) -> Any:
    # The context of the connection's own thread, which ends with it: there is nothing to go back to.
    context.attach(context.set_value(EVERYTHING, True))
    return connector()

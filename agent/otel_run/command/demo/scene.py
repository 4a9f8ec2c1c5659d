"""All that runs for the demo: databases, two services, somebody else's report. Gone when the `with` block is left."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_run.command.demo import servers, stores
from otel_run.command.demo.report import reporting
from otel_run.command.demo.services import Refused, send, services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from otel_run.command.demo.servers import Server


@dataclass(frozen=True)
class Scene:
    """Where orders are sent, and the cache, whose other client is the report."""

    orders: str
    cache: Server

    def send_slow_order(self) -> None:
        """Send the order that meets everything that is slow: no cached instrument, a busy cache. Raises Refused."""
        with reporting(self.cache):
            status = self.send(symbol="AAPL")
        if status != 201:
            raise Refused(f"POST {self.orders}/orders: the answer is {status}")

    def send(self, **order: Any) -> int:
        """Send an order, whatever comes of it; return the status of the answer. Raises Refused if there is none."""
        return send(self.orders, **order)


@contextlib.contextmanager
def scene(endpoint: str, check: Callable[[], None]) -> Iterator[Scene]:
    """Run it all, with spans sent to `endpoint`. `check` is called between steps, and raises if it is to end early."""
    with servers.postgres() as database:
        check()
        with servers.valkey() as cache:
            check()
            stores.fill(database, cache)
            with services(endpoint, database.url, cache.url, check) as orders:
                check()
                yield Scene(orders, cache)

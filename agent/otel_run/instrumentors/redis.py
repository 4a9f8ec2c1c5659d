"""redis-py, sync and asyncio: one CLIENT span for each command, pipeline or transaction that the program runs.

What is told of a command stands in masking/redis.py. Conventions: OpenTelemetry semantic conventions, "Redis".
Connecting, retrying, redirections, loading scripts and asking Sentinel are inside the span of the call that
needs them. redis-py 8 has metrics of its own, no spans, and none of it runs unless the program asks.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors.redis_calls import Observer
from otel_run.instrumentors.redis_nodes import patches as patches_of_nodes
from otel_run.instrumentors.redis_pool import PoolWatch
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.on_import import Finder
from otel_run.patching.wrap import DoesNotFit, Patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from opentelemetry.trace import Tracer

    from otel_run.patching.wrap import Begin

_UNIT = "instrumentor redis"


class RedisInstrumentor(Instrumentor):
    """Patches the clients, pipelines, clusters and subscriptions of redis-py."""

    library = "redis"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the sync classes' patches, and those of asyncio if the library has imported it itself."""
        import redis  # noqa: F401 - its modules are taken from sys.modules, where what a version lacks is missing

        observer = self._observer = Observer(tracer)
        patches = list(_patches(observer, "redis"))
        finder = next((finder for finder in sys.meta_path if isinstance(finder, Finder)), None)
        if "redis.asyncio" in sys.modules:
            return patches + list(_patches(observer, "redis.asyncio"))
        if finder is None:
            return patches

        def add() -> None:
            # What waits for an import can't be called off, and there may be a new observer by then.
            if self.is_instrumented_by_opentelemetry and self._observer is observer:
                later = list(_patches(observer, "redis.asyncio"))
                for patch in later:
                    patch.apply()
                self._applied += later

        # redis-py 4 does not import it by itself, and a program without asyncio must not pay for it.
        finder.wait_for("redis.asyncio", add)
        return patches


def _patches(observer: Observer, package: str) -> Iterator[Patch]:
    client = _module(f"{package}.client")
    if client is None:
        raise DoesNotFit(f"{package} has no client")
    observer.pipelines += (client.Pipeline,)
    yield Patch(_UNIT, client.Redis, "execute_command", observer.command)
    yield Patch(_UNIT, client.Pipeline, "execute", observer.pipeline)
    # What a pipeline runs at once: WATCH, and what follows it.
    yield Patch(_UNIT, client.Pipeline, "immediate_execute_command", observer.command)
    yield Patch(_UNIT, client.PubSub, "execute_command", observer.command)
    cluster = _module(f"{package}.cluster")  # since 4.1, for asyncio 4.3
    if cluster is not None:
        yield from _patches_of_cluster(observer, cluster)
    yield from patches_of_nodes(_UNIT, cluster, _module(f"{package}.sentinel"))
    core, connection = _module("redis.commands.core"), _module(f"{package}.connection")
    script = "AsyncScript" if package.endswith("asyncio") else "Script"
    yield from _if_there(getattr(core, script, None), "__call__", observer.script, "keys args client")
    pool = getattr(connection, "BlockingConnectionPool", None)
    if package.endswith("asyncio"):
        yield from _if_there(pool, "can_get_connection", PoolWatch(observer.tracer).can_get)
    else:
        yield from _if_there(pool, "get_connection", PoolWatch(observer.tracer).get)


def _patches_of_cluster(observer: Observer, cluster: ModuleType) -> Iterator[Patch]:
    observer.pipelines += (cluster.ClusterPipeline,)
    yield Patch(_UNIT, cluster.RedisCluster, "execute_command", observer.command)
    yield Patch(_UNIT, cluster.ClusterPipeline, "execute", observer.pipeline)
    if "execute_command" in vars(getattr(cluster, "ClusterPubSub", object)):
        yield Patch(_UNIT, cluster.ClusterPubSub, "execute_command", observer.command)
    # Transactions of clusters came with 6.1.
    strategy = getattr(cluster, "TransactionStrategy", None)
    yield from _if_there(strategy, "_immediate_execute_command", observer.command)


def _module(name: str) -> ModuleType | None:
    return sys.modules.get(name)


def _if_there(owner: Any, name: str, begin: Begin, takes: str = "") -> Iterator[Patch]:
    """Patch what not every version has, and what the rest does without."""
    if owner is not None:
        try:
            yield Patch(_UNIT, owner, name, begin, takes)
        except DoesNotFit:
            return

"""redis-py, sync and asyncio: one CLIENT span for each command, pipeline or transaction that the program runs.

What is told of a command stands in masking/redis.py. Conventions: OpenTelemetry semantic conventions, "Redis".
redis-py 8 has metrics of its own, no spans, and none of it runs unless the program asks, so nothing is twice.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.masking.redis import READS, split, text, told
from otel_run.patching.instrumentor import Instrumentor
from otel_run.patching.on_import import Finder
from otel_run.patching.wrap import Patch
from otel_run.tracing.call import Call, is_suppressed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.trace import Tracer

    from otel_run.masking.redis import Command
    from otel_run.patching.wrap import Finish

# Commands of one pipeline whose text is told.
_MAX_COMMANDS = 32

# Set while a span of ours is open: scripts that a pipeline loads, the masters that Sentinel is asked for and
# the slots of a cluster belong to the call that needs them. Not EVERYTHING, which would also hide the HTTP
# request of a credential provider.
_INSIDE = "otel_run.redis"


class RedisInstrumentor(Instrumentor):
    """Patches the clients, pipelines and clusters of redis-py."""

    library = "redis"

    def patches(self, tracer: Tracer) -> Iterable[Patch]:
        """Return the sync classes' patches, and those of asyncio if the library has imported it itself."""
        from redis import client, cluster

        observer = _Observer(tracer)
        patches = [
            *observer.patches(client.Redis, client.Pipeline),
            *observer.patches(cluster.RedisCluster, cluster.ClusterPipeline),
        ]
        finder = next((finder for finder in sys.meta_path if isinstance(finder, Finder)), None)
        if "redis.asyncio" in sys.modules or finder is None:
            return patches + _asyncio_patches(observer)

        def add() -> None:
            if self.is_instrumented_by_opentelemetry:
                later = _asyncio_patches(observer)
                for patch in later:
                    patch.apply()
                self._applied += later

        # redis-py 4 does not import it by itself, and a program without asyncio must not pay for it.
        finder.wait_for("redis.asyncio", add)
        return patches


def _asyncio_patches(observer: _Observer) -> list[Patch]:
    from redis.asyncio import client, cluster

    return [
        *observer.patches(client.Redis, client.Pipeline),
        *observer.patches(cluster.RedisCluster, cluster.ClusterPipeline),
    ]


class _Observer:
    """Starts the span of a call and ends it."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._old_names = "database/dup" in settings.current().semconv_opt_in

    def patches(self, client: type, pipeline: type) -> list[Patch]:
        """Return the patches of a client class and its pipeline class."""
        patches = [
            Patch("redis command", client, "execute_command", self.command),
            Patch("redis pipeline", pipeline, "execute", self.pipeline),
        ]
        # What a pipeline runs at once (WATCH and what follows it). The cluster's has none, or one that only raises.
        if issubclass(pipeline, client) and "Cluster" not in pipeline.__name__:
            patches.append(Patch("redis command", pipeline, "immediate_execute_command", self.command))
        return patches

    def command(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Begin the span of one command."""
        if len(args) < 2 or is_suppressed(_INSIDE):
            return None
        name, rest = split(args[1:])
        return self._begin(args[0], name, text(name, rest), [(name, rest)])

    def pipeline(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Begin the span of a pipeline or transaction; an empty one talks to nobody."""
        pipe = args[0]
        commands = [split(command) for command in _queued(pipe)]
        if not (commands or getattr(pipe, "watching", False)) or is_suppressed(_INSIDE):
            return None
        names = {name for name, _ in commands}
        operation = " ".join(["MULTI" if _is_transaction(pipe) else "PIPELINE", *(names if len(names) == 1 else ())])
        texts = list(dict.fromkeys(text(*command) for command in commands[:_MAX_COMMANDS]))
        if len(commands) > _MAX_COMMANDS:
            texts.append("...")
        # A single operation is no batch, say the conventions.
        size = {} if len(commands) == 1 else {"db.operation.batch.size": len(commands)}
        return self._begin(pipe, operation, "; ".join(texts), commands, size)

    def _begin(
        self,
        client: Any,
        operation: str,
        query: str,
        commands: list[tuple[str, Command]],
        more: dict[str, Any] | None = None,
    ) -> Finish:
        attributes: dict[str, Any] = {
            "db.system.name": "redis",
            "db.operation.name": operation,
            **_where(client),
            **(more or {}),
        }
        if query:
            attributes["db.query.text"] = query
        if self._old_names:
            attributes.update(_old_names(attributes))
        call = Call(self._tracer, operation, attributes, suppress=_INSIDE)

        def finish(result: Any, error: BaseException | None) -> None:
            message = None
            try:
                if error is not None:
                    code, message = told(error, commands)
                    if code:
                        call.span.set_attribute("db.response.status_code", code)
                elif operation in READS:
                    call.span.set_attribute("db.response.returned_rows", 0 if _is_miss(result) else 1)
            finally:
                call.end(error, message)

        return finish


def _queued(pipe: Any) -> list[Command]:
    """Return the commands of a pipeline: pairs of arguments and options, or a cluster's objects."""
    # redis-py 6 moved a cluster's commands into a strategy.
    place = getattr(pipe, "_execution_strategy", pipe)
    for name in ("_command_queue", "_command_stack", "command_stack"):
        queue = getattr(place, name, None)
        if queue is not None:
            return [entry[0] if isinstance(entry, tuple) else entry.args for entry in queue]
    return []


def _is_transaction(pipe: Any) -> bool:
    if type(getattr(pipe, "_execution_strategy", None)).__name__ == "TransactionStrategy":
        return True
    flags = (getattr(pipe, name, False) for name in ("transaction", "is_transaction", "explicit_transaction"))
    # A cluster's `transaction` is a method.
    return any(flag and not callable(flag) for flag in flags)


def _is_miss(result: object) -> bool:
    # By type: an object that a callback of the program's made may not like to be asked whether it is empty.
    return result is None or (type(result) in (dict, list, set) and not result)


def _where(client: Any) -> dict[str, Any]:
    """Return the database and the server; a cluster's or a Sentinel's server is not known before the call."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return {"db.namespace": "0"}  # a cluster has no other
    given = getattr(pool, "connection_kwargs", None) or {}
    where: dict[str, Any] = {"db.namespace": str(given.get("db") or 0)}
    if "path" in given:
        where["server.address"] = str(given["path"])
    elif not hasattr(pool, "sentinel_manager") and hasattr(pool, "connection_kwargs"):
        # The defaults are those of the library's Connection.
        where["server.address"] = str(given.get("host") or "localhost")
        where["server.port"] = int(given.get("port") or 6379)
    return where


def _old_names(attributes: dict[str, Any]) -> dict[str, Any]:
    old: dict[str, Any] = {"db.system": "redis", "db.redis.database_index": int(attributes["db.namespace"])}
    pairs = {"db.statement": "db.query.text", "net.peer.name": "server.address", "net.peer.port": "server.port"}
    return old | {name: attributes[new] for name, new in pairs.items() if new in attributes}

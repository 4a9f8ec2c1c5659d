"""Which server answered a call whose client knows many: a cluster's node, or the one that Sentinel names.

It is not known before the call. Underway the library asks one node after another (MOVED, retries) or several
at once (DBSIZE, pipelines); only if there was one that answered is it the server of the call.
Nothing here is needed for a span, so what a version of the library does not have is left out.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from otel_run.patching.wrap import DoesNotFit, Patch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from otel_run.patching.wrap import Begin, Finish

    Address = tuple[Any, Any]


class Nodes:
    """The nodes that one call has been in touch with; listens from `begin` to `end`."""

    __slots__ = ("_around", "_is_pipeline", "answered", "asked")

    def __init__(self, is_pipeline: bool = False) -> None:
        self._is_pipeline = is_pipeline
        self.asked: list[Address] = []
        self.answered: list[Address] = []

    def begin(self) -> Nodes:
        """Listen from now on."""
        self._around = _listening.get()
        _listening.set(self)
        return self

    def end(self) -> None:
        """Let whoever listened before listen again."""
        # Not by a token: it would raise where a generator or a task is ended in another context.
        _listening.set(self._around)

    def answer(self) -> Address | None:
        """Return the one that answered; of a pipeline only if no other was asked, since each may have had a part."""
        nodes = set(self.asked if self._is_pipeline else self.answered or self.asked)
        return nodes.pop() if len(nodes) == 1 else None


# Tasks of asyncio take it along, so what a cluster asks at the same time is told to the same call.
_listening: ContextVar[Nodes | None] = ContextVar("otel_run.redis.nodes", default=None)


def patches(unit: str, cluster: ModuleType | None, sentinel: ModuleType | None) -> Iterator[Patch]:
    """Return the patches for the modules of either style, None where a version has none."""
    places: list[tuple[Any, str, Begin, str]] = []
    if cluster is not None:
        places += [
            (cluster.RedisCluster, "_execute_command", _attempt, "target_node"),
            # Sync clusters ask for a node's client, those of asyncio for a connection to it.
            (cluster.RedisCluster, "get_redis_connection", _node, "node"),
            (cluster.ClusterNode, "acquire_connection", _asked, ""),
            (cluster.NodesManager, "initialize", _unheard, ""),
        ]
    if cluster is not None and hasattr(cluster, "TransactionStrategy"):
        # Keeps its connection from WATCH to EXEC.
        places.append((cluster.TransactionStrategy, "_get_client_and_connection_for_transaction", _held, ""))
    if sentinel is not None:
        places += [
            (sentinel.SentinelConnectionPool, "get_connection", _connection, ""),
            # In asyncio the one above may be no coroutine function, and so give no connection yet.
            (sentinel.SentinelConnectionPool, "ensure_connection", _ensured, "connection"),
            (sentinel.SentinelManagedConnection, "connect_to", _connected, "address"),
        ]
    for owner, name, begin, takes in places:
        try:
            yield Patch(unit, owner, name, begin, takes)
        except DoesNotFit:
            continue


def _attempt(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    """Listen to one node's part of a command, with the redirections in it."""
    call = _listening.get()
    if call is None:
        return None
    attempt = Nodes().begin()

    def finish(_result: Any, error: BaseException | None) -> None:
        attempt.end()
        call.asked += attempt.asked
        if error is None:
            call.answered += attempt.asked[-1:]

    return finish


def _node(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _heard(args[1] if len(args) > 1 else kwargs.get("node"))


def _asked(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    _heard(args[0])


def _held(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    if _listening.get() is None:
        return None
    return lambda found, _error: _heard(found[1]) if found else None


def _heard(node: Any) -> None:
    call = _listening.get()
    if call is not None:
        call.asked.append((getattr(node, "host", None), getattr(node, "port", None)))


def _unheard(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    """Do not listen while the cluster asks any node for its slots."""
    call = _listening.get()
    if call is None:
        return None
    _listening.set(None)

    def finish(_result: Any, _error: BaseException | None) -> None:
        _listening.set(call)

    return finish


def _connection(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    """See which server a connection from Sentinel's pool goes to."""
    call = _listening.get()
    return None if call is None else lambda connection, _error: _is_at(call, connection)


def _ensured(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
    call = _listening.get()
    connection = args[1] if len(args) > 1 else kwargs.get("connection")
    return None if call is None else lambda _result, _error: _is_at(call, connection)


def _connected(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
    """See where a connection goes that has been lost underway."""
    call = _listening.get()
    return None if call is None else lambda _result, _error: _is_at(call, args[0])


def _is_at(call: Nodes, connection: Any) -> None:
    if getattr(connection, "host", None):
        call.asked = [(connection.host, getattr(connection, "port", None))]

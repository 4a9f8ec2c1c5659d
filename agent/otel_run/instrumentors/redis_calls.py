"""The spans of redis-py's calls: what a call is, where it goes, and how it ended."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from otel_run import settings
from otel_run.instrumentors.redis_nodes import Nodes
from otel_run.masking.redis import text, text_of_pipeline
from otel_run.masking.redis_commands import READS, STORED, split, text_of
from otel_run.masking.redis_error import told
from otel_run.tracing.call import Call, is_suppressed
from otel_run.tracing.entering import now
from otel_run.tracing.tracer import is_dropped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from otel_run.masking.redis_commands import Command
    from otel_run.patching.wrap import Finish

    Commands = Sequence[tuple[str, Command]]

# Set while a span of ours is open: scripts that a pipeline loads, the masters that Sentinel is asked for and
# the slots of a cluster belong to the call that needs them. Not EVERYTHING, which would also hide the HTTP
# request of a credential provider.
_INSIDE = "otel_run.redis"


class Observer:
    """Starts the span of a call; the call itself ends it."""

    def __init__(self, tracer: Tracer) -> None:
        current = settings.current()
        self.tracer = tracer
        self.old_names = "database/dup" in current.semconv_opt_in
        self.masks_keys = current.redis_keys == "mask"
        self.masks_errors = current.masks()
        # Classes of which a script is only queued.
        self.pipelines: tuple[type, ...] = ()

    def command(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Begin the span of one command."""
        around = now()
        if is_dropped(self.tracer, around) or len(args) < 2 or is_suppressed(_INSIDE, around):
            return None
        name, rest = command = split(args[1:])
        return self._begin(args[0], around, name, text(name, rest, self.masks_keys), (command,))

    def script(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finish | None:
        """Begin the span of a registered script, which also loads it where the server has lost it."""
        around = now()
        if is_dropped(self.tracer, around) or is_suppressed(_INSIDE, around):
            return None
        given = dict(zip(("script", "keys", "args", "client"), args, strict=False)) | kwargs
        script, client = args[0], given.get("client")
        if client is None:
            client = script.registered_client
        if isinstance(client, self.pipelines):
            return None
        # What can be read only once is the library's.
        keys, values = (part if isinstance(part, (list, tuple)) else () for part in map(given.get, ("keys", "args")))
        command: Command = (script.sha, len(keys), *keys, *values)
        query = text("EVALSHA", command, self.masks_keys)
        return self._begin(client, around, "EVALSHA", query, (("EVALSHA", command),))

    def pipeline(self, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Finish | None:
        """Begin the span of a pipeline or transaction; an empty one talks to nobody."""
        around = now()
        if is_dropped(self.tracer, around) or is_suppressed(_INSIDE, around):
            return None
        pipe = args[0]
        commands = [split(command) for command in _queued(pipe)]
        if not (commands or getattr(pipe, "watching", False)):
            return None
        names = {name for name, _ in commands}
        operation = " ".join(["MULTI" if _is_transaction(pipe) else "PIPELINE", *(names if len(names) == 1 else ())])
        # A single operation is no batch, say the conventions.
        size = {} if len(commands) == 1 else {"db.operation.batch.size": len(commands)}
        return self._begin(pipe, around, operation, text_of_pipeline(commands, self.masks_keys), commands, size)

    def _begin(
        self,
        client: Any,
        around: Context,
        operation: str,
        query: str,
        commands: Commands,
        more: dict[str, Any] | None = None,
    ) -> Finish:
        found, is_known = _target_of(client)
        attributes: dict[str, Any] = {**found, "db.operation.name": operation}
        if more:
            attributes.update(more)
        if query:
            attributes["db.query.text"] = query
        if operation in STORED and commands[0][1]:
            attributes["db.stored_procedure.name"] = text_of(commands[0][1][0])
        if self.old_names:
            attributes.update(_old_names(attributes))
        call = _RedisCall(self.tracer, operation, attributes, _INSIDE, parent=around)
        call.observer, call.operation, call.commands = self, operation, commands
        call.nodes = None if is_known else Nodes(more is not None).begin()
        return call


class _RedisCall(Call):
    """A call of redis-py's, which is also what ends it."""

    __slots__ = ("commands", "nodes", "observer", "operation")

    commands: Commands
    nodes: Nodes | None
    observer: Observer
    operation: str

    def __call__(self, result: Any, error: BaseException | None) -> None:
        """End the span, with what came of the call."""
        message = None
        try:
            if self.nodes is not None:
                self._tell_server(self.nodes)
            if error is not None:
                message = self._tell_error(error)
            elif self.operation in READS:
                self.span.set_attribute("db.response.returned_rows", 0 if _is_miss(result) else 1)
        finally:
            # We are in the context that a connection keeps which was opened underway; the program's values are not.
            self.commands, self.nodes = (), None
            self.end(error, message)

    def _tell_server(self, nodes: Nodes) -> None:
        nodes.end()
        found = nodes.answer() if self.span.is_recording() else None
        if found is not None:
            server = {"server.address": found[0], "server.port": found[1]}
            if self.observer.old_names:
                server |= _old_names(server)
            self.span.set_attributes({name: value for name, value in server.items() if value is not None})

    def _tell_error(self, error: BaseException) -> str | None:
        if not self.span.is_recording():
            return None
        code, message = told(error, self.commands, self.observer.masks_keys)
        if code:
            self.span.set_attribute("db.response.status_code", code)
        return message if self.observer.masks_errors else str(error)


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


def _target_of(client: Any) -> tuple[dict[str, Any], bool]:
    """Return the attributes of the database and the server, and whether the server is known before the call."""
    pool = getattr(client, "connection_pool", None)
    given = getattr(pool, "connection_kwargs", None)
    if given is None:
        return _target("0"), False  # a cluster has no other
    place: tuple[Any, ...] = (given.get("db") or 0,)
    is_known = not hasattr(pool, "sentinel_manager")
    if is_known:
        place += (given["path"],) if "path" in given else (None, given.get("host"), given.get("port"), True)
    try:
        return _target(*place), is_known
    except TypeError:
        # A host of the program's own kind, which has no hash.
        return _target.__wrapped__(*place), is_known


# A pool may be told to go elsewhere at any time, so what is remembered is not its server but the answer.
# By type, since what is equal need not read alike: a host that is a member of an Enum, and a plain one.
@functools.lru_cache(maxsize=256, typed=True)
def _target(
    namespace: object, path: object = None, host: object = None, port: Any = None, is_host: bool = False
) -> dict[str, Any]:
    target: dict[str, Any] = {"db.system.name": "redis", "db.namespace": str(namespace)}
    if path is not None:
        locate({"path": path}, target)
    elif is_host:
        locate({"host": host, "port": port}, target)
    return target


def locate(given: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Add the server that a pool's connections, made with the `given` arguments, go to."""
    if "path" in given:
        attributes["server.address"] = str(given["path"])
    else:
        # The defaults are those of the library's Connection.
        attributes["server.address"] = str(given.get("host") or "localhost")
        attributes["server.port"] = int(given.get("port") or 6379)


def _old_names(attributes: dict[str, Any]) -> dict[str, Any]:
    old: dict[str, Any] = {"db.system": "redis"}
    if "db.namespace" in attributes:
        old["db.redis.database_index"] = int(attributes["db.namespace"])
    pairs = {"db.statement": "db.query.text", "net.peer.name": "server.address", "net.peer.port": "server.port"}
    return old | {name: attributes[new] for name, new in pairs.items() if new in attributes}

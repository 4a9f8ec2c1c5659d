"""Redis' commands as text without values: which arguments are names, and what may be told of an error.

Commands and the names of keys and hash fields are told, values never: an argument is shown only if the table
below says that it is a name. Convention: OpenTelemetry semantic conventions, "Redis", `db.query.text`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Command = Sequence[object]

# Which arguments are names. `k` is a name, `v` a value, `n` the number of names that follow it; brackets
# stand around what repeats. Whatever is not in the table has no names: better a `?` too many.
_LAYOUTS = {
    "k(v)": """APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST
        GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HGETALL HKEYS
        HLEN HRANDFIELD HSCAN HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX LRANGE LREM
        LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PSETEX PTTL PUBLISH RESTORE RPOP RPUSH RPUSHX
        SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER SMEMBERS SMISMEMBER SORT SORT_RO SPOP SPUBLISH
        SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE
        XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE
        ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE
        ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE JSON.GET JSON.SET JSON.DEL JSON.TYPE TS.ADD TS.GET
        BF.ADD BF.EXISTS CF.ADD CF.EXISTS OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT MEMORY|USAGE
        XINFO|STREAM XINFO|GROUPS XINFO|CONSUMERS XGROUP|CREATE XGROUP|DESTROY XGROUP|SETID XGROUP|CREATECONSUMER
        XGROUP|DELCONSUMER""",
    "(k)": """DEL EXISTS TOUCH UNLINK MGET WATCH SDIFF SINTER SUNION SDIFFSTORE SINTERSTORE SUNIONSTORE PFCOUNT
        PFMERGE RENAME RENAMENX RPOPLPUSH HGET HMGET HDEL HEXISTS HSTRLEN""",
    "(k)v": "BLPOP BRPOP BZPOPMIN BZPOPMAX BRPOPLPUSH",
    "(kv)": "MSET MSETNX",
    "k(kv)": "HSET HMSET HSETNX HINCRBY HINCRBYFLOAT",
    "kk(v)": "LCS LMOVE BLMOVE SMOVE COPY GEOSEARCHSTORE ZRANGESTORE",
    "v(k)": "BITOP",
    "n(v)": "ZUNION ZINTER ZDIFF SINTERCARD ZINTERCARD LMPOP ZMPOP",
    "kn(v)": "ZUNIONSTORE ZINTERSTORE ZDIFFSTORE",
    "vn(v)": "EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO BLMPOP BZMPOP",
}
_LAYOUT_OF = {name.replace("|", " "): layout for layout, names in _LAYOUTS.items() for name in names.split()}

# Commands whose second word is part of their name.
_CONTAINERS = frozenset(
    {
        "ACL",
        "CLIENT",
        "CLUSTER",
        "COMMAND",
        "CONFIG",
        "DEBUG",
        "FUNCTION",
        "LATENCY",
        "MEMORY",
        "MODULE",
        "OBJECT",
        "PUBSUB",
        "SCRIPT",
        "SLOWLOG",
        "XGROUP",
        "XINFO",
    }
)
# Their errors are written by the user's script, with any value in them.
_SCRIPTS = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
# Reads of one key: nil, or an empty collection, is a miss.
READS = frozenset(
    {
        "GET",
        "GETEX",
        "GETDEL",
        "HGET",
        "LINDEX",
        "ZSCORE",
        "ZRANK",
        "ZREVRANK",
        "DUMP",
        "JSON.GET",
        "HGETALL",
        "SMEMBERS",
    }
)

# What redis-py before 8, which has no status_code, makes of the codes that it takes away.
_CODES = {
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ExecAbortError": "EXECABORT",
    "ReadOnlyError": "READONLY",
    "NoPermissionError": "NOPERM",
    "AskError": "ASK",
    "MovedError": "MOVED",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "MasterDownError": "MASTERDOWN",
}
_LEFT_CODES = frozenset(
    {
        "WRONGTYPE",
        "BUSY",
        "BUSYGROUP",
        "BUSYKEY",
        "MISCONF",
        "NOGROUP",
        "NOREPLICAS",
        "NOPROTO",
        "NOTBUSY",
        "UNKILLABLE",
        "NOQUORUM",
        "INPROG",
    }
)

_MAX_ARGUMENTS, _MAX_NAME = 64, 256
_NAME = re.compile(r"[A-Z][A-Z0-9._-]{0,31}( [A-Z][A-Z0-9._-]{0,31})?")
_TUPLE = re.compile(r"""\((["'])(.*)\1,\)""", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'?|\"[^\"]*\"?|`[^`]*`?")


def split(command: Command) -> tuple[str, Command]:
    """Return the name in capitals and the arguments, however the program gave them."""
    given = command[0]
    if type(given) is str and given in _LAYOUT_OF:
        return given, command[1:]
    # The library splits the first one at its spaces, so values may be in it: execute_command("SET key value").
    first = _text_of(given).split()
    words: list[object] = [*first, *command[1:]] if first else ["", *command[1:]]
    name = _text_of(words[0]).upper()
    count = 1
    if name in _CONTAINERS and len(words) > 1:
        name, count = f"{name} {_text_of(words[1]).upper()}", 2
    # What is no command's name may be anything.
    return (name, words[count:]) if _NAME.fullmatch(name) else ("_OTHER", words[count:])


def text(name: str, arguments: Command) -> str:
    """Return the command with its keys and a `?` for each value."""
    shown = [name]
    for is_name, argument in islice(zip(_are_names(name, arguments), arguments, strict=True), _MAX_ARGUMENTS):
        shown.append(_shortened(_text_of(argument)) if is_name else "?")
    if len(arguments) > _MAX_ARGUMENTS:
        shown.append("...")
    return " ".join(shown)


def told(error: BaseException, commands: Iterable[tuple[str, Command]]) -> tuple[str, str | None]:
    """Return the server's error code ("" if it was not the server) and what may be told of the message."""
    if type(error).__module__.partition(".")[0] != "redis":
        return "", None
    message = str(error).rpartition(" of pipeline caused error: ")[2]
    if inner := _TUPLE.fullmatch(message):
        message = inner[2]  # what asyncio's pipeline makes of it
    if not any(cls.__name__ == "ResponseError" for cls in type(error).__mro__):
        # The connection's or the library's own words; only a quoted part can be the program's.
        return "", _QUOTED.sub("?", message)
    code = _code(error, message)
    message = _QUOTED.sub("?", message)
    is_safe = all(name not in _SCRIPTS and not _holds_value(message, name, rest) for name, rest in commands)
    return code, message if is_safe else code or None


def _code(error: BaseException, message: str) -> str:
    # The library takes the codes that it knows away from the message, ERR above all, and leaves the others.
    code = getattr(error, "status_code", None) or _CODES.get(type(error).__name__, "")
    first = message.partition(" ")[0]
    if code:
        return str(code)
    # Any other word in capitals may be one of a sentence ("DB index is out of range") or of a user's script.
    return first if first in _LEFT_CODES else "" if first.isupper() else "ERR"


def _are_names(name: str, arguments: Command) -> Sequence[bool]:
    if name in ("XREAD", "XREADGROUP"):
        return _are_streams(arguments)
    layout = _LAYOUT_OF.get(name)
    if layout is None:
        return [False] * len(arguments)
    at = layout.find("n")
    names = min(_number(arguments[at]), len(arguments)) if 0 <= at < len(arguments) else 0
    return _marks(layout, names, len(arguments))


@lru_cache(1024)
def _marks(layout: str, names: int, count: int) -> tuple[bool, ...]:
    """Lay `layout` over `count` arguments, with `names` names behind its `n`."""
    head, _, rest = layout.partition("(")
    repeated, _, tail = rest.partition(")")
    before = head.replace("n", "v" + "k" * names)
    middle = max(0, count - len(before) - len(tail))
    laid = before + (repeated * middle)[:middle] + tail
    return tuple(mark == "k" for mark in laid[:count])


def _are_streams(arguments: Command) -> list[bool]:
    """XREAD ... STREAMS key key id id: the first half of what follows the word."""
    words = [_text_of(argument).upper() for argument in arguments]
    start = words.index("STREAMS") + 1 if "STREAMS" in words else len(words)
    half = (len(words) - start) // 2
    return [start <= index < start + half for index in range(len(words))]


def _holds_value(message: str, name: str, arguments: Command) -> bool:
    """Tell whether a masked argument stands in `message`; however short, since being wrong costs only words."""
    marks = zip(_are_names(name, arguments), arguments, strict=True)
    return any((value := _text_of(argument)) and value in message for is_name, argument in marks if not is_name)


def _number(argument: object) -> int:
    digits = _text_of(argument)
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _text_of(argument: object) -> str:
    if isinstance(argument, (bytes, bytearray, memoryview)):
        return bytes(argument).decode("utf-8", "replace")
    return argument if isinstance(argument, str) else str(argument)


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "..."

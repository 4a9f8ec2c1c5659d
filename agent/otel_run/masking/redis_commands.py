"""Redis' commands: what they are called, and which of their arguments are names.

An argument is shown only if the table below says that it is a name, or a word or number that tells where the
names are. Whatever is not in the table has no names: better a `?` too many.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Command = Sequence[object]

# `k` is a name, `v` a value, `n` the number of names that follow it; brackets stand around what repeats.
_LAYOUTS = {
    "k(v)": """APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DELEX DIGEST DUMP EXPIRE EXPIREAT EXPIRETIME
        GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET
        HEXPIRE HEXPIREAT HEXPIRETIME HGETALL HGETDEL HGETEX HKEYS HLEN HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME
        HPTTL HRANDFIELD HSCAN HSETEX HTTL HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX
        LRANGE LREM LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PSETEX PTTL PUBLISH RESTORE RPOP
        RPUSH RPUSHX SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER SMEMBERS SMISMEMBER SORT SORT_RO SPOP
        SPUBLISH SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE
        XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE
        ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE
        ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
        JSON.GET JSON.SET JSON.DEL JSON.TYPE JSON.MERGE JSON.NUMINCRBY JSON.ARRAPPEND JSON.ARRLEN JSON.OBJKEYS
        JSON.STRLEN JSON.CLEAR TS.ADD TS.GET TS.RANGE TS.CREATE BF.ADD BF.EXISTS BF.RESERVE CF.ADD CF.EXISTS
        VADD VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER VREM VSETATTR VSIM
        OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME OBJECT|REFCOUNT MEMORY|USAGE
        XINFO|STREAM XINFO|GROUPS XINFO|CONSUMERS XGROUP|CREATE XGROUP|DESTROY XGROUP|SETID XGROUP|CREATECONSUMER
        XGROUP|DELCONSUMER HIMPORT|SET SENTINEL|MASTER SENTINEL|GET-MASTER-ADDR-BY-NAME""",
    "(k)": """DEL EXISTS TOUCH UNLINK MGET WATCH SDIFF SINTER SUNION SDIFFSTORE SINTERSTORE SUNIONSTORE PFCOUNT
        PFMERGE RENAME RENAMENX RPOPLPUSH HGET HMGET HDEL HEXISTS HSTRLEN
        SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUNSUBSCRIBE""",
    "(k)v": "BLPOP BRPOP BZPOPMIN BZPOPMAX BRPOPLPUSH",
    "(kv)": "MSET MSETNX",
    "n(kv)": "MSETEX",
    "k(kv)": "HSET HMSET HSETNX HINCRBY HINCRBYFLOAT",
    "kk(v)": "LCS LMOVE BLMOVE SMOVE COPY GEOSEARCHSTORE ZRANGESTORE",
    "v(k)": "BITOP",
    "n(v)": "ZUNION ZINTER ZDIFF SINTERCARD ZINTERCARD LMPOP ZMPOP",
    "kn(v)": "ZUNIONSTORE ZINTERSTORE ZDIFFSTORE",
    "vn(v)": "EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO BLMPOP BZMPOP",
}
LAYOUT_OF = {name.replace("|", " "): layout for layout, names in _LAYOUTS.items() for name in names.split()}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Commands whose second word is part of their name.
CONTAINERS = _set("""ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION HIMPORT LATENCY MEMORY MODULE OBJECT PUBSUB
    SCRIPT SENTINEL SLOWLOG XGROUP XINFO""")
# What a text may go on with behind a separator, besides.
_NAMELESS = """ASKING AUTH BGREWRITEAOF BGSAVE DBSIZE DISCARD ECHO EXEC FAILOVER FLUSHALL FLUSHDB GEOSEARCH HELLO INFO
    KEYS LASTSAVE LOLWUT MIGRATE MONITOR MULTI PING QUIT RANDOMKEY READONLY READWRITE REPLICAOF RESET ROLE SAVE SCAN
    SELECT SHUTDOWN SLAVEOF SWAPDB SYNC PSYNC TIME UNWATCH WAIT WAITAOF XREAD XREADGROUP"""
OTHER = "_OTHER"
KNOWN = frozenset(LAYOUT_OF) | CONTAINERS | _set(_NAMELESS) | {OTHER}

# Reads of one key: nil, or an empty collection, is a miss. Not where nothing may also be the answer of a key
# that is there: a range outside of a list or a string.
READS = _set("GET GETEX GETDEL HGET LINDEX ZSCORE ZRANK ZREVRANK DUMP JSON.GET HGETALL SMEMBERS")
# Programs of the user's on the server, which write errors with any value in them.
SCRIPTS = _set("EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO")
# Of those, what has its first argument for a name, a digest or one of the user's.
STORED = _set("EVALSHA EVALSHA_RO FCALL FCALL_RO")

_WORD = re.compile(r"[A-Z][A-Z0-9._-]{0,31}")
_LONGEST_NUMBER = 6


def split(command: Command) -> tuple[str, Command]:
    """Return the name in capitals and the arguments, however the program gave them."""
    given = command[0]
    if type(given) is str and given in LAYOUT_OF:
        return given, command[1:]
    # The library splits the first one at its spaces, so values may be in it: execute_command("SET key value").
    first = text_of(given).split()
    words: list[object] = [*first, *command[1:]] if first else ["", *command[1:]]
    name = text_of(words[0]).upper()
    if name in CONTAINERS and len(words) > 1 and is_name(second := text_of(words[1]).upper()):
        return f"{name} {second}", words[2:]
    # What is no command's name may be anything.
    return (name if is_name(name) else OTHER), words[1:]


def is_name(word: str) -> bool:
    """Tell whether a command, or the second word of one, may be called `word`."""
    return _WORD.fullmatch(word) is not None


def marks(name: str, arguments: Command) -> str:
    """Return a letter for each argument: as in the table, or `w` for a word that tells where names are."""
    if name in ("XREAD", "XREADGROUP"):
        return _marks_of_streams(arguments)
    layout = LAYOUT_OF.get(name)
    if layout is None:
        return "v" * len(arguments)
    at = layout.find("n")
    names = min(number(arguments[at]), len(arguments)) if 0 <= at < len(arguments) else 0
    return _lay(layout, names, len(arguments))


def number(argument: object) -> int:
    """Return the number of names that `argument` says, 0 if it says none."""
    digits = text_of(argument)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER else 0


def text_of(argument: object) -> str:
    """Return an argument as the server will read it."""
    if isinstance(argument, (bytes, bytearray, memoryview)):
        return bytes(argument).decode("utf-8", "replace")
    return argument if isinstance(argument, str) else str(argument)


@lru_cache(1024)
def _lay(layout: str, names: int, count: int) -> str:
    """Lay `layout` over `count` arguments, with `names` names behind its `n`."""
    head, _, rest = layout.partition("(")
    repeated, _, tail = rest.partition(")")
    if head == "n" and repeated == "kv":  # the number is of pairs
        laid = "n" + "kv" * names
    else:
        before = head.replace("n", "n" + "k" * names)
        middle = max(0, count - len(before) - len(tail))
        laid = before + (repeated * middle)[:middle] + tail
    return laid[:count].ljust(count, "v")


def _marks_of_streams(arguments: Command) -> str:
    """XREAD ... STREAMS key key id id: the first half of what follows the word."""
    words = [text_of(argument).upper() for argument in arguments]
    if "STREAMS" not in words:
        return "v" * len(words)
    start = words.index("STREAMS") + 1
    names = (len(words) - start) // 2
    return ("v" * (start - 1) + "w" + "k" * names).ljust(len(words), "v")

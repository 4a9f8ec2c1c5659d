"""What may be told of an error of Redis or redis-py: its code, and its message without the values in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_run.masking.redis_commands import SCRIPTS, marks, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_run.masking.redis_commands import Command

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

_TUPLE = re.compile(r"""\((["'])(.*)\1,\)""", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'?|\"[^\"]*\"?|`[^`]*`?")


def told(
    error: BaseException, commands: Iterable[tuple[str, Command]], masks_keys: bool = False
) -> tuple[str, str | None]:
    """Return the server's error code ("" if it was not the server) and what may be told of the message."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if type(error).__module__.partition(".")[0] != "redis":
        return "", None
    message = str(error).rpartition(" of pipeline caused error: ")[2]
    if inner := _TUPLE.fullmatch(message):
        message = inner[2]  # what asyncio's pipeline makes of it
    code = _code(error, message) if "ResponseError" in names else ""
    message = _QUOTED.sub("?", message)
    if "ResponseError" not in names and names & {"ConnectionError", "TimeoutError"}:
        return "", message  # in the library's own words, without any of the command's
    is_safe = all(name not in SCRIPTS and not _holds_value(message, name, rest, masks_keys) for name, rest in commands)
    return code, message if is_safe else code or None


def _code(error: BaseException, message: str) -> str:
    # The library takes the codes that it knows away from the message, ERR above all, and leaves the others.
    code = getattr(error, "status_code", None) or _CODES.get(type(error).__name__, "")
    first = message.partition(" ")[0]
    if code:
        return str(code)
    # Any other word in capitals may be one of a sentence ("DB index is out of range") or of a user's script.
    return first if first in _LEFT_CODES else "" if first.isupper() else "ERR"


def _holds_value(message: str, name: str, arguments: Command, masks_keys: bool) -> bool:
    """Tell whether a masked argument stands in `message`; however short, since being wrong costs only words."""
    for mark, argument in zip(marks(name, arguments), arguments, strict=True):
        if (mark != "k" or masks_keys) and (value := text_of(argument)) and value in message:
            return True
    return False

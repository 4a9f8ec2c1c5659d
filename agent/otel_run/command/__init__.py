"""What a person types: `otel-run [flags] PROGRAM [ARGS…]`, and a few commands of our own.

Runs before the program, so it may fail loudly. It costs one start of a bare interpreter: everything that
a plain run does not need is imported where it is needed.
"""

from __future__ import annotations

import os
import sys

from otel_run.command.flags import Usage, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# word -> module of this package, with a `main(arguments) -> status`
COMMANDS = {"path": "path", "demo": "demo", "send": "send", "view": "view"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its status, or never, if it becomes a program."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] in COMMANDS:
            return _own(given[0], given[1:])
        wish = read(given)
        if wish.answer is not None:
            print(wish.answer)
            return 0
        from otel_run.command.run import become

        return become(wish)
    except Usage as mistake:
        return fail(str(mistake), mistake.status, mistake.hint)


def _own(word: str, arguments: list[str]) -> int:
    name = f"otel_run.command.{COMMANDS[word]}"
    __import__(name)
    status: int = sys.modules[name].main(arguments)
    return status


def fail(message: str, status: int, hint: str = "") -> int:
    """Say what is wrong in one sentence, with a hint below it; return the status."""
    lines = f"otel-run: {message}{os.linesep}" + (f"hint: {hint}{os.linesep}" if hint else "")
    try:
        sys.stderr.write(lines)
    except (AttributeError, OSError):
        pass  # closed, or full: the status still tells
    return status

"""What was patched, skipped, refused, dropped, and why; and our few lines to stderr.

Everything the agent decides is noted here, so that one command can explain it. A line is printed
only when something is not well, and once for each change of state.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

debug = False
quiet = False

# (subject, state, why), in order: ("redis", "patched", "otel-run, on import of redis"). A receiver may go
# and come for months, so only the last ones are kept.
MOST_NOTES = 1000
notes: list[tuple[str, str, str]] = []

# What a stderr may raise: one that is closed or full, one in whose line a signal has come, one of the program's own
# making that has not even a `flush`.
_BROKEN = (OSError, ValueError, RuntimeError, AttributeError, TypeError)

# unit -> how many errors of it were contained.
contained_errors: dict[str, int] = {}


def note(subject: str, state: str, why: str = "") -> None:
    """Keep one decision; print it only under OTEL_RUN_DEBUG."""
    _keep(subject, state, why)
    if debug:
        say(f"{subject}: {state}{' (' + why + ')' if why else ''}")


def warn(subject: str, state: str, why: str) -> None:
    """Keep one decision that the user will want to know of, and print it."""
    _keep(subject, state, why)
    say(f"{subject}: {state}: {why}")


def _keep(subject: str, state: str, why: str) -> None:
    notes.append((subject, state, why))
    if len(notes) > MOST_NOTES:
        del notes[0]


def say(line: str) -> None:
    """Write one line of ours to stderr; a closed, full or broken stderr is nobody's problem."""
    # sys.stderr and not file descriptor 2: a program started with stderr closed may have opened
    # its own file under that number.
    stream = sys.stderr
    if stream is None or quiet:
        return
    text = f"otel-run: {line}\n"
    # A pipe that has room has room for at least so much (POSIX, PIPE_BUF), a character takes four bytes at most.
    pieces = [text[start : start + 1000] for start in range(0, len(text), 1000)]
    try:
        for piece in pieces:
            if not _has_room(stream):
                return
            stream.write(piece)
            stream.flush()
    except _BROKEN:
        pass


def _has_room(stream: Any) -> bool:
    """Tell whether it takes a line without waiting for whoever reads; true where that can't be seen."""
    try:
        from otel_run import native

        return native.has_room(stream.fileno())
    except (ImportError, *_BROKEN):
        return True


def tell_error(unit: str, error: Exception) -> None:
    """Count a contained error of ours; say the first of each unit."""
    count = contained_errors[unit] = contained_errors.get(unit, 0) + 1
    if count == 1:
        # The first line: a SyntaxError or a database's error would fill the screen.
        text = next(iter(str(error).splitlines()), "")
        warn(unit, "failed", f"{type(error).__name__}: {text}; the program and everything else go on without it")
    if debug:
        import traceback

        say("".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())

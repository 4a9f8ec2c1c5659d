"""What was patched, skipped, refused, dropped, and why; and our few lines to stderr.

Everything the agent decides is noted here, so that one command can explain it. A line is printed
only when something is not well, and once for each change of state.
"""

from __future__ import annotations

import sys

debug = False
quiet = False

# (subject, state, why), in order: ("redis", "patched", "otel-run, on import of redis"). A receiver may go
# and come for months, so only the last ones are kept.
MOST_NOTES = 1000
notes: list[tuple[str, str, str]] = []

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
    """Write one line of ours to stderr; a closed or broken stderr is nobody's problem."""
    # sys.stderr and not file descriptor 2: a program started with stderr closed may have opened
    # its own file under that number.
    stream = sys.stderr
    if stream is None or quiet:
        return
    try:
        stream.write(f"otel-run: {line}\n")
        stream.flush()
    except (
        OSError,
        ValueError,
        RuntimeError,
    ):  # RuntimeError: a signal has come in the middle of the program's own line
        pass


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

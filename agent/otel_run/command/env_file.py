"""`--env-file`: lines of NAME=value, as docker and systemd read them."""

from __future__ import annotations

from otel_run.command.flags import Usage


def read(path: str) -> dict[str, str]:
    """Return the variables of a file; raise Usage with the line that can't be read.

    Blank lines and lines that begin with # are passed over, `export ` in front is allowed, and a value
    may stand in single or double quotes. Nothing is expanded.
    """
    try:
        # Notepad begins a file with a mark (BOM); only real ends of line end a line.
        with open(path, encoding="utf-8-sig") as file:
            lines = list(file)
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"--env-file {path} can't be read: {error}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        name = name.strip()
        if not equals or not name.replace("_", "a").isalnum() or name[0].isdigit() or "\0" in value:
            raise Usage(f"--env-file {path}, line {number} can't be read: {text!r}; allowed: NAME=value, # comment")
        found[name] = _unquoted(value)
    return found


def _unquoted(given: str) -> str:
    value = given.strip()
    if len(value) > 1 and value[0] in "'\"":
        quoted, closing, rest = value[1:].partition(value[0])
        if closing and (not rest or rest.lstrip().startswith("#")):
            return quoted
        if value[0] == value[-1]:
            return value[1:-1]
    # A comment behind a value is set off by a space.
    return given.partition(" #")[0].strip()

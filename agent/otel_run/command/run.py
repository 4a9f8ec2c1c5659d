"""Becoming the program: the same process, with the start-up folder first on its PYTHONPATH."""

from __future__ import annotations

import os
import sys

from otel_run.command.flags import Usage, from_anywhere
from otel_run.command.path import startup_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_run.command.flags import Wish

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as a shell has them


def become(wish: Wish) -> int:
    """Replace this process by the program. Returns only by raising Usage."""
    environment = build_environment(wish, os.environ)  # noqa: TID251 - the environment to hand on, not settings
    argv = _command(wish)
    path = _find(argv[0], environment.get("PATH", os.defpath))
    _restore_signals()
    try:
        os.execve(path, argv, environment)  # noqa: S606 - to become the program is the point
    except OSError as error:
        # ENOEXEC: a script without a #! line, which a shell would have run.
        raise Usage(
            f"{path} can't be run: {error.strerror}", "does its first line name an interpreter (#!) ?", NOT_EXECUTABLE
        ) from None


def build_environment(wish: Wish, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the program's environment: the env file, overruled by `environ`, overruled by the flags."""
    environment = dict(environ)
    _undo_coercion(environment)
    if wish.env_file is not None:
        from otel_run.command.env_file import read

        environment = {**read(wish.env_file), **environment}
    for name in wish.unset:
        environment.pop(name, None)
    environment.update(wish.set)
    if "@" in environment.get("OTEL_RUN_TRACE", ""):
        environment["OTEL_RUN_TRACE"] = from_anywhere(environment["OTEL_RUN_TRACE"])
    environment["PYTHONPATH"] = _with_startup_folder(environment.get("PYTHONPATH", ""))
    return environment


def _with_startup_folder(path: str) -> str:
    """Put our folder first. What was there keeps its order and place, empty entries (the cwd) included."""
    folder = startup_folder()
    if path.split(os.pathsep)[0] == folder:
        return path
    return folder + os.pathsep + path if path else folder


def _undo_coercion(environment: dict[str, str]) -> None:
    """Take back what this interpreter did to its own environment: LC_CTYPE, set in the C locale (PEP 538)."""
    if environment.get("LC_CTYPE") not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return
    try:
        with open("/proc/self/environ", "rb") as file:
            original = file.read()
    except OSError:
        return
    del environment["LC_CTYPE"]
    for entry in original.split(b"\0"):
        if entry.startswith(b"LC_CTYPE="):
            environment["LC_CTYPE"] = os.fsdecode(entry.partition(b"=")[2])


def _restore_signals() -> None:
    """Give the program the signals that the interpreter ignores for itself; `exec` would pass them on."""
    import _signal  # the C part; `signal` imports enum and with it half of the standard library

    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):
        number = getattr(_signal, name, None)
        if number is not None:
            _signal.signal(number, _signal.SIG_DFL)


def _command(wish: Wish) -> list[str]:
    if wish.module is not None:
        return [sys.executable, "-m", wish.module, *wish.program]
    first = wish.program[0]
    if first.endswith(".py") and os.path.isfile(first):
        return [sys.executable, *wish.program]
    return list(wish.program)


def _find(name: str, path: str) -> str:
    """Return the file that `name` stands for, as execvp would find it."""
    if os.path.dirname(name):
        places = [name]
    else:
        places = [os.path.join(folder or os.curdir, name) for folder in path.split(os.pathsep)]
    found = [place for place in places if name and os.path.exists(place)]
    for place in found:
        if os.path.isfile(place) and os.access(place, os.X_OK):
            return place
    if found:
        kind = "a folder" if os.path.isdir(found[0]) else "not executable"
        hint = f"otel-run python {name}" if os.path.isdir(found[0]) else f"chmod +x {found[0]}"
        raise Usage(f"{found[0]} is {kind}", hint, NOT_EXECUTABLE)
    if places == [name] or name.endswith(".py"):
        raise Usage(f"there is no file {name!r}", _similar_file(name), NOT_FOUND)
    raise Usage(f"there is no program {name!r} on PATH", _hint(name, path), NOT_FOUND)


def _hint(name: str, path: str) -> str:
    from otel_run.grammar import nearest

    beside = os.path.join(os.path.dirname(sys.executable), name)
    if not os.path.dirname(name) and os.access(beside, os.X_OK):
        return f"otel-run {beside}"
    names: set[str] = set()
    for folder in path.split(os.pathsep):
        try:
            names.update(os.listdir(folder or os.curdir))
        except OSError:
            continue
    meant = nearest(name, sorted(names))
    return f"did you mean {meant} ?" if meant else f"is {name} installed in this environment?"


def _similar_file(name: str) -> str:
    from otel_run.grammar import nearest

    folder = os.path.dirname(name) or os.curdir
    try:
        meant = nearest(os.path.basename(name), [file for file in os.listdir(folder) if file.endswith(".py")])
    except OSError:
        meant = None
    return f"did you mean {meant} ?" if meant else "the path is taken from the current folder"

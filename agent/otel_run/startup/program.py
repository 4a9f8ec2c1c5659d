"""What is being run: a script, a module, a console script or `-c`; told from argv, before the program starts.

Two questions hang on it: is this a tool that nobody wants traced, and (service.py) what is the service called.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Options of the interpreter that take their value from the next argument.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


class Program:
    """What an interpreter was told to run."""

    __slots__ = ("arguments", "code", "kind", "name")

    def __init__(self, kind: str, name: str, arguments: Sequence[str], code: str = "") -> None:
        # "module", "script", "code" or "stdin"
        self.kind = kind
        # The module's dotted name, or the script's path as given; empty for code and stdin.
        self.name = name
        self.arguments = list(arguments)
        # What follows -c.
        self.code = code

    @property
    def short_name(self) -> str:
        """The name that a person would call it: `pip` for `/usr/bin/pip3` and for `-m pip`."""
        name = self.name
        if self.kind == "script":
            folder, name = os.path.split(name)
            if name == "__main__.py" or not name:
                name = os.path.basename(absolute(folder))
            for ending in (".py", ".pyz", ".pyw", ".exe", ".zip"):
                name = name.removesuffix(ending)
        return name.removesuffix(".__main__")


def running(orig_argv: Sequence[str] | None = None) -> Program:
    """Return what this interpreter runs, or one with these arguments (`sys.orig_argv`) would."""
    argv = list(sys.orig_argv if orig_argv is None else orig_argv)[1:]
    while argv:
        argument = argv.pop(0)
        if argument == "-" or not argument.startswith("-"):
            return Program("stdin" if argument == "-" else "script", argument.rstrip("-"), argv)
        if argument in _WITH_VALUE:
            argv[:1] = []
        elif not argument.startswith(("--", "-W", "-X")):
            # Short options may stand together, and -c and -m take the rest: -Im pip, -mpip.
            for index, letter in enumerate(argument[1:], 2):
                if letter in "cm":
                    value = argument[index:] or (argv.pop(0) if argv else "")
                    return Program("code", "", argv, value) if letter == "c" else Program("module", value, argv)
    return Program("stdin", "", [])


def is_tool(program: Program, tools: Sequence[str]) -> bool:
    """Tell whether the program is one of the `tools` that are never traced: `-m pip`, `/usr/bin/pip3.11`."""
    name = program.short_name.lower()
    if program.kind == "module":
        return name in tools or name.partition(".")[0] in tools
    if program.kind != "script" or program.name.endswith(".py"):
        return False
    # A script of the user's may be called build, or live in a folder called site.
    folder = os.path.basename(os.path.dirname(program.name)).lower()
    if folder not in ("bin", "scripts"):
        return False
    return name in tools or name.rstrip("0123456789.") in tools


# Of multiprocessing, and of what is made like it.
_KEEPERS = ("forkserver", "resource_tracker", "semaphore_tracker")
# Of the process that the arguments are those of: a child of the fork server has the server's.
_pid = os.getpid()


def is_keeper() -> bool:
    """Tell whether this process keeps things for others, and does nothing of the program's; its children may."""
    started = running().code.split()
    return started[:1] == ["from"] and started[1].rpartition(".")[2] in _KEEPERS and _pid == os.getpid()


def is_main_interpreter() -> bool:
    """Tell whether this interpreter's end is the process's, which may have others; each of them starts an agent."""
    if sys.version_info >= (3, 12):
        import _thread

        return bool(vars(_thread)["_is_main_interpreter"]())
    else:  # noqa: RET505 - so that mypy leaves it out
        import importlib

        try:
            interpreters = importlib.import_module("_xxsubinterpreters")
        except ImportError:
            return True
        return bool(interpreters.get_current() == interpreters.get_main())


def absolute(path: str) -> str:
    """Return the absolute path, or the path if the current folder was deleted."""
    try:
        return os.path.abspath(path)
    except OSError:
        return path

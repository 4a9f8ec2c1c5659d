"""What is being run: a script, a module, a console script or `-c`; told from argv, before the program starts.

Two questions hang on it: is this a tool that nobody wants traced, and what is the service called.
"""

from __future__ import annotations

import os
import sys

from otel_run.grammar import readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Options of the interpreter that take their value from the next argument.
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
# In what multiprocessing hands to -c for its children, fork servers and trackers.
_MULTIPROCESSING = "from multiprocessing."


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
                name = os.path.basename(_absolute(folder))
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


def service_name(program: Program) -> str:
    """Derive `service.name` from what is run; the specification's `unknown_service` if nothing tells.

    `gunicorn orders.wsgi:app`, `uvicorn orders:app` and `celery -A orders worker` are called `orders`:
    the server is not what anybody looks for.
    """
    if _MULTIPROCESSING in program.code:
        # A worker of `uvicorn --workers`, of a pool: part of the program that started it.
        program = _starter() or program
    name = readable(program.short_name)
    application = _application(name.partition(".")[0], program.arguments)
    if application:
        return application
    if name == "manage" and program.kind == "script":
        # Every Django project's script; the project is the folder that holds it.
        return os.path.basename(os.path.dirname(_absolute(program.name))) or name
    return name or "unknown_service:python"


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError:  # the current folder was deleted
        return path


def _starter() -> Program | None:
    """Return the program that this multiprocessing child belongs to, where the system tells (Linux)."""
    pid = os.getppid()
    for _ in range(4):  # through a fork server, and pools in pools
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                found = running(file.read().rstrip("\0").split("\0"))
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None
        if _MULTIPROCESSING not in found.code:
            return found
    return None


def _application(server: str, arguments: Sequence[str]) -> str:
    if server in ("celery", "flask"):
        for index, argument in enumerate(arguments):
            option, equals, value = argument.partition("=")
            if option in ("-A", "--app"):
                return _first_name(value if equals else "".join(arguments[index + 1 : index + 2]))
            if argument.startswith("-A") and not argument.startswith("--"):
                return _first_name(argument[2:])
    if server in ("gunicorn", "uvicorn", "hypercorn", "granian", "waitress-serve", "daphne", "uwsgi"):
        for argument in arguments:
            module, colon, attribute = argument.partition(":")
            if colon and _is_dotted(module) and _is_dotted(attribute.partition("(")[0]):
                return _first_name(module)
        plain = [a for a in arguments if _is_dotted(a) and "." in a]
        return _first_name(plain[-1]) if plain else ""
    return ""


def _first_name(application: str) -> str:
    module = application.partition(":")[0]
    return module.removesuffix(".py").rpartition("/")[2].partition(".")[0]


def _is_dotted(text: str) -> bool:
    return bool(text) and all(part.isidentifier() for part in text.split("."))

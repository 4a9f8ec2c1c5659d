"""What a service is called if nobody has said: by what is run, seen through servers and process pools."""

from __future__ import annotations

import os

from otel_run.grammar import readable
from otel_run.startup.program import Program, absolute, running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# In what multiprocessing hands to -c for its children, fork servers and trackers.
_MULTIPROCESSING = "from multiprocessing."


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
        return os.path.basename(os.path.dirname(absolute(program.name))) or name
    return name or "unknown_service:python"


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

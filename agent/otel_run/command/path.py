"""`otel-run path`: the start-up folder, for `ENV PYTHONPATH=…` in a container's base image."""

from __future__ import annotations

import os

from otel_run.command.flags import Usage


def main(arguments: list[str]) -> int:
    """Print the folder."""
    if arguments and arguments[0] in ("--help", "-h"):
        print("Usage: otel-run path\n\nPrints the folder that traces every Python whose PYTHONPATH begins with it.")
        return 0
    if arguments:
        raise Usage(f"path takes no arguments, got {arguments[0]!r}")
    print(startup_folder())
    return 0


def startup_folder() -> str:
    """Return the folder that holds sitecustomize.py: in the package, or beside `agent/` in a checkout."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    checkout = os.path.join(os.path.dirname(os.path.dirname(package)), "sitecustomize")
    for folder in (os.path.join(package, "sitecustomize"), checkout):
        if os.path.isfile(os.path.join(folder, "sitecustomize.py")):
            return folder
    raise Usage("the start-up folder is missing: this installation is incomplete", hint="reinstall otel-run", status=1)

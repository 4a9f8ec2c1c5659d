"""Requests, in turns: all variants live at the same time and answer fifty each, so that noise harms all alike.

The order is another in each round. A variant's CPU in a round is counted from its turn to its next one, so that
what its threads do meanwhile (a batch that leaves) is its own, and is divided by what no agent has used in the
same round. There are two processes without an agent: their difference is what this machine can't tell apart.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import processes
from agents import AGENTS, BARE, MODES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agents import Agent
    from environments import Environment

TURN = 50
WARM_UP = 4  # rounds
LAST_BATCH = 6.0  # seconds: one more than the delay of a batch, by the specification
PATIENCE = 30.0  # seconds that an answer may take
BARE_AGAIN = "no agent, again"


@dataclass
class Variant:
    """An agent in one mode: its process, our connection to it, and what was seen."""

    agent: Agent
    mode: str
    name: str
    process: processes.Process
    connection: socket.socket
    sink: int
    log: Path
    requests: int = 0
    cpu: list[float] = field(default_factory=list)  # at the start of each turn, and at the end
    latencies: list[list[float]] = field(default_factory=list)  # seconds, by turn
    memory: list[float] = field(default_factory=list)  # MiB, warm and at the end

    def take_turn(self) -> None:
        """Send fifty requests, one after the other."""
        self.cpu.append(self.process.cpu())
        self.latencies.append([self._ask(self.requests + number) for number in range(TURN)])
        self.requests += TURN

    def _ask(self, number: int) -> float:
        request = b"GET /orders/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (number % 100)
        began = time.perf_counter()
        self.connection.sendall(request)
        answer = b""
        while not _is_whole(answer):
            more = self.connection.recv(65536)
            if not more:
                raise processes.Failed(f"{self.name} has hung up; see {self.log}")
            answer += more
        took = time.perf_counter() - began
        if not answer.startswith(b"HTTP/1.1 200"):
            raise processes.Failed(f"{self.name} answered {answer!r}")
        return took


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


def measure(
    environments: dict[str, Environment],
    addresses: dict[str, str],
    sinks: list[int],
    rounds: int,
    logs: Path,
    as_installed: bool = False,
) -> dict[str, Any]:
    """Return the figures of every variant, by its name; `sinks` are ports for spans, the first of them to ask."""
    ask, *ports = sinks
    with contextlib.ExitStack() as stack:
        variants = [
            stack.enter_context(
                _started(agent, mode, name, environments[agent.name], addresses, port, logs, as_installed)
            )
            for (agent, mode, name), port in zip(everybody(), ports, strict=False)
        ]
        for number in range(WARM_UP):
            _take_turns(variants, number)
        time.sleep(LAST_BATCH)
        for variant in variants:
            variant.cpu.clear()
            variant.latencies.clear()
            variant.memory.append(variant.process.memory())
        for number in range(rounds):
            _take_turns(variants, number)
        time.sleep(LAST_BATCH)
        for variant in variants:
            variant.cpu.append(variant.process.cpu())
            variant.memory.append(variant.process.memory())
    return {variant.name: _figures(variant, ask, rounds) for variant in variants}


def everybody() -> list[tuple[Agent, str, str]]:
    """Return agent, mode and name of each variant."""
    return [
        (BARE, "", BARE.name),
        (BARE, "", BARE_AGAIN),
        *((agent, mode, f"{agent.name} {mode}") for agent in AGENTS for mode in MODES),
    ]


@contextlib.contextmanager
def _started(
    agent: Agent,
    mode: str,
    name: str,
    environment: Environment,
    addresses: dict[str, str],
    sink: int,
    logs: Path,
    as_installed: bool,
) -> Iterator[Variant]:
    command = [environment.program(agent.launcher)] if agent.launcher else []
    command += [environment.python, str(processes.PROGRAMS / "application.py")]
    variables = processes.clean(**addresses, **agent.environment(mode, sink, as_installed))
    log = logs / f"{name.replace(' ', '-')}.log"
    with (
        processes.running(command, variables, log) as process,
        socket.create_connection(("127.0.0.1", process.told["port"]), PATIENCE) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Variant(agent, mode, name, process, connection, sink, log)


def _take_turns(variants: list[Variant], number: int) -> None:
    first = number * 5 % len(variants)  # 5 has no divisor in common with their number
    for variant in variants[first:] + variants[:first]:
        variant.take_turn()


def received(ask: int, sink: int) -> dict[str, Any]:
    """Return what has come to a port of the sink."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ask}/{sink}") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _figures(variant: Variant, ask: int, rounds: int) -> dict[str, Any]:
    cpu = [(after - before) / TURN for before, after in zip(variant.cpu, variant.cpu[1:], strict=False)]
    assert len(cpu) == rounds
    return {
        "agent": variant.agent.name,
        "mode": variant.mode,
        "requests": variant.requests,
        "cpu": cpu,
        # Microseconds, by turn.
        "latencies": [[round(latency * 1e6) for latency in turn] for turn in variant.latencies],
        "memory": variant.memory,
        "received": received(ask, variant.sink),
        "said": variant.log.read_text(errors="replace").splitlines()[:1],
    }

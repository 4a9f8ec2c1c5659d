"""Measure what agents cost, side by side: `python tests/bench` (Linux, a checkout, any Python that runs it).

Makes a virtual environment for each agent, starts real databases, a service and a receiver of spans on loopback,
and prints one table; raw numbers go to results.json and a plot to plot.png in the folder that `--out` names.
Nothing of it is part of the tests: a timing decides nothing here but what the table says. It takes six minutes on
two idle cores (`--quick`: two), and 500 MB for the environments, which are kept for the next time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import processes
import spans
import startup
import table
import turns
from environments import CHECKOUT, Environments, Unusable, interpreter

if TYPE_CHECKING:
    from collections.abc import Generator

    from environments import Environment

PARTS = ("requests", "startup", "spans")
RAW, TABLE, PLOT = "results.json", "table.md", "plot.png"
ROUNDS, RUNS, LOOPS = 60, 15, 5
QUICK = 4  # times fewer


def main() -> None:
    """Run what was asked for; say where the results are."""
    # A time limit of CI is as good as Ctrl-C: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wish = _read()
    for folder in (wish.out, wish.work / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        environments = Environments(wish.work, wish.python)
        agents, tools = environments.prepare()
        results: dict[str, Any] = {
            "python": wish.python,
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "when": time.strftime("%Y-%m-%d %H:%M"),
            "versions": {name: environments.versions(environment) for name, environment in agents.items()},
        }
        with contextlib.closing(_measure(wish, agents, tools)) as parts:
            for part, figures in parts:
                results[part] = figures
                _write(wish.out, results)  # each at once: the next may be interrupted
    except (Unusable, processes.Failed) as why:
        sys.exit(f"bench: {why}")
    except KeyboardInterrupt:
        sys.exit(f"bench: stopped; what was measured by then is in {wish.out}")
    print(table.render(results))
    if wish.plot:
        draw = [tools.python, str(Path(__file__).with_name("plot.py")), *(str(wish.out / name) for name in (RAW, PLOT))]
        subprocess.run(draw, check=True)
    print(f"results in {wish.out}", file=sys.stderr)


def _write(out: Path, results: dict[str, Any]) -> None:
    (out / RAW).write_text(json.dumps(results))
    (out / TABLE).write_text(table.render(results))


def _measure(
    wish: argparse.Namespace, agents: dict[str, Environment], tools: Environment
) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """Measure part after part, with everything running that the applications talk to."""
    logs = wish.work / "logs"
    with contextlib.ExitStack() as stack:
        clean = processes.clean(PYTHONPATH=str(CHECKOUT / "agent"))

        def start(name: str, *arguments: str) -> dict[str, Any]:
            command = [tools.python, str(processes.PROGRAMS / f"{name}.py"), *arguments]
            return stack.enter_context(processes.running(command, clean, logs / f"{name}.log")).told

        databases = start("databases")
        addresses = {
            "BENCH_SERVICE": start("service")["url"],
            "BENCH_POSTGRES": databases["postgres"],
            "BENCH_VALKEY": databases["valkey"],
        }
        variants = len(turns.everybody())
        ask, *ports = start("sink", str(variants + len(agents)))["ports"]
        if "requests" in wish.only:
            sinks = [ask, *ports[:variants]]
            yield "requests", turns.measure(agents, addresses, sinks, wish.rounds, logs, wish.as_installed)
        if "startup" in wish.only:
            yield "startup", startup.measure(agents, addresses, [ask, *ports[variants:]], wish.runs, logs)
        if "spans" in wish.only:
            yield "spans", spans.measure(agents, wish.loops)


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/bench", description=(__doc__ or "").partition("\n\n")[0])
    folder = Path(tempfile.gettempdir()) / "otel-run-bench"
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of fifty requests for each (%(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="start-ups of each program for each (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a fourth of all that: a first look in two minutes")
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--as-installed", action="store_true", help="do not ask all agents for the same spans")
    parser.add_argument("--python", default=interpreter(), help="the interpreter to measure with (%(default)s)")
    parser.add_argument("--work", type=Path, default=folder, help="where environments are kept (%(default)s)")
    parser.add_argument("--out", type=Path, help="where results go (WORK/out)")
    parser.add_argument("--plot", action="store_true", help="draw plot.png too")
    wish = parser.parse_args()
    wish.loops = LOOPS
    if wish.quick:
        wish.rounds, wish.runs, wish.loops = wish.rounds // QUICK, wish.runs // QUICK, 1
    wish.rounds, wish.runs = max(2, wish.rounds), max(1, wish.runs)  # quartiles need two
    wish.work = wish.work.resolve()
    wish.out = wish.out or wish.work / "out"
    return wish


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}")
    return parts


if __name__ == "__main__":
    main()

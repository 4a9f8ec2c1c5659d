"""From raw numbers to the table that is read: a row for each figure, a column for each agent and for what is wanted."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from agents import AGENTS, BARE, MODES, OPERATIONS
from turns import BARE_AGAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Row = tuple[str, str, list[str]]  # figure, what is wanted, and what each agent has

NAMES = [agent.name for agent in AGENTS]

WANTED = {"100 %": "≤ 1.20", "10 %": "≤ 1.06", "0 %": "≤ 1.04", "off": "≤ 1.00"}
BLOCK = 10  # rounds, which is 500 requests of each
STARTS = {"hello": "", "six imports": "≤ +0.10 s", "first response": "≤ +0.10 s"}


def ratios(requests: dict[str, Any], name: str) -> list[float]:
    """Return a variant's CPU of each round over that of no agent in the same round (the mean of both processes)."""
    bare, again = (requests[each]["cpu"] for each in (BARE.name, BARE_AGAIN))
    return [2 * mine / (one + other) for mine, one, other in zip(requests[name]["cpu"], bare, again, strict=True)]


def percentile(turns: Sequence[Sequence[int]], percent: int) -> float:
    """Return the latency, in milliseconds, that so many of a hundred requests have stayed below."""
    latencies = sorted(latency for turn in turns for latency in turn)
    return latencies[len(latencies) * percent // 100] / 1000


def latency_ratio(requests: dict[str, Any], name: str, percent: int) -> float:
    """Return a percentile over that of no agent: the median of blocks of rounds, as noise comes in bursts."""
    mine, bare, again = (requests[each]["latencies"] for each in (name, BARE.name, BARE_AGAIN))
    blocks = [slice(first, first + BLOCK) for first in range(0, max(1, len(mine) - BLOCK + 1), BLOCK)]
    return statistics.median(
        percentile(mine[block], percent) / percentile(bare[block] + again[block], percent) for block in blocks
    )


def over_bare(runs: dict[str, list[float]], name: str) -> float:
    """Return the median of an agent's start-ups less that of no agent's, in seconds."""
    return statistics.median(runs[name]) - statistics.median(runs[BARE.name])


def render(results: dict[str, Any]) -> str:
    """Return the Markdown of everything that was measured."""
    lines = [_line("figure", *NAMES, "wanted"), _line(*["---"] * (len(NAMES) + 2))]
    for part, rows in (("requests", _request_rows), ("startup", _startup_rows), ("spans", _span_rows)):
        if part in results:
            lines += [_line(figure, *cells, wanted) for figure, wanted, cells in rows(results[part])]
    if "requests" in results:
        lines += ["", *_notes(results["requests"])]
    return "\n".join(lines) + "\n"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _request_rows(requests: dict[str, Any]) -> Iterator[Row]:
    for mode in MODES:
        cells = [_spread(ratios(requests, f"{name} {mode}")) for name in NAMES]
        yield f"CPU of a request, {mode}, ratio", WANTED[mode], cells
    for percent, wanted in ((50, ""), (99, "≤ 1.15")):
        cells = [f"{latency_ratio(requests, f'{name} 100 %', percent):.2f}" for name in NAMES]
        yield f"p{percent}, 100 %, ratio", wanted, cells
    full = [requests[f"{name} 100 %"] for name in NAMES]
    for which, when in enumerate(("warm", "at the end")):
        bare = (requests[BARE.name]["memory"][which] + requests[BARE_AGAIN]["memory"][which]) / 2
        yield (
            f"RSS over no agent, 100 %, {when}",
            "≤ +6 MiB",
            [f"{each['memory'][which] - bare:+.1f} MiB" for each in full],
        )
    yield "spans of a request, 100 %", "all", [_received(each) for each in full]
    yield "bytes on the wire for a span", "", [_bytes(each["received"]) for each in full]


def _startup_rows(startup: dict[str, Any]) -> Iterator[Row]:
    seconds = startup["seconds"]
    for figure, wanted in STARTS.items():
        yield f"{figure}, CPU over no agent", wanted, [f"{over_bare(seconds[figure], name):+.3f} s" for name in NAMES]
    ends = [statistics.median(seconds["exit with spans"][name]) for name in NAMES]
    yield "exit with spans, endpoint up", "≤ 0.15 s", [f"{end:.3f} s" for end in ends]
    yield "spans received at exit", "all", [f"{startup['received'][name]:.0%}" for name in NAMES]


def _span_rows(spans: dict[str, Any]) -> Iterator[Row]:
    cells = [f"{statistics.median(spans[name]['microseconds']):.1f} µs" if name in spans else "-" for name in NAMES]
    yield "span start to bytes, hot loop, 8 attributes", "≤ 12 µs", cells


def _spread(values: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"**{middle:.2f}** ({low:.2f} to {high:.2f})"


def _received(found: dict[str, Any]) -> str:
    """Tell the spans of one request, and how many of all requests are missing."""
    requests, names = found["requests"], found["received"]["names"]
    # By name: what comes once in a while, such as a span for connecting, must not make up for a lost one.
    usual = {name: round(count / requests) for name, count in names.items()}
    each = sum(usual.values())
    missing = sum(max(0, usual[name] * requests - count) for name, count in names.items())
    missing += max(0, OPERATIONS - each) * requests
    return f"{each}, **{missing} MISSING**" if missing else f"{each}, all"


def _bytes(received: dict[str, Any]) -> str:
    return f"{received['bytes'] / received['spans']:.0f}" if received["spans"] else "-"


def _notes(requests: dict[str, Any]) -> Iterator[str]:
    """Tell what can't be told apart here, and which spans each agent makes of one request."""
    apart = statistics.median(ratios(requests, BARE_AGAIN)) / statistics.median(ratios(requests, BARE.name))
    cpu = statistics.median(requests[BARE.name]["cpu"]) * 1000
    p50, p99 = (percentile(requests[BARE.name]["latencies"], percent) for percent in (50, 99))
    yield f"No agent: {cpu:.2f} ms of CPU a request, p50 {p50:.2f} ms, p99 {p99:.2f} ms."
    yield f"Two processes without an agent differ by a factor of {apart:.3f}. Medians of rounds, quartiles in brackets."
    for agent in AGENTS:
        found = requests[f"{agent.name} 100 %"]
        names = {name: count / found["requests"] for name, count in found["received"]["names"].items()}
        yield f"- {agent.name}: " + _names(names)
    for agent in AGENTS:
        said = {line: None for mode in MODES for line in requests[f"{agent.name} {mode}"]["said"]}
        yield from (f"- {agent.name} wrote to stderr: {line}" for line in said)


def _names(names: Mapping[str, float]) -> str:
    usual = [f"{round(each)} `{name}`" for name, each in names.items() if each >= 0.5]
    rare = [f"`{name}`" for name, each in names.items() if each < 0.5]
    return ", ".join(usual) + (f"; now and then {', '.join(rare)}" if rare else "")

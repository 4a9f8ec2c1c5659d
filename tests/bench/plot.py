"""The same numbers as one picture: CPU by mode, p99, and start-up, an agent always in its own colour.

`plot.py RESULTS.json PLOT.png`, run by the interpreter of the tools' environment: matplotlib is no dependency
of this project.
"""

from __future__ import annotations

import json
import statistics
import sys
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import table
from agents import AGENTS, MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = ("#0b6e4f", "#f0a202", "#7b5ea7")
GREY = "#666666"


def draw(results: dict[str, Any], path: str) -> None:
    """Write the picture of what was measured."""
    plt.switch_backend("agg")
    plt.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.titleweight": "bold"}
    )
    panels = [panel for part, panel in PANELS if part in results]
    widths = [WIDTHS[panel.__name__] for panel in panels]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(sum(widths), 3.4), width_ratios=widths, layout="constrained", squeeze=False
    )
    for panel, axis in zip(panels, axes[0], strict=True):
        panel(axis, results)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(axis="x", length=0)
        axis.set_axisbelow(True)
        axis.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(AGENTS), frameon=False)
    figure.savefig(path, dpi=160)


def cpu(axis: Any, results: dict[str, Any]) -> None:
    """CPU of a request, by mode, with the quartiles of the rounds."""
    requests = results["requests"]
    found = {
        agent.name: [statistics.quantiles(table.ratios(requests, f"{agent.name} {mode}"), n=4) for mode in MODES]
        for agent in AGENTS
    }
    _bars(
        axis,
        MODES,
        {name: [middle for _, middle, _ in each] for name, each in found.items()},
        "{:.2f}",
        {name: [(middle - low, high - middle) for low, middle, high in each] for name, each in found.items()},
    )
    axis.axhline(1, color=GREY, linewidth=1)
    axis.set_title("CPU of a request (no agent = 1)")
    axis.set_xlabel("traces sampled")


def p99(axis: Any, results: dict[str, Any]) -> None:
    """Latency of the slowest of a hundred."""
    requests = results["requests"]
    _bars(axis, ("100 %",), {a.name: [table.latency_ratio(requests, f"{a.name} 100 %", 99)] for a in AGENTS}, "{:.2f}")
    axis.axhline(1, color=GREY, linewidth=1)
    axis.set_title("p99 (no agent = 1)")
    axis.set_xlabel("traces sampled")


def startup(axis: Any, results: dict[str, Any]) -> None:
    """CPU of start-ups over that of no agent."""
    seconds = results["startup"]["seconds"]
    figures = list(table.STARTS)
    found = {agent.name: [table.over_bare(seconds[figure], agent.name) for figure in figures] for agent in AGENTS}
    _bars(axis, figures, found, "{:.2f}")
    axis.set_title("start-up, seconds of CPU over no agent")


PANELS = (("requests", cpu), ("requests", p99), ("startup", startup))
WIDTHS = {"cpu": 5.4, "p99": 2.0, "startup": 4.0}


def _bars(
    axis: Any,
    groups: Sequence[str],
    values: dict[str, list[float]],
    label: str,
    spread: dict[str, list[tuple[float, float]]] | None = None,
) -> None:
    width = 0.8 / len(values)
    for number, (name, heights) in enumerate(values.items()):
        places = [group + (number - (len(values) - 1) / 2) * width for group in range(len(groups))]
        errors = list(zip(*spread[name], strict=True)) if spread else None
        bars = axis.bar(
            places,
            heights,
            width * 0.92,
            label=name,
            color=COLOURS[number],
            yerr=errors,
            error_kw={"elinewidth": 0.8, "ecolor": GREY},
        )
        axis.bar_label(bars, [label.format(height) for height in heights], padding=2, fontsize=8)
    axis.set_xticks(range(len(groups)), groups)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        draw(json.load(file), sys.argv[2])

"""Many traces in a few numbers: this file is about how long those of one root took, and what they waited for.

Memory is bounded, whatever roots are called and however many traces there are: durations are exact as long as they
are few, then each is counted with those that are within one percent of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_run.view.story import Story

_MOST_LABELS, _MOST_CAUSES = 200, 50
_MOST_EXACT = 1_000
_OTHERS = "(others)"
_STEP = log(1.02)


@dataclass(frozen=True, slots=True)
class Total:
    """What the traces with one root have in common; times in ns."""

    label: str
    count: int
    p50: int
    p95: int
    longest: int
    errors: int
    # What they waited for most, by its short label, and how much of all their critical paths it is, from 0 to 1.
    cause: str = ""
    share: float = 0.0


class Durations:
    """Durations in ns, and what so many percent of them do not exceed."""

    def __init__(self) -> None:
        self.count = self.whole = self.longest = 0
        self._shortest: int | None = None
        self._exact: list[int] = []
        self._counted: dict[int, int] = {}

    def add(self, took: int) -> None:
        """Add one."""
        self.count += 1
        self.whole += took
        self.longest = max(self.longest, took)
        self._shortest = took if self._shortest is None else min(self._shortest, took)
        if self.count <= _MOST_EXACT:
            self._exact.append(took)
            return
        self._exact.append(took)
        for one in self._exact:
            step = round(log(max(1, one)) / _STEP)
            self._counted[step] = self._counted.get(step, 0) + 1
        self._exact.clear()

    def percentile(self, percent: int) -> int:
        """Return the shortest that so many percent do not exceed (the nearest rank)."""
        rank = max(1, ceil(self.count * percent / 100))
        if not self._counted:
            return sorted(self._exact)[rank - 1] if self._exact else 0
        for step in sorted(self._counted):
            rank -= self._counted[step]
            if rank <= 0:
                return max(self._shortest or 0, min(self.longest, round(exp(step * _STEP))))
        return self.longest


class _Root:
    def __init__(self) -> None:
        self.durations = Durations()
        self.errors = 0
        self.causes: dict[str, int] = {}
        self.waited = 0

    def total(self, label: str) -> Total:
        cause = max(self.causes, key=lambda name: self.causes[name], default="")
        share = self.causes[cause] / self.waited if cause and self.waited else 0.0
        took = self.durations
        return Total(
            label, took.count, took.percentile(50), took.percentile(95), took.longest, self.errors, cause, share
        )


class Totals:
    """Counts traces by what their roots are called."""

    def __init__(self) -> None:
        self._roots: dict[str, _Root] = {}

    def add(self, story: Story) -> None:
        """Count a trace."""
        label = story.label[:_MOST_LABELS]
        if label not in self._roots and len(self._roots) >= _MOST_LABELS:
            label = _OTHERS
        root = self._roots.setdefault(label, _Root())
        root.durations.add(max(row.duration for row in story.rows))
        root.errors += any(row.failure for row in story.rows)
        for name, time in story.summary:
            root.waited += time
            if name != "other" and (name in root.causes or len(root.causes) < _MOST_CAUSES):
                root.causes[name] = root.causes.get(name, 0) + time

    def rows(self) -> list[Total]:
        """Return them, those first that took longest altogether, and what was not told apart last."""
        ordered = sorted(self._roots.items(), key=lambda one: (one[0] == _OTHERS, -one[1].durations.whole))
        return [root.total(label) for label, root in ordered]

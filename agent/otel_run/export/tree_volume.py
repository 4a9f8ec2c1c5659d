"""Which traces are shown, so that a server's output stays readable; and the lines that tell of those that are not.

`interesting` is what has failed, what took long, and what was never seen in this form. Long is judged by what is
known of the same root: more than twice what nineteen of twenty took; a second, as long as little is known.
Whatever is wanted, only so many are shown in a second; as many again of those that failed, and of those whose root
was not seen before. The others are counted.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from otel_run.view.cells import printable
from otel_run.view.durations import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

PER_SECOND = 5
_ENOUGH = 20
_SECOND = 1_000_000_000  # ns
_MOST_LABELS = 500
_MOST_FORMS = 100
_MOST_DURATIONS = 200
_MOST_HELD = 1_000
_LINES = 5  # in a second


class _Root:
    """What is known of the traces whose roots are called alike."""

    def __init__(self) -> None:
        # In ns, the last ones.
        self.durations: deque[int] = deque(maxlen=_MOST_DURATIONS)
        self.forms: set[Hashable] = set()
        # Those that were not shown because there were too many, and how long they took.
        self.held_back = 0
        self.held_durations: deque[int] = deque(maxlen=_MOST_HELD)

    def is_slow(self, took: int) -> bool:
        if len(self.durations) < _ENOUGH:
            return took >= _SECOND
        return took > 2 * percentile(self.durations, 95)

    def is_new(self, form: Hashable) -> bool:
        if form in self.forms or len(self.forms) >= _MOST_FORMS:
            return False
        self.forms.add(form)
        return True


class _Allowance:
    """So many in a second."""

    def __init__(self) -> None:
        self._left = float(PER_SECOND)
        self._at = 0.0

    def take(self, now: float) -> bool:
        self._left = min(PER_SECOND, self._left + (now - self._at) * PER_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Volume:
    """Decides for each trace; `now` is in seconds, of any clock that only goes forward."""

    def __init__(self, show: str) -> None:
        """`show` is one of all, interesting, errors and none."""
        self._show = show
        self._roots: dict[str, _Root] = {}
        self._allowances = {kind: _Allowance() for kind in ("failed", "new", "usual")}
        self._told_at = 0.0
        # Traces that were not shown.
        self.unshown = 0

    def takes(self, label: str, took: int, is_failed: bool, form: Callable[[], Hashable], now: float) -> bool:
        """Tell whether to show a trace whose root is called `label` and took `took` ns; `form()` tells its form."""
        root = self._root(label)
        is_wanted = self._is_wanted(root, took, is_failed, form)
        kind = "failed" if is_failed else "usual" if root.durations else "new"
        root.durations.append(took)
        if is_wanted and self._allowances[kind].take(now):
            return True
        self.unshown += 1
        if is_wanted:
            root.held_back += 1
            root.held_durations.append(took)
        return False

    def _root(self, label: str) -> _Root:
        if label not in self._roots and len(self._roots) >= _MOST_LABELS:
            label = "(others)"
        return self._roots.setdefault(label, _Root())

    def _is_wanted(self, root: _Root, took: int, is_failed: bool, form: Callable[[], Hashable]) -> bool:
        if self._show == "interesting":
            # All three are looked at: a form that has failed is known, too.
            return any([is_failed, root.is_slow(took), root.is_new(form())])
        return self._show == "all" or (self._show == "errors" and is_failed)

    @property
    def has_more(self) -> bool:
        """Whether there is something to tell of what was held back."""
        return any(root.held_back for root in self._roots.values())

    def more(self, now: float, is_last: bool = False) -> Iterator[str]:
        """Yield lines for what was held back, once in a second."""
        if not is_last and now - self._told_at < 1:
            return
        held = [(label, root) for label, root in self._roots.items() if root.held_back]
        if not held:
            return
        self._told_at = now
        held.sort(key=lambda one: one[1].held_back, reverse=True)
        for label, root in held[:_LINES]:
            median, longest = percentile(root.held_durations, 50), max(root.held_durations)
            alike = f"… {root.held_back} more like {printable(label)}"
            yield f"{alike} (p50 {duration(median)}, max {duration(longest)})"
        others = sum(root.held_back for _, root in held[_LINES:])
        if others:
            yield f"… {others} more of {len(held) - _LINES} other kinds"
        for _, root in held:
            root.held_back = 0
            root.held_durations.clear()


def percentile(durations: deque[int], percent: int) -> int:
    """Return the duration that so many percent do not exceed."""
    ordered = sorted(durations)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

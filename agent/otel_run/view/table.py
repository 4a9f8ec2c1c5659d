"""Totals as a table of aligned text; where there is no room, first the cause goes, then whole columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.view.cells import ascii_only, printable, shortened, shortened_label, width
from otel_run.view.durations import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_run.view.draw import Style
    from otel_run.view.totals import Total

_LABEL, _CAUSE, _NARROWEST = 24, 16, 40
_LONGEST = 200
_MOST = 20
_COLUMNS = ("count", "p50", "p95", "max", "errors")
# In this order, until there is room for the label.
_DISPENSABLE = ("p50", "max", "errors")


def table(totals: Sequence[Total], style: Style) -> Iterator[str]:
    """Yield the lines of a table with a title; of very many the first, which took longest altogether."""
    if not totals:
        return
    more = "..." if style.is_ascii else "…"
    shown = totals[:_MOST]
    room = None if style.width is None else max(_NARROWEST, style.width)
    labels = ["", *(_clean(total.label, style) for total in shown)]
    causes = ["mostly", *(_cause(total, style) for total in shown)]
    columns = {name: [name, *(_numbers(total)[name] for total in shown)] for name in _COLUMNS}
    longest = max(map(width, labels))
    if room is not None:
        for name in _DISPENSABLE:
            if room - _taken(columns) < min(longest, _LABEL):
                del columns[name]
    for_label, for_cause = longest, _LONGEST + 10
    if room is not None:
        left = room - _taken(columns)
        for_label, for_cause = min(longest, left), left - min(longest, left) - 2
        if for_cause < _CAUSE <= left - 2 - _LABEL:
            for_label, for_cause = left - 2 - _CAUSE, _CAUSE
    for at, (label, cause) in enumerate(zip(labels, causes, strict=True)):
        text = shortened_label(label, for_label, more)
        text += " " * (for_label - width(text))
        text += "".join(f"  {values[at]:>{max(map(len, values))}}" for values in columns.values())
        yield (f"{text}  {shortened(cause, for_cause, more)}" if for_cause >= _CAUSE else text).rstrip()
    if len(totals) > _MOST:
        yield f"{more} {len(totals) - _MOST} more"


def _taken(columns: dict[str, list[str]]) -> int:
    return sum(2 + max(map(len, values)) for values in columns.values())


def _numbers(total: Total) -> dict[str, str]:
    return {
        "count": str(total.count),
        "p50": duration(total.p50),
        "p95": duration(total.p95),
        "max": duration(total.longest),
        "errors": str(total.errors) if total.errors else "",
    }


def _cause(total: Total, style: Style) -> str:
    return _clean(f"{total.cause[:_LONGEST]} {total.share:.0%}", style) if total.cause else ""


def _clean(text: str, style: Style) -> str:
    text = printable(text[:_LONGEST])
    return ascii_only(text) if style.is_ascii else text

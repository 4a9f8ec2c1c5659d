"""Whole trees as they are drawn at every width.

The files in golden/ hold them; `cd tests && python -m view.test_golden_trees` writes them anew, to be read by eye.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_run.view.draw import Style, lines
from otel_run.view.story import tell
from otel_run.view.tree import traces
from view import told

GOLDEN = Path(__file__).with_name("golden")
WIDTHS = (40, 60, 80, 110, None)


def golden(name: str) -> str:
    """Return a story at all widths, in Unicode and in ASCII."""
    story = tell(traces(told.STORIES[name]())[0])
    drawn = []
    for width in WIDTHS:
        for is_ascii in (False, True):
            style = Style(width=width, is_ascii=is_ascii)
            drawn += [f"== {width or 'any width'}{', ASCII' if is_ascii else ''}", *lines(story, style), ""]
    bars = Style(width=110, has_bars=True)
    return "\n".join([*drawn, "== 110, bars, header", *lines(story, bars, header=True), ""])


@pytest.mark.parametrize("name", told.STORIES)
def test_an_example_is_drawn_as_it_always_was(name: str) -> None:
    assert golden(name) == (GOLDEN / f"{name}.txt").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(set(told.STORIES) - {"deep"}))
@pytest.mark.parametrize("is_ascii", [False, True])
def test_no_width_takes_a_line_a_duration_or_a_mark_away(name: str, is_ascii: bool) -> None:
    whole = tell(traces(told.STORIES[name]())[0])
    said = re.compile(r" \[[\d.]+\w+| ✗| x\b")
    expected = [said.findall(line) for line in lines(whole, Style(is_ascii=is_ascii))]
    for width in range(40, 201):
        assert [said.findall(line) for line in lines(whole, Style(width, is_ascii=is_ascii))] == expected


if __name__ == "__main__":
    for one in told.STORIES:
        (GOLDEN / f"{one}.txt").write_text(golden(one), "utf-8")

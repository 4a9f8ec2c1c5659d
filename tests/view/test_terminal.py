"""How to draw on a stream: which wish wins, for colour, width and characters."""

from __future__ import annotations

import pytest

from otel_run.view.draw import Style
from otel_run.view.terminal import style


def test_a_terminal_is_drawn_on_in_colour_and_cut_at_its_width() -> None:
    assert style(True, "utf-8", 93, {"TERM": "xterm"}, utc_offset=3600) == Style(93, True, utc_offset=3600)


def test_what_is_no_terminal_has_no_colour_and_any_width() -> None:
    assert style(False, "utf-8", None, {"TERM": "xterm", "COLUMNS": "70"}) == Style(None, False)


@pytest.mark.parametrize(
    ("variables", "on_terminal", "in_pipe"),
    [
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": ""}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
    ],
)
def test_variables_say_whether_there_is_colour(variables: dict[str, str], on_terminal: bool, in_pipe: bool) -> None:
    assert style(True, "utf-8", 80, variables).is_coloured is on_terminal
    assert style(False, "utf-8", 80, variables).is_coloured is in_pipe


def test_a_flag_wins_over_every_variable() -> None:
    assert style(False, "utf-8", None, {"NO_COLOR": "1", "TERM": "dumb"}, colour=True).is_coloured
    assert not style(True, "utf-8", 80, {"FORCE_COLOR": "1"}, colour=False).is_coloured


@pytest.mark.parametrize(
    ("columns", "wanted", "width"),
    [
        (120, "70", 70),
        (120, "", 120),
        (120, "0", 120),
        (120, "²", 120),
        (120, "9" * 5000, 120),
        (None, "", 80),
        (0, "", 80),
        (7, "", 40),
    ],
)
def test_the_width_of_a_terminal_is_what_somebody_says_else_its_own(
    columns: int | None, wanted: str, width: int
) -> None:
    assert style(True, "utf-8", columns, {"COLUMNS": wanted}).width == width


def test_a_width_can_be_forced_on_a_pipe() -> None:
    assert style(False, "utf-8", None, {}, width=66).width == 66


@pytest.mark.parametrize(
    ("encoding", "is_ascii"),
    [
        ("utf-8", False),
        ("UTF8", False),
        ("gb18030", False),
        ("cp1252", True),
        ("cp437", True),
        ("ascii", True),
        (None, True),
        ("", True),
        ("no such", True),
        ("rot13", True),
        ("a\0b", True),
    ],
)
def test_ascii_is_drawn_where_the_signs_cannot_be_written(encoding: str | None, is_ascii: bool) -> None:
    assert style(True, encoding, 80, {}).is_ascii is is_ascii


def test_bars_need_a_hundred_cells() -> None:
    assert style(True, "utf-8", 100, {}, bars=True).has_bars
    assert not style(True, "utf-8", 99, {}, bars=True).has_bars
    assert style(False, "utf-8", None, {}, bars=True).has_bars

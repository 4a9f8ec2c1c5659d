"""Text on a terminal: how wide it is, where it is cut, and that nothing in it does more than be read."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_run.view.cells import ascii_only, head, printable, shortened, shortened_label, tail, width

ANY = st.text(st.characters(codec=None), max_size=60) | st.text(
    "a界é\u0301👩\u200d🚀\ufe0f❤\u202e\x1b\n\ud800 /", max_size=60
)


@pytest.mark.parametrize(
    ("text", "cells"),
    [("abc", 3), ("日本", 4), ("é", 1), ("e\u0301", 1), ("🚀", 2), ("❤\ufe0f", 2), ("\uff21", 2), ("\u200d", 0)],
)
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, cells: int) -> None:
    assert width(text) == cells


def test_a_sequence_of_emoji_is_never_less_than_what_a_terminal_takes_that_does_not_join_them() -> None:
    assert width("👩\u200d🚀") == 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\nb\tc", "a  b c"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("\u2066x\u2069\u200f", "\\u2066x\\u2069\\u200f"),
        ("half \ud83d", "half \\ud83d"),
        ("\x9b31m", "\\x9b31m"),
        ("no\xa0break\u2028line", "no break line"),
        ("👩\u200d🚀 日本 é", "👩\u200d🚀 日本 é"),
    ],
)
def test_what_is_more_than_text_becomes_visible(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_marks_without_end_on_one_letter_are_left_out() -> None:
    assert printable("e" + "\u0301" * 1_000_000 + "x") == "e" + "\u0301" * 4 + "x"


def test_ascii_keeps_what_our_own_words_mean() -> None:
    assert ascii_only("GET\u00d710 … é") == "GETx10 ... \\xe9"


@given(ANY, st.integers(-1, 70))
def test_what_is_cut_goes_into_the_room_and_loses_nothing_that_went_in(text: str, room: int) -> None:
    text = printable(text)
    begin, end = head(text, room), tail(text, room)
    assert text.startswith(begin)
    assert text.endswith(end)
    assert max(width(begin), width(end)) <= max(0, room)
    if width(text) <= room:
        assert begin == end == text
    else:
        assert not end or not unicodedata.combining(end[0])


@given(ANY, st.integers(1, 70), st.sampled_from(["…", "..."]))
def test_what_is_shortened_goes_into_the_room(text: str, room: int, more: str) -> None:
    for label in (printable(text), "GET http://" + printable(text), "GET http://host/" + printable(text)):
        for cut in (shortened(label, room, more), shortened_label(label, room, more)):
            assert width(cut) <= room
            assert cut == label or width(label) > room


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (60, "POST http://reference-data/v1/markets/xnys/instruments/AAPL"),
        (50, "POST http://reference-data/v1/markets/xnys/i…/AAPL"),
        (34, "POST http://reference-data/v…/AAPL"),
        (30, "POST reference-data/v1/m…/AAPL"),
        (24, "POST reference-dat…/AAPL"),
        (12, "POST refere…"),
    ],
)
def test_a_url_is_cut_in_its_middle_so_that_host_and_last_part_stay(room: int, shown: str) -> None:
    whole = "POST http://reference-data/v1/markets/xnys/instruments/AAPL"
    assert shortened_label(whole, room) == shown


def test_a_query_is_cut_at_its_end() -> None:
    whole = "SELECT a, b FROM c WHERE url = 'http://x/y/z' AND d = ?"
    assert shortened_label(whole, 20) == "SELECT a, b FROM c…"

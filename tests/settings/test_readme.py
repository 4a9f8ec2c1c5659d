"""The README's table of settings is the one that the rows make."""

from __future__ import annotations

from pathlib import Path

from settings.readme_table import BEGIN, END, table

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_holds_the_table_of_the_rows() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1, f"README.md needs {BEGIN} and {END}"
    found = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert found == table(), "make it again: cd tests && python -m settings.readme_table"

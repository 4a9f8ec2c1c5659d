"""What a stream is written to can show: this file is about which of a person's wishes wins, for colour and width.

A flag wins over all, then `NO_COLOR` (https://no-color.org: set and not empty), `FORCE_COLOR` and `CLICOLOR_FORCE`,
then what the terminal says. What is not a terminal is neither coloured nor cut: a file has any width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.view.draw import NARROWEST, Style

if TYPE_CHECKING:
    from collections.abc import Mapping

# All that a tree in Unicode contains.
_SIGNS = "├─└│∥←✗…×·▕█▌▐▏"  # noqa: RUF001
_USUAL, _FOR_BARS = 80, 100


def style(
    is_terminal: bool,
    encoding: str | None,
    columns: int | None,
    variables: Mapping[str, str],
    colour: bool | None = None,
    width: int | None = None,
    bars: bool = False,
    utc_offset: int | None = None,
) -> Style:
    """Return how to draw on a stream with `encoding`; `colour` and `width` are flags, if they were given.

    `columns` are those of the terminal, None or 0 if nobody knows. `bars` need a hundred.
    """
    cells = _width(is_terminal, columns, variables) if width is None else max(NARROWEST, width)
    return Style(
        width=cells,
        is_coloured=_is_coloured(is_terminal, variables) if colour is None else colour,
        is_ascii=not _can_write(encoding),
        has_bars=bars and (cells is None or cells >= _FOR_BARS),
        utc_offset=utc_offset,
    )


def _is_coloured(is_terminal: bool, variables: Mapping[str, str]) -> bool:
    if variables.get("NO_COLOR"):
        return False
    if any(variables.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_terminal and variables.get("TERM") != "dumb"


def _width(is_terminal: bool, columns: int | None, variables: Mapping[str, str]) -> int | None:
    if not is_terminal:
        return None
    wanted = variables.get("COLUMNS", "")
    # As other programs have it (shutil.get_terminal_size): who sets the variable knows better than the terminal.
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 and int(wanted):
        return max(NARROWEST, int(wanted))
    return max(NARROWEST, columns or _USUAL)


def _can_write(encoding: str | None) -> bool:
    try:
        _SIGNS.encode(encoding or "ascii")
    except (LookupError, ValueError):
        return False
    return True

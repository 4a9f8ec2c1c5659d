"""What a command of ours prints on stdout, whatever that is: a terminal of some width and encoding, a pipe, a file."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from otel_run import settings
from otel_run.view import terminal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_run.view.draw import Style


def style(color: bool | None = None, width: int | None = None, bars: bool = False) -> Style:
    """Return how to draw there; the arguments are flags, if they were given."""
    out = sys.stdout
    is_terminal = out.isatty()
    columns = os.get_terminal_size(out.fileno()).columns if is_terminal else None
    # A person reads the time of the place; whatever else reads it, UTC.
    offset = time.localtime().tm_gmtoff if is_terminal else None
    return terminal.style(is_terminal, out.encoding, columns, settings.terminal(), color, width, bars, offset)


def write_lines(lines: Iterable[str]) -> None:
    """Write them; what the encoding lacks is told by its number."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

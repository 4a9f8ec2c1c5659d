"""How much fits into what a new program is started with: one limit is for all of its arguments and its environment."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# What counts beside the texts, in bytes: a zero and a pointer for each, and the program's name and the like.
_EACH, _SPARE = 9, 8192


def is_nearly_full(*parts: Iterable[Any]) -> bool:
    """Tell whether what we add might be what makes the system refuse the child; `parts` are all of its texts."""
    lengths = [_most_bytes(text) for text in chain(*parts)]
    # -1 is none.
    return 0 < os.sysconf("SC_ARG_MAX") < sum(lengths) + _EACH * len(lengths) + _SPARE


def _most_bytes(text: Any) -> int:
    if not isinstance(text, (str, bytes)):
        return 0  # a path, or what the program's call is to fail with
    return len(text) if isinstance(text, bytes) or text.isascii() else 4 * len(text)

"""A process that works for many callers: which context each of its tasks is in.

The context of a task stays until the next task: nothing happens between two that anybody would trace, and so no
function of ours stands around the program's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_run.tracing import carrier
from otel_run.tracing.entering import NOTHING, enter

if TYPE_CHECKING:
    from collections.abc import Mapping

_is_in_a_callers_context = False


def begin_task(told: Mapping[str, str] | None) -> None:
    """Enter the context of whoever handed the task in, who had none if `told` is None."""
    global _is_in_a_callers_context
    if told is not None:
        enter(carrier.context_of(told))
    elif _is_in_a_callers_context:
        enter(NOTHING)
    _is_in_a_callers_context = told is not None

"""The process ends: what has ended leaves, within the one exit budget."""

from __future__ import annotations

import atexit

from otel_run.boundary import contained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_run.export.pipeline import Pipeline


def flush_at_exit(pipeline: Pipeline, budget: float) -> None:
    """Deliver everything when the interpreter exits, waiting at most `budget` seconds in all."""
    atexit.register(contained, "flush at exit", pipeline.close, budget)

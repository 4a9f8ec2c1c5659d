"""Fixtures for our own instrumentors, which are looked at without those of others beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_run.patching import candidates
from servers.program import Traced

if TYPE_CHECKING:
    from pathlib import Path

    from servers.receiver import Receiver

OTHERS = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)


@pytest.fixture
def traced(receiver: Receiver, tmp_path: Path, request: pytest.FixtureRequest) -> Traced:
    """Give a function that runs a program under `otel-run`, with no instrumentor but ours; see tests/foreign too.

    A busy machine takes noticeable time to connect; a file whose subject that is has a THRESHOLD of its own.
    """
    threshold = getattr(request.module, "THRESHOLD", "60000")
    settings = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": OTHERS, "OTEL_RUN_CONNECTION_THRESHOLD": threshold}
    return Traced(receiver, tmp_path, **settings)

"""Fixtures for servers of HTTP, which run as processes of their own and are asked over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_run.patching import candidates
from servers.program import Traced
from servers.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path

    from servers.receiver import Receiver

_OTHERS = ",".join(candidate.name for candidate in candidates.find() if not candidate.is_ours)
_SETTINGS = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": _OTHERS, "OTEL_RUN_CONNECTION_THRESHOLD": "60000"}


@pytest.fixture
def serving(receiver: Receiver, tmp_path: Path) -> Serving:
    """Give a function that runs a server under `otel-run`, with no instrumentor but ours; see `Serving.__call__`."""
    return Serving(receiver, tmp_path, **_SETTINGS)


@pytest.fixture
def traced(receiver: Receiver, tmp_path: Path) -> Traced:
    """Give a function that runs a program, likewise."""
    return Traced(receiver, tmp_path, **_SETTINGS)

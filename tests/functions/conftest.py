"""Errors of ours are raised in these tests: contained, one would look like a span that is not there."""

from __future__ import annotations

import pytest

from otel_run import boundary


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "strict", True)

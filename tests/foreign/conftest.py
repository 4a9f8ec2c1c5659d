"""Fixtures for instrumentors of others: a program must be the same with them and without."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from servers.program import Run, Traced, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable

# Before its first import a program has nothing of OpenTelemetry in it, whatever is installed.
PREFIX = "import sys; assert not [name for name in sys.modules if name.partition('.')[0] == 'opentelemetry']\n"


@pytest.fixture
def alike(traced: Traced) -> Callable[..., Run]:
    """Give a function that runs a program under `otel-run` and bare, and checks that nobody can tell the two apart."""

    def run(source: str, *argv: str, **options: Any) -> Run:
        made = traced(PREFIX + source, *argv, **options)
        bare = subprocess.run(
            [sys.executable, "app.py", *argv],
            cwd=traced.folder,
            env={**clean_environment(), **options.get("env", {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert (made.returncode, made.stdout, made.stderr) == (bare.returncode, bare.stdout, bare.stderr), made
        return made

    return run

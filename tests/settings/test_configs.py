"""What `configs/` offers to copy is understood by the settings, and each line says why it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_run import settings, variables
from otel_run.command import env_file

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.glob("*.env"))
KNOWN = {variable for row in variables.ROWS for variable in row.variables}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_is_known_good_and_has_its_reason(path: Path) -> None:
    chosen = env_file.read(str(path))
    assert chosen
    assert set(chosen) <= KNOWN
    assert settings.read(chosen, lambda _group: [])[1] == []
    paragraph_has_reason = False
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            assert paragraph_has_reason, f"{path.name}: no reason above {line}"
        else:
            paragraph_has_reason = line.startswith("#")


def test_the_base_image_names_the_folder_that_an_installation_has() -> None:
    text = (CONFIGS / "Containerfile").read_text()
    assert "pip install --no-cache-dir --target /opt/otel-run otel-run" in text
    assert "ENV PYTHONPATH=/opt/otel-run/otel_run/sitecustomize" in text
    used = {word.partition("=")[0] for word in text.split() if word.startswith("OTEL_")}
    assert used
    assert used <= KNOWN

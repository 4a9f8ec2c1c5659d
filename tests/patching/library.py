"""A folder of libraries that were never installed: packages of every shape, and the metadata of distributions."""

from __future__ import annotations

import textwrap
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files (dedented) below `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def zip_up(archive: Path, files: Mapping[str, str]) -> Path:
    """Write the files (dedented) into a zip file."""
    with zipfile.ZipFile(archive, "w") as made:
        for name, text in files.items():
            made.writestr(name, textwrap.dedent(text))
    return archive


def metadata(
    name: str,
    *,
    points: str = "",
    instruments: Sequence[str] = (),
    record: Sequence[str] = (),
    extra: str = "instruments",
    suffix: str = "-1.0.dist-info",
    **more: str,
) -> dict[str, str]:
    """Return the metadata files of a distribution; `points` is its entry_points.txt."""
    folder = name.replace("-", "_") + suffix
    requires = [f'Requires-Dist: {wanted}; extra == "{extra}"' for wanted in instruments]
    header = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", f"Provides-Extra: {extra}", *requires]
    files = {
        "METADATA" if suffix.endswith("dist-info") else "PKG-INFO": "\n".join(
            [*header, "", "Requires-Dist: not-this-one"]
        ),
        "entry_points.txt": textwrap.dedent(points),
        "RECORD": "".join(f"{path},sha256=x,1\n" for path in record),
        "top_level.txt": more.get("top_level", ""),
    }
    return {f"{folder}/{file}": text for file, text in files.items() if text}

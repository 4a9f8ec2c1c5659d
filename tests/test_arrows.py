"""Imports go one way, as the README's map says: who has a symptom knows where to look."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import otel_run

AGENT = Path(otel_run.__file__).parent

# part -> the parts of ours that it may import
ARROWS = {
    "grammar": set(),
    "boundary": set(),
    "report": {"native"},
    "native": set(),
    "forks": {"boundary"},
    "prefork": set(),
    "sampler_choice": {"grammar"},
    "variables": {"grammar"},
    "function_patterns": {"grammar"},
    "settings": {"grammar", "sampler_choice", "function_patterns", "variables"},
    "patching": {"boundary", "report", "settings"},
    "tracing": {"grammar", "boundary", "forks", "report", "settings", "patching"},
    "masking": set(),
    "functions": {
        "grammar",
        "boundary",
        "forks",
        "report",
        "settings",
        "function_patterns",
        "patching",
        "tracing",
        "masking",
    },
    "sampling": {"boundary", "report", "settings", "patching"},
    "export": {
        "grammar",
        "boundary",
        "forks",
        "native",
        "prefork",
        "report",
        "settings",
        "patching",
        "masking",
        "view",
    },
    "instrumentors": {"boundary", "report", "settings", "patching", "tracing", "masking"},
    "startup": {
        "grammar",
        "boundary",
        "forks",
        "prefork",
        "native",
        "report",
        "settings",
        "patching",
        "tracing",
        "sampling",
        "export",
        "functions",
    },
    "view": set(),
    "doctor": {"boundary", "report", "settings", "patching"},
    "command": {
        "boundary",
        "grammar",
        "sampler_choice",
        "function_patterns",
        "variables",
        "settings",
        "startup",
        "patching",
        "export",
        "doctor",
        "view",
    },
}
FILES = sorted(path for path in AGENT.rglob("*.py") if "sitecustomize" not in path.parts)


def _part(dotted: str) -> str:
    return dotted.split(".")[1] if "." in dotted else ""


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imported(node: ast.AST) -> set[str]:
    """Return the parts of ours that are imported at run time anywhere below `node`."""
    if _is_typing_only(node):
        return set()
    found = set()
    if isinstance(node, ast.Import):
        found = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
        found = {f"{node.module}.{alias.name}" if node.module == "otel_run" else node.module for alias in node.names}
    for child in ast.iter_child_nodes(node):
        found |= _imported(child)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(AGENT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    part = path.relative_to(AGENT).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    used = {_part(name) for name in _imported(ast.parse(path.read_text())) if name.startswith("otel_run.")}
    assert used - {part, "__version__"} <= ARROWS[part]


def test_of_the_exporters_only_those_that_show_traces_know_the_viewer() -> None:
    knowing = {
        path.stem
        for path in (AGENT / "export").glob("*.py")
        if "otel_run.view" in str(_imported(ast.parse(path.read_text())))
    }
    assert {name for name in knowing if not name.startswith("tree")} == set()


def test_every_part_has_its_arrows() -> None:
    parts = {path.relative_to(AGENT).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert parts <= set(ARROWS)


def test_sitecustomize_is_no_package() -> None:
    """With the repository root on sys.path, `import sitecustomize` must find an empty namespace."""
    folder = Path(__file__).parents[1] / "sitecustomize"
    assert [path.name for path in folder.glob("*.py")] == ["sitecustomize.py"]

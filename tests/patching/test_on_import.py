"""Waiting for an import changes nothing about it: each program here goes alike with and without our finder.

What the finder told is left in a file, since the programs must not see it.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from patching.library import write, zip_up
from patching.programs import PACKAGES, PROGRAMS, WAITING, ZIPPED
from process.children import environment, run

if TYPE_CHECKING:
    from pathlib import Path

# Does to a process what our start-up does, with a callback that can be counted.
START = """
import atexit, json, os, sys
from otel_run import boundary
from otel_run.patching.on_import import Finder
boundary.strict = True
told = []
finder = Finder(lambda: None, lambda name: False, needs="needed")
def tell(name):
    told.append([name, hasattr(sys.modules[name], "done")])
if {some!r}:
    finder.wait_for_some(set({waiting!r}).__contains__, tell)
else:
    for name in {waiting!r}:
        finder.wait_for(name, lambda name=name: tell(name))
del told[:]  # zipimport is imported by every interpreter
sys.meta_path.insert(0, finder)
atexit.register(lambda: open({told!r}, "w").write(json.dumps(told)))
"""


# Waiting for each by its name, and for some by a test of the name.
STARTS = ["start", "some"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write(tmp_path_factory.mktemp("on_import"), {f"lib/{name}": text for name, text in PACKAGES.items()})
    zip_up(made / "lib.zip", ZIPPED)
    starts = {
        f"{start}/sitecustomize.py": START.format(waiting=WAITING, told=str(made / "told.json"), some=start == "some")
        for start in STARTS
    }
    return write(made, {**starts, "bare/sitecustomize.py": "import otel_run.boundary\n"})


def outcome(folder: Path, start: str, arguments: list[str]) -> tuple[int, str, str]:
    path = ":".join(str(folder / part) for part in (start, "lib", "lib.zip"))
    env = environment(PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
    done = run([sys.executable, *arguments], folder, env=env)
    return done.returncode, _without_addresses(done.stdout), _without_addresses(done.stderr)


def _without_addresses(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def told(folder: Path) -> list[str]:
    found = json.loads((folder / "told.json").read_text())
    # Told too early would be seen here: by then every module of ours has its `done`.
    assert all(done for name, done in found if name not in ("space", "colorsys", "zipimport")), found
    return [name for name, _ in found]


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_import_goes_as_without_us_and_is_told(program: str, folder: Path) -> None:
    source, wanted = PROGRAMS[program]
    (folder / "program.py").write_text(textwrap.dedent(source))
    bare = outcome(folder, "bare", ["program.py"])
    assert (bare[0] == 0) is not program.startswith(("broken", "no such", "a finder that forbids")), bare[2]
    for start in STARTS:
        assert outcome(folder, start, ["program.py"]) == bare
        _check_told(program, wanted, folder)


def _check_told(program: str, wanted: list[str] | None, folder: Path) -> None:
    if program == "threads":
        assert sorted(told(folder)) == [
            "slow_a",
            "slow_b",
            "watched",
            "watched.sub",
            "zipped",
            "zipped.part",
            "zipped_too",
        ]
    elif wanted is not None:
        assert told(folder) == wanted


@pytest.mark.parametrize("name", ["runme", "watched.sub", "broken_error", "watched"])
def test_python_m_goes_as_without_us(name: str, folder: Path) -> None:
    bare, ours = (outcome(folder, start, ["-m", name]) for start in ("bare", "start"))
    assert ours == bare
    assert told(folder) == (["watched"] if name.startswith("watched") else [])


WITH_FINDER = "import sys; finder = sys.meta_path[0]; told = sys.modules['sitecustomize'].told\n"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("import json\nfinder.wait_for('json', lambda: print('json'))\nimport json", "json"),
        ("import json\nfinder.wait_for_some('json'.__eq__, print)\nimport json", "json"),
        (
            "finder.wait_for_some(lambda name: name.startswith('watched'), print)\nimport watched.sub",
            "watched\nwatched.sub",
        ),
        # Each callback for itself, those that wait for the very name first.
        (
            """
finder.wait_for_some(lambda name: name == "watched", lambda name: print(1, name))
finder.wait_for_some(lambda name: name in ("watched", "runme"), lambda name: print(3, name))
finder.wait_for("watched", lambda: print(0))
import watched, importlib
importlib.reload(watched)
            """,
            "\n".join(["0", "1 watched", "3 watched"] * 2),
        ),
        # A mistake in the test of a name is nobody's import's.
        (
            """
from otel_run import boundary
boundary.strict = False
finder._waiting_for_some.append((lambda name: 1 / 0, print))
finder.wait_for_some(lambda name: name == "watched", print)
import watched
            """,
            "watched",
        ),
        # Lazy modules are neither woken by waiting, nor by what else is imported.
        (
            """
import importlib.util
spec = importlib.util.find_spec("slow_a")
spec.loader = importlib.util.LazyLoader(spec.loader)
late = sys.modules["slow_a"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(late)
finder.wait_for("slow_a", lambda: print("waiting"))
finder.wait_for_some(lambda name: name == "slow_a", print)
import watched
print(type(late).__name__, "done" in object.__getattribute__(late, "__dict__"))
            """,
            "waiting\nslow_a\n_LazyModule False",
        ),
        ("finder.wait_for('late', lambda: print('late'))", ""),
        # Half-done modules of the package that callbacks use: they wait until it is whole.
        ("import needed.part\nprint(told)", "[['watched', True]]"),
        ("from watched import sub\nprint(told)", "[['watched', True], ['watched.sub', True]]"),
        # One callback's mistake, or its wish to exit, stops neither the next nor the program.
        (
            """
from otel_run import boundary
boundary.strict = False
for wish in (1 / 3, 0, None):
    finder.wait_for("runme", lambda wish=wish: sys.exit(wish))
finder.wait_for("runme", lambda: 1 / 0)
finder.wait_for("runme", lambda: print("last"))
import runme; print(told)
            """,
            "runme SourceFileLoader runme\nlast\n[['runme', True]]",
        ),
    ],
)
def test_callbacks(source: str, wanted: str, folder: Path) -> None:
    status, stdout, stderr = outcome(folder, "start", ["-c", WITH_FINDER + source])
    assert (status, stdout.strip(), stderr) == (0, wanted, "")

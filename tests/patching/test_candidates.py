"""Who could trace what, read from distributions on disk: each oddity of real installations, one at a time."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_run import boundary
from otel_run.patching import candidates
from patching.library import metadata, write, zip_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_run.patching.candidates import Candidate

POINT = """
[opentelemetry_instrumentor]
thing = thing_instrumentor:Instrumentor
"""


def instrumentor(instruments: tuple[str, ...] = ("thing",), **more: str) -> dict[str, str]:
    return metadata("opentelemetry-instrumentation-thing", points=POINT, instruments=instruments, **more)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Candidate]]:
    """Give a function that finds the candidates on these paths."""

    def find(*path: object) -> dict[str, Candidate]:
        monkeypatch.setattr(sys, "path", [str(entry) if isinstance(entry, Path) else entry for entry in path])
        return {candidate.name: candidate for candidate in candidates.find()}

    return find


@pytest.mark.parametrize(
    ("library", "modules"),
    [
        (metadata("thing", record=["thing/__init__.py", "thing/sub/__init__.py", "thing/x.py"]), ["thing"]),
        (metadata("thing", record=["one/__init__.py", "two.py", "thing-1.0.dist-info/METADATA"]), ["one", "two"]),
        (metadata("thing", record=["google/cloud/thing/__init__.py", "google/cloud/other/__init__.py"]),
            ["google.cloud.other", "google.cloud.thing"]),
        (metadata("thing", record=["thing/__init__.py", "tests/__init__.py", "../../bin/thing", "docs.py"]), ["thing"]),
        (metadata("thing", record=["_thing.cpython-312-x86_64-linux-gnu.so", "thing.abi3.so"]), ["_thing", "thing"]),
        (metadata("thing", record=["__init__.py", "thing/__init__.py"]), ["thing"]),
        # Editable: the packages lie elsewhere.
        (metadata("thing", record=["__editable__.thing-1.0.pth", "__editable___thing_1_0_finder.py"]), ["thing"]),
        (metadata("thing", record=["__editable___thing_1_0_finder.py"], top_level="one\ntwo\n"), ["one", "two"]),
        (metadata("thing", record=["_thing.pth"]), ["thing"]),
        # Older shapes: no RECORD.
        (metadata("thing", suffix="-1.0-py3.12.egg-info", top_level="one\n"), ["one"]),
        (metadata("thing", suffix=".egg-info"), ["thing"]),
        ({"thing-1.0.egg-info": "Name: thing\n"}, ["thing"]),
        (metadata("Thing"), ["thing"]),
    ],
)  # fmt: skip
def test_a_candidate_waits_for_the_modules_of_its_library(
    library: dict[str, str], modules: list[str], tmp_path: Path, found: Callable[..., dict[str, Candidate]]
) -> None:
    candidate = found(write(tmp_path, {**instrumentor(), **library}))["thing"]
    assert (candidate.modules, candidate.libraries) == (modules, ["thing"])
    assert (candidate.value, candidate.is_ours) == ("thing_instrumentor:Instrumentor", False)
    assert (candidate.is_absent, candidate.is_ambient) == (False, False)


@pytest.mark.parametrize("wanted", ["THING", "thing ", "thing>=1,<2", "thing[extra]~=1.0", "thing (>=1)"])
@pytest.mark.parametrize(
    "marker",
    ['extra == "instruments"', "extra == 'instruments-any'", 'extra=="instruments_any"',
        'python_version > "3.8" and extra == "instruments"'],
)  # fmt: skip
def test_a_requirement_is_read_however_it_is_written(
    wanted: str, marker: str, tmp_path: Path, found: Callable[..., dict[str, Candidate]]
) -> None:
    files = instrumentor(())
    header = "Name: x\r\nRequires-Dist: opentelemetry-api\r\n"
    others = "Requires-Dist: other; extra == 'test'\r\n\r\nRequires-Dist: text; extra == 'instruments'\r\n"
    files[next(f for f in files if f.endswith("METADATA"))] = f"{header}Requires-Dist: {wanted}; {marker}\r\n{others}"
    assert found(write(tmp_path, files))["thing"].libraries == ["thing"]


def test_a_library_that_is_not_installed_is_absent(tmp_path: Path, found: Callable[..., dict[str, Candidate]]) -> None:
    both = metadata("a", points=POINT.replace("thing =", "a ="), instruments=["gone", "there"], extra="instruments-any")
    files = {**instrumentor(), **both, **metadata("there", record=["there/__init__.py"])}
    got = found(write(tmp_path, files))
    assert got["thing"].is_absent
    assert (got["a"].is_absent, got["a"].modules) == (False, ["there"])


@pytest.mark.parametrize(
    ("name", "modules", "ambient"),
    [
        ("logging", ["logging"], True),
        ("asyncio", ["asyncio"], True),
        ("sqlite3", ["sqlite3"], False),
        ("urllib", ["urllib.request"], False),
        ("system_metrics", [], True),
    ],
)
def test_an_instrumentor_without_an_extra_waits_for_the_standard_library(
    name: str, modules: list[str], ambient: bool, tmp_path: Path, found: Callable[..., dict[str, Candidate]]
) -> None:
    files = metadata("some", points=f"[opentelemetry_instrumentor]\n{name} = m:I")
    candidate = found(write(tmp_path, files))[name]
    assert (candidate.modules, candidate.is_ambient, candidate.is_absent) == (modules, ambient, False)


POINTS = """\
# opentelemetry_instrumentor = no:No
[console_scripts]
thing = no:No

[ opentelemetry_instrumentor ]
  spaced   =   m . sub : Class . inner   [extra, more]
# commented = no:No
bare=module
not a point
with-dash.and_more = m:A
[opentelemetry_instrumentor_too]
other = no:No
[opentelemetry_instrumentor]
again = m:B"""


def test_entry_points_are_read_as_the_standard_library_reads_them(
    tmp_path: Path, found: Callable[..., dict[str, Candidate]]
) -> None:
    got = found(write(tmp_path, metadata("some", points=POINTS)))
    assert {name: candidate.value for name, candidate in got.items()} == {
        "spaced": "m.sub:Class.inner",
        "bare": "module",
        "with-dash.and_more": "m:A",
        "again": "m:B",
    }


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\n[opentelemetry_instrumentor]\nother = m:\xe9\n",
        b"[opentelemetry_instrumentor\n",
        b"=\n[]\n[\n",
        b"\0",
    ],
)
def test_bytes_that_are_no_text_stop_nothing(
    text: bytes, tmp_path: Path, found: Callable[..., dict[str, Candidate]]
) -> None:
    write(
        tmp_path, {**metadata("bad", points="x"), **instrumentor(), **metadata("thing", record=["thing/__init__.py"])}
    )
    for file in (tmp_path / "bad-1.0.dist-info").iterdir():
        file.write_bytes(text)
    assert found(tmp_path)["thing"].modules == ["thing"]


def test_what_cannot_be_listed_or_read_stops_nothing(
    tmp_path: Path, found: Callable[..., dict[str, Candidate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundary, "strict", False)
    site = write(tmp_path / "site", {**instrumentor(), **metadata("thing", record=["thing/__init__.py"])})
    (site / "empty-1.0.dist-info").mkdir()
    (site / "file-1.0.dist-info").write_text("not a folder")
    (site / "loop-1.0.dist-info").symlink_to("loop-1.0.dist-info")
    (tmp_path / "folder-1.0.dist-info" / "entry_points.txt").mkdir(parents=True)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not a zip file")
    (tmp_path / "empty.egg").mkdir()
    odd: list[object] = [
        tmp_path / "missing",
        tmp_path / "broken.zip",
        tmp_path / "empty.egg",
        "\0",
        "\udcff",
        b"bytes",
    ]
    assert found(*odd, None, 7, [], object(), tmp_path, site)["thing"].modules == ["thing"]
    # A real Path, which importlib passes over: a common mistake of programs.
    monkeypatch.setattr(sys, "path", [site, str(site)])
    assert [candidate.name for candidate in candidates.find()] == ["thing"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_must_not_be_read_stops_nothing(tmp_path: Path, found: Callable[..., dict[str, Candidate]]) -> None:
    write(tmp_path, {**metadata("bad", points="x"), **instrumentor()})
    (tmp_path / "bad-1.0.dist-info").chmod(0)
    assert list(found(tmp_path)) == ["thing"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_zip_file_on_the_path_is_read_and_a_bad_file_in_it_stops_nothing(
    encoding: str, tmp_path: Path, found: Callable[..., dict[str, Candidate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boundary, "strict", False)
    archive = zip_up(tmp_path / "app.zip", {**instrumentor(), **metadata("thing", record=["thing/__init__.py"])})
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("bad-1.0.dist-info/METADATA", "Name: bad\n")
        opened.writestr("bad-1.0.dist-info/entry_points.txt", "[opentelemetry_instrumentor]\né = m:I".encode(encoding))
        opened.writestr("nameless-1.0.dist-info/entry_points.txt", "[opentelemetry_instrumentor]\n")
    # The rest of the path stays: whoever reads the archive imports as it goes.
    assert found(archive, *sys.path)["thing"].modules == ["thing"]


@pytest.mark.parametrize("ours_first", [True, False])
def test_ours_comes_before_anybodys_of_the_same_name(
    ours_first: bool, tmp_path: Path, found: Callable[..., dict[str, Candidate]]
) -> None:
    ours = write(tmp_path / "ours", metadata("otel-run", points=POINT.replace("thing_instrumentor", "otel_run.thing")))
    theirs = write(tmp_path / "theirs", instrumentor())
    candidate = found(*((ours, theirs) if ours_first else (theirs, ours)))["thing"]
    assert (candidate.value, candidate.is_ours, candidate.modules) == ("otel_run.thing:Instrumentor", True, ["thing"])


def test_of_two_versions_the_first_on_the_path_counts(
    tmp_path: Path, found: Callable[..., dict[str, Candidate]]
) -> None:
    old = write(tmp_path / "old", {**metadata("thing", record=["old/__init__.py"], suffix="-1.0.dist-info")})
    new = write(tmp_path / "new", {**metadata("Thing", record=["new/__init__.py"], suffix="-2.0.dist-info")})
    site = write(tmp_path / "site", instrumentor())
    assert found(site, new, old, new)["thing"].modules == ["new"]


def test_the_current_folder_counts_where_the_path_is_empty(
    tmp_path: Path, found: Callable[..., dict[str, Candidate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path, instrumentor()))
    assert "thing" in found("")


@pytest.mark.parametrize("group", sorted(importlib.metadata.entry_points().groups))
def test_what_is_really_installed_is_read_as_the_standard_library_reads_it(group: str) -> None:
    wanted = sorted(
        {(point.name, point.value.partition("[")[0].strip()) for point in importlib.metadata.entry_points(group=group)}
    )
    assert sorted(set(candidates.entry_points(group))) == wanted
    assert sorted(set(candidates.names(group))) == sorted({name for name, _ in wanted})


@pytest.mark.parametrize("name", ["requests", "httpx", "psycopg", "sqlalchemy", "redis"])
def test_the_libraries_that_are_ours_are_ours(name: str) -> None:
    candidate = next(candidate for candidate in candidates.find() if candidate.name == name)
    assert (candidate.is_ours, candidate.modules) == (True, [name])

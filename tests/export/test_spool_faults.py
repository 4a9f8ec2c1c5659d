"""Killed writers, full disks, torn lines, foreign files: each costs itself alone, and is said."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from export.spooling import Child, Inbox, always, delivered, left, make, write
from otel_run.export import spool_file

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    source = """
        for name in "abc":
            assert write(spool, name) == ""
        ready("written")
    """
    with Child(tmp_path, source) as child:
        assert child.told() == "written"
        assert delivered(tmp_path) == ([], 0), "its writer lives"
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()
        assert delivered(tmp_path) == (["c", "b", "a"], 0)
    assert list(tmp_path.iterdir()) == []


def test_what_is_answered_and_not_cut_off_yet_comes_twice_and_is_not_lost(tmp_path: Path) -> None:
    left(tmp_path, "a", "b")
    with Child(tmp_path, "spool.deliver(lambda record: os.kill(os.getpid(), signal.SIGKILL), always)") as child:
        assert child.process.wait(30) == -signal.SIGKILL
    assert delivered(tmp_path) == (["b", "a"], 0)


def test_a_torn_last_line_costs_itself_alone(tmp_path: Path) -> None:
    path = left(tmp_path, "a", "b", "c")
    os.truncate(path, path.stat().st_size - 10)
    assert delivered(tmp_path) == (["b", "a"], 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"no json\n", b"{}\n", b"\xff\n\n[1]\n"], ids=repr)
def test_garbage_costs_itself_alone(tmp_path: Path, garbage: bytes) -> None:
    path = left(tmp_path, "a", "b")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + garbage + (b"" if garbage.endswith(b"\n") else b"\n") + second)
    names, lost = delivered(tmp_path)
    assert (names, lost > 0, list(tmp_path.iterdir())) == (["b", "a"], True, [])


def test_an_empty_file_is_removed(tmp_path: Path) -> None:
    left(tmp_path, "a").write_bytes(b"")
    assert delivered(tmp_path) == ([], 0)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_lacks_its_end_alone_is_delivered(tmp_path: Path) -> None:
    path = left(tmp_path, "a", "b")
    os.truncate(path, path.stat().st_size - 1)
    assert delivered(tmp_path) == (["b", "a"], 0)


def test_a_forked_child_begins_a_file_of_its_own_and_leaves_its_parents_locked(tmp_path: Path) -> None:
    source = """
        write(spool, "parent")
        child = os.fork()
        if not child:
            write(spool, "child")
            write(spool, "child, later")
            os._exit(len(list(folder.iterdir())))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        write(spool, "parent, later")
        ready("forked")
    """
    with Child(tmp_path, source) as parent:
        assert parent.told() == "forked"
        assert delivered(tmp_path) == (["child, later", "child"], 0)
        assert parent.end() == ""
    assert delivered(tmp_path) == (["parent, later", "parent"], 0)


def test_a_program_that_closes_every_descriptor_gets_no_byte_of_ours(tmp_path: Path) -> None:
    source = """
        write(spool, "before")
        os.closerange(3, 64)
        precious = [open(folder / f"precious {n}", "w+") for n in range(20)]
        assert write(spool, "after") == ""
        spool.deliver(Inbox(AWAY), always)
        spool.close()
        for file in precious:
            file.write("mine")
            file.close()
    """
    with Child(tmp_path, source) as child:
        child.end()
    precious = sorted(tmp_path.glob("precious*"))
    assert [path.read_text() for path in precious] == ["mine"] * 20
    names, lost = delivered(tmp_path)
    assert (sorted(names), lost) == (["after", "before"], 0)


def test_a_file_that_somebody_has_removed_is_begun_anew(tmp_path: Path) -> None:
    spool, inbox = make(tmp_path), Inbox()
    write(spool, "gone")
    for path in tmp_path.iterdir():
        path.unlink()
    assert write(spool, "kept") == ""
    assert spool.deliver(inbox, always) == 1
    assert inbox.names == ["kept"]


def test_a_disk_that_is_full_is_said_and_keeps_whole_lines(tmp_path: Path) -> None:
    source = """
        assert write(spool, "first") == ""
        [path] = folder.iterdir()
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, -1))
        why = write(spool, "no room")
        assert (path.stat().st_size, list(folder.iterdir())) == (size, [path])
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        assert write(spool, "last") == ""
        print(why)
    """
    with Child(tmp_path, source) as child:
        assert child.end() == "File too large"
    assert delivered(tmp_path) == (["last", "first"], 0)


def test_a_disk_that_was_full_before_keeps_no_empty_file(tmp_path: Path) -> None:
    source = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, -1))
        print(write(spool, "no room"), list(folder.iterdir()))
    """
    with Child(tmp_path, source) as child:
        assert child.end() == "File too large []"


def test_a_full_file_system_is_said(tmp_path: Path) -> None:
    """The system's own word for it, where this test may make such a file system."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        spool = make(tmp_path)
        reasons = [write(spool, "x" * 3000 + str(index)) for index in range(8)]
        kept = reasons.index("No space left on device")
        assert 0 < kept < 6
        assert set(reasons[:kept]) == {""}
        inbox = Inbox()
        assert spool.deliver(inbox, always) == reasons.count("")
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that another user may enter; those of pytest's nobody else may."""
    with tempfile.TemporaryDirectory(prefix="otel-run-spool-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


# As root everything may be read and written, so a test becomes somebody else.
NOBODY = """
        if os.getuid() == 0:
            os.setuid(65534)
"""


def test_a_folder_that_may_not_be_written_is_said(open_folder: Path) -> None:
    folder = open_folder / "spool"
    folder.mkdir(0o555)
    with Child(folder, NOBODY + "        print(write(spool, 'a'), spool.deliver(Inbox(), always))") as child:
        assert child.end() == "Permission denied 0"


def test_a_file_that_may_not_be_read_is_left_alone(open_folder: Path) -> None:
    path = left(open_folder, "a")
    if os.getuid():
        path.chmod(0)
    with Child(open_folder, NOBODY + "        print(spool.deliver(Inbox(), always))") as child:
        assert child.end() == "0"
    path.chmod(0o600)
    assert delivered(open_folder) == (["a"], 0)


@pytest.mark.parametrize("below", ["", "below", "below/and below"])
def test_a_folder_that_is_a_file_is_said(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    spool = make(tmp_path / "file" / below)
    assert write(spool, "a") in ("it is no folder", "Not a directory")
    assert spool.deliver(Inbox(), always) == 0
    spool.close()
    assert (tmp_path / "file").read_text() == "mine"


def test_what_is_not_of_a_spool_is_left_alone_and_never_waited_for(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "spool", tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    target = left(elsewhere, "a")
    (folder / "shop.1.00000000.jsonl").symlink_to(target)
    os.mkfifo(folder / "shop.1.00000001.jsonl")
    (folder / "shop.1.00000002.jsonl").mkdir()
    (folder / "notes.jsonl").write_bytes(target.read_bytes())
    (folder / "shop.1.00000003.jsonl.old").write_bytes(target.read_bytes())
    before = sorted(folder.iterdir())
    # All may go for room, but for what is not ours.
    spool = make(folder, most=700)
    assert [write(spool, name) for name in "bc"] == ["", ""]
    assert spool.deliver(Inbox(), always) >= 1
    assert sorted(folder.iterdir()) == before
    assert target.exists()


def test_where_there_are_no_file_locks_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_file, "HAS_LOCKS", False)
    spool = make(tmp_path)
    assert (write(spool, "a"), spool.deliver(Inbox(), always)) == ("no file locks here", 0)

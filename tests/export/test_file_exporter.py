"""The end of a shared file: whole lines, each span once, whoever else writes, moves, removes, stops or is killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from export.spooling import span
from otel_run.export.file import FileSender
from otel_run.export.sender import DELIVERED, Outcome
from otel_run.view.reading import read_line

if TYPE_CHECKING:
    from collections.abc import Callable

PLENTY = 1 << 26


def sender(place: Path | str, most: int = PLENTY, keep: int = 5) -> FileSender:
    return FileSender(str(place), "shop", most, keep)


def write(place: Path | str, *names: str, most: int = PLENTY, keep: int = 5) -> Outcome:
    writer = sender(place, most, keep)
    return writer.send(writer.pack(map(span, names)), 1.0)


def names(path: Path) -> list[str]:
    """Return what a file holds; each of its lines must be whole."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [span.name for line in data.splitlines() for span in read_line(line)]


def size_of(name: str) -> int:
    writer = sender("/nowhere")
    return len(writer.pack([span(name)]))


def test_a_batch_is_a_line_in_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "traces.jsonl"
    assert write(path, "a", "b") is DELIVERED
    assert write(path, "c") is DELIVERED
    assert names(path) == ["a", "b", "c"]
    assert [list(json.loads(line)) for line in path.read_text().splitlines()] == [["resourceSpans"]] * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_made_before_there_is_a_span(tmp_path: Path) -> None:
    writer = sender(tmp_path / "traces.jsonl")
    assert writer.send(writer.pack([]), 1.0) is DELIVERED
    assert list(tmp_path.iterdir()) == []


def test_no_line_is_longer_than_readers_take(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    assert write(path, *(f"{number}{'x' * 100_000}" for number in range(12))) is DELIVERED
    lengths = [len(line) for line in path.read_bytes().splitlines()]
    assert len(lengths) == 3
    assert max(lengths) < 512 * 1024
    assert len(names(path)) == 12


def test_a_folder_gets_a_file_for_each_process(tmp_path: Path) -> None:
    assert write(tmp_path, "a") is DELIVERED
    assert write(f"{tmp_path}/new/", "b") is DELIVERED
    assert names(tmp_path / f"shop.{os.getpid()}.jsonl") == ["a"]
    assert names(tmp_path / "new" / f"shop.{os.getpid()}.jsonl") == ["b"]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_full_file_is_moved_and_the_oldest_of_those_kept_is_lost(tmp_path: Path, keep: int) -> None:
    path, most = tmp_path / "traces.jsonl", 2 * size_of("a")
    for name in "abcdefghi":
        assert write(path, name, most=most, keep=keep) is DELIVERED
    wanted = {"traces.jsonl": ["i"], "traces.1.jsonl": ["g", "h"], "traces.2.jsonl": ["e", "f"]}
    wanted["traces.3.jsonl"] = ["c", "d"]
    kept = dict(list(wanted.items())[: keep + 1])
    assert {found.name: names(found) for found in tmp_path.iterdir()} == kept


def test_a_gap_that_a_killed_process_has_left_is_closed_first(tmp_path: Path) -> None:
    path, most = tmp_path / "traces.jsonl", size_of("a")
    (tmp_path / "traces.2.jsonl").write_text("2")
    for name in "ab":
        write(path, name, most=most, keep=2)
    assert (names(path), names(tmp_path / "traces.1.jsonl")) == (["b"], ["a"])
    assert (tmp_path / "traces.2.jsonl").read_text() == "2"


def test_a_batch_that_is_larger_than_a_file_may_be_gets_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    for name in "ab":
        assert write(path, name, most=10) is DELIVERED
    assert (names(path), names(tmp_path / "traces.1.jsonl")) == (["b"], ["a"])


@pytest.mark.parametrize("change", [os.unlink, lambda path: os.rename(path, f"{path}.old")], ids=["removed", "moved"])
def test_a_file_that_somebody_takes_away_is_begun_anew(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "traces.jsonl"
    writer = sender(path)
    for name in "ab":
        assert writer.send(writer.pack([span(name)]), 1.0) is DELIVERED
        if name == "a":
            change(path)
    assert names(path) == ["b"]


def test_what_a_killed_process_has_half_written_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    write(path, "a", "b")
    whole = path.read_bytes()
    for cut in (20, len(whole) - 1):
        path.write_bytes(whole + whole[:cut])
        assert write(path, "c") is DELIVERED
        assert names(path) == ["a", "b", "c"]


def test_what_somebody_else_has_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("without an end")
    assert write(path, "a") is DELIVERED
    mine, ours = path.read_text().splitlines()
    assert mine == "without an end"
    assert [span.name for span in read_line(ours)] == ["a"]


def link(path: Path) -> None:
    (path.parent / "victim").write_text("mine")
    path.symlink_to("victim")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (link, "it is a symbolic link, which is not followed"),
        (os.mkfifo, "it is no plain file"),
        (lambda path: path.symlink_to("/dev/null"), "it is a symbolic link, which is not followed"),
    ],
    ids=["link", "FIFO", "link to a device"],
)
def test_only_plain_files_are_written(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "traces.jsonl")
    outcome = write(tmp_path / "traces.jsonl", "a")
    assert (outcome.delivered, outcome.retry, outcome.reason) == (False, True, reason)
    if make is link:
        assert (tmp_path / "victim").read_text() == "mine"


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = write(tmp_path / "file" / "traces.jsonl", "a")
    assert (outcome.delivered, outcome.reason) == (False, "Not a directory")


def test_a_process_that_is_stopped_with_the_lock_holds_nobody_up_for_long(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    write(path, "a")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        writer = sender(path)
        parcel = writer.pack([span("b")])
        outcome = writer.send(parcel, 0.05)
        assert (outcome.delivered, outcome.retry, outcome.reason) == (False, True, "another process has locked it")
        assert names(path) == ["a"]
    assert writer.send(parcel, 1.0) is DELIVERED
    assert names(path) == ["a", "b"]


LIMITED = """
    import resource, sys
    sys.path.insert(0, {tests!r})
    from export.spooling import span
    from otel_run.export.file import FileSender
    writer = FileSender(sys.argv[1], "shop", 1 << 26, 5)
    parcel = writer.pack([span("b" * 300)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    print(writer.send(parcel, 1.0).reason)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert writer.send(parcel, 1.0).delivered
"""


def python(source: str, *arguments: object, told: Path) -> subprocess.Popen[bytes]:
    program = textwrap.dedent(source).format(tests=str(Path(__file__).parents[1]))
    with told.open("ab") as file:
        return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=file)


def test_a_full_disk_leaves_no_half_line_and_the_batch_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    write(path, "a")
    with python(LIMITED, path, path.stat().st_size + 50, told=tmp_path / "told") as child:
        assert child.wait(30) == 0
    assert (tmp_path / "told").read_text() == "File too large\n"
    assert names(path) == ["a", "b" * 300]


WRITING = """
    import os, sys
    sys.path.insert(0, {tests!r})
    from export.spooling import span
    from otel_run.export.file import FileSender
    path, who, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
    writer = FileSender(path, "shop", 60_000, 10_000)
    if os.fork():
        who += "-parent"
    for number in range(batches):
        parcel = writer.pack([span(f"{{who}}-{{number}}-{{one}}-" + "x" * 200) for one in range(20)])
        while not writer.send(parcel, 1.0).delivered:
            pass
        os.write(1, f"{{who}}-{{number}}\\n".encode())
"""
ENDLESS = 1_000_000


def test_many_processes_write_rotate_fork_and_are_killed_and_every_span_is_there_once(tmp_path: Path) -> None:
    path, told_to = tmp_path / "files" / "traces.jsonl", tmp_path / "told"
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(python(WRITING, path, who, batches, told=told_to))
            for who, batches in (("ending0", 40), ("ending1", 40), ("killed0", ENDLESS), ("killed1", ENDLESS))
        ]
        try:
            wait_for(lambda: all(told_to.read_text().count(f"killed{number}") >= 60 for number in range(2)))
            # In the middle of their work, and their children too.
            forked = [pid for child in started[2:] for pid in children(child.pid)]
            for pid in [*forked, *(child.pid for child in started[2:])]:
                os.kill(pid, signal.SIGKILL)
            endings = [f"ending{number}{role}-39\n" for number in range(2) for role in ("", "-parent")]
            wait_for(lambda: all(ending in told_to.read_text() for ending in endings))
        finally:
            for child in started:
                child.kill()
    # Whoever is killed in the middle leaves a torn line until the next one comes.
    write(path, "last", most=1, keep=10_000)
    files = list(path.parent.iterdir())
    assert len(files) > 10
    assert all(line.startswith(b'{"resourceSpans":[') for found in files for line in found.read_bytes().splitlines())
    found = Counter(name for file in files for name in names(file))
    assert set(found.values()) == {1}
    batches = Counter(name.rpartition("-")[0].rpartition("-")[0] for name in found if name != "last")
    assert set(batches.values()) == {20}
    told = set(told_to.read_text().split())
    assert told <= set(batches)
    # Each of the four that were killed may have written one more, whole, and not got to say so.
    assert len(set(batches) - told) <= 4


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in listed.stdout.split()]


# A fork in the middle: Python tells of each call of flock before it is made.
FORKING = """
    import fcntl, os, sys, time
    sys.path.insert(0, {tests!r})
    from export.spooling import span
    from otel_run.export.file import FileSender
    forked = []
    def fork(event, arguments):
        if event == "fcntl.flock" and arguments[1] == fcntl.LOCK_UN and not forked:
            forked.append(os.getpid())
            if not os.fork():
                print("forked", os.getpid(), flush=True)
                time.sleep(60)
                os._exit(0)
    sys.addaudithook(fork)
    writer = FileSender(sys.argv[1], "shop", 1 << 26, 5)
    assert writer.send(writer.pack([span("a")]), 1.0).delivered
"""


def test_a_child_that_was_forked_under_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    path, told = tmp_path / "traces.jsonl", tmp_path / "told"
    with python(FORKING, path, told=told) as parent:
        assert parent.wait(30) == 0
    wait_for(lambda: told.read_text().endswith("\n"))
    try:
        assert write(path, "b") is DELIVERED
    finally:
        os.kill(int(told.read_text().split()[1]), signal.SIGKILL)
    assert names(path) == ["a", "b"]

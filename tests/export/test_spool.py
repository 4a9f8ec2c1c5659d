"""What waits in a folder comes out whole and once, whoever delivers it, and stays within its bound."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from export.spooling import AWAY, DELIVERED, REFUSED, Child, Inbox, always, delivered, left, make, record, span, write
from otel_run import settings
from otel_run.export import spool as spooling
from otel_run.export import spool_file
from otel_run.export.otlp import HttpSender
from otel_run.export.sender import Sender


def test_a_file_is_of_its_owner_alone_and_holds_one_line_a_batch(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "spool"
    spool = make(folder)
    assert [write(spool, "a", "b"), write(spool, "c")] == ["", ""]
    [path] = folder.iterdir()
    assert spool_file.service_of(path.name) == "shop"
    assert path.name.split(".")[1] == str(os.getpid())
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert path.read_bytes().count(b"\n") == 2
    spool.close()


def test_nothing_is_touched_before_there_is_something_to_keep(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = make(folder)
    assert spool.deliver(Inbox(), always) == 0
    spool.close()
    assert not folder.exists()


def test_what_a_process_keeps_it_delivers_itself_the_last_first(tmp_path: Path) -> None:
    spool, inbox = make(tmp_path), Inbox()
    for name in "abc":
        write(spool, name)
    assert spool.deliver(inbox, always) == 3
    assert (inbox.names, spool.dropped, list(tmp_path.iterdir())) == (["c", "b", "a"], 0, [])
    write(spool, "d")
    assert spool.deliver(inbox, always) == 1
    assert (inbox.names[3:], list(tmp_path.iterdir())) == (["d"], [])


def test_a_file_holds_just_what_is_not_delivered(tmp_path: Path) -> None:
    spool, inbox = make(tmp_path), Inbox(DELIVERED, AWAY)
    for name in "abc":
        write(spool, name)
    assert spool.deliver(inbox, always) == 1
    write(spool, "d")
    assert spool.deliver(inbox, always) == 3
    assert (inbox.names, list(tmp_path.iterdir())) == (["c", "d", "b", "a"], [])


def test_it_is_asked_before_each_whether_to_go_on(tmp_path: Path) -> None:
    left(tmp_path, "a", "b", "c")
    spool, inbox = make(tmp_path), Inbox()
    assert spool.deliver(inbox, lambda: not inbox.names) == 1
    # Without waiting until it is time to look for files again.
    assert spool.deliver(inbox, lambda: len(inbox.names) < 2) == 1
    assert spool.deliver(inbox, always) == 1
    assert (inbox.names, list(tmp_path.iterdir())) == (["c", "b", "a"], [])


def test_the_oldest_file_is_delivered_first(tmp_path: Path) -> None:
    for age, name in ((5, "new"), (50, "old"), (20, "between")):
        os.utime(left(tmp_path, name), (1e9 - age, 1e9 - age))
    assert delivered(tmp_path) == (["old", "between", "new"], 0)


def test_what_is_refused_for_good_is_counted_and_not_sent_again(tmp_path: Path) -> None:
    left(tmp_path, "a", "b")
    spool, inbox = make(tmp_path), Inbox(REFUSED)
    assert spool.deliver(inbox, always) == 1
    assert (inbox.names, spool.dropped, list(tmp_path.iterdir())) == (["a"], 1, [])


def test_a_long_line_is_read_whole(tmp_path: Path) -> None:
    names = ["n" * size for size in (spool_file._CHUNK * 2, 3, spool_file._CHUNK - 200, spool_file._CHUNK, 5)]
    left(tmp_path, *names)
    assert delivered(tmp_path) == (names[::-1], 0)


@pytest.mark.parametrize("size", [spool_file._CHUNK * times + more for times in (1, 2) for more in (-1, 0, 1)])
def test_the_last_line_begins_behind_the_one_before(tmp_path: Path, size: int) -> None:
    path = left(tmp_path, "a")
    path.write_bytes(b"{}\n" + b"x" * (size - 1) + b"\n")
    file = spool_file.take(str(path))
    assert file is not None
    assert file.last_line() == (3, b"x" * (size - 1) + b"\n")
    file.close()


def test_two_processes_that_deliver_at_once_deliver_each_batch_once(tmp_path: Path) -> None:
    everything = [f"{number}-{line}" for number in range(12) for line in range(5)]
    for number in range(12):
        left(tmp_path, *everything[number * 5 : number * 5 + 5])
    source = """
        inbox = Inbox()
        ready("up")
        spool.deliver(inbox, always)
        print(*inbox.names)
    """
    with Child(tmp_path, source) as first, Child(tmp_path, source) as second:
        assert [first.told(), second.told()] == ["up", "up"]
        for child in (first, second):
            assert child.process.stdin is not None
            child.process.stdin.write("\n")
            child.process.stdin.flush()
        assert sorted((first.end() + " " + second.end()).split()) == sorted(everything)
    assert list(tmp_path.iterdir()) == []


def test_two_threads_that_deliver_at_once_deliver_each_batch_once(tmp_path: Path) -> None:
    """A lock of the process's own does not keep out another spool of the same process."""
    everything = [f"{number}-{line}" for number in range(12) for line in range(5)]
    for number in range(12):
        left(tmp_path, *everything[number * 5 : number * 5 + 5])
    inboxes = [Inbox() for _ in range(3)]
    threads = [threading.Thread(target=make(tmp_path).deliver, args=(inbox, always)) for inbox in inboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for inbox in inboxes for name in inbox.names) == sorted(everything)


def test_a_file_that_another_spool_of_this_process_writes_stays_locked(tmp_path: Path) -> None:
    """A process loses its lock with the first descriptor of the file that it closes."""
    writer = make(tmp_path)
    write(writer, "a")
    assert delivered(tmp_path) == ([], 0)
    with Child(tmp_path, "inbox = Inbox(); spool.deliver(inbox, always); print(inbox.names)") as other:
        assert other.end() == "[]"
    writer.close()
    assert delivered(tmp_path) == (["a"], 0)


def test_the_files_of_another_service_wait_for_it(tmp_path: Path) -> None:
    left(tmp_path, "theirs", service="billing")
    left(tmp_path, "ours")
    assert delivered(tmp_path) == (["ours"], 0)
    assert delivered(tmp_path, "billing") == (["theirs"], 0)


@pytest.mark.parametrize("service", ["../up/and/away", "", "käse", "a.1.2", "x" * 300, "\ud800", "a\0b", "\n"])
def test_any_service_can_have_files(tmp_path: Path, service: str) -> None:
    path = left(tmp_path / "spool", "a", service=service)
    assert path.parent == tmp_path / "spool"
    assert spool_file.service_of(path.name) == spooling.safe(service)
    assert delivered(tmp_path / "spool", service) == (["a"], 0)


def test_services_with_similar_names_are_not_taken_for_each_other() -> None:
    names = ["a.b", "a_b", "a:b", "ä", "ö", "x" * 100, "x" * 101]
    assert len({spooling.safe(name) for name in names}) == len(names)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_the_folder_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    spool, inbox = make(tmp_path, most=40_000), Inbox()
    names = [f"{index:03}" for index in range(300)]
    for name in names:
        assert write(spool, name) == ""
        assert _size(tmp_path) <= 40_000
    assert _size(tmp_path) > 30_000
    spool.deliver(inbox, always)
    assert sorted(inbox.names) == names[-len(inbox.names) :]
    assert len(inbox.names) + spool.dropped == 300
    assert list(tmp_path.iterdir()) == []


def test_what_dead_processes_left_goes_before_what_is_newer(tmp_path: Path) -> None:
    for age, name in ((5, "new"), (50, "old"), (20, "between")):
        os.utime(left(tmp_path, name, service="billing"), (1e9 - age, 1e9 - age))
    one = _size(tmp_path) // 3
    spool = make(tmp_path, most=one * 3 + one // 2)
    assert write(spool, "ours") == ""
    assert spool.dropped == 1
    spool.close()
    assert delivered(tmp_path, "billing") == (["between", "new"], 0)
    assert delivered(tmp_path) == (["ours"], 0)


def test_what_a_living_process_writes_is_not_removed_for_room(tmp_path: Path) -> None:
    source = """
        write(spool, "theirs")
        ready("written")
    """
    with Child(tmp_path, source) as child:
        assert child.told() == "written"
        spool = make(tmp_path, most=_size(tmp_path) + 10)
        assert write(spool, "ours") == "the folder is full of what may not be removed"
        assert spool.dropped == 0
        child.end()
    assert delivered(tmp_path) == (["theirs"], 0)


def test_a_batch_that_is_larger_than_the_folder_may_be_costs_no_other(tmp_path: Path) -> None:
    left(tmp_path, "a")
    spool = make(tmp_path, most=2000)
    assert write(spool, "x" * 5000) == "OTEL_RUN_SPOOL_MAX_BYTES is too small for it"
    assert delivered(tmp_path) == (["a"], 0)


def test_a_partly_delivered_file_keeps_its_age(tmp_path: Path) -> None:
    path = left(tmp_path, "a", "b")
    os.utime(path, (5, 5))
    spool = make(tmp_path)
    assert spool.deliver(Inbox(DELIVERED, AWAY), always) == 1
    assert path.stat().st_mtime == 5


def test_a_full_folder_is_not_looked_through_for_each_batch(tmp_path: Path) -> None:
    spool, inbox = make(tmp_path), Inbox()
    assert spool.deliver(inbox, always) == 0
    left(tmp_path, "a")
    assert spool.deliver(inbox, always) == 0, "it was looked for a moment ago"
    assert write(spool, "b") == ""
    assert spool.deliver(inbox, always) == 2, "there was trouble, so others have had it too"


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    def held() -> list[str]:
        found: list[Any] = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return [target for target in found if str(tmp_path) in target]

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc")
    spool = make(tmp_path)
    write(spool, "a")
    assert len(held()) == 1
    spool.close()
    assert held() == []
    spool.deliver(Inbox(AWAY), always)
    assert held() == []
    assert not any(str(tmp_path) in path for _, path in spool_file._claimed)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_a_sender_has_packed_can_be_kept(protocol: str, compression: str) -> None:
    # Here: a hundred modules, and each child of these tests imports this file.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    from otel_run.export.otlp_grpc import GrpcSender

    found, problems = settings.read({"OTEL_EXPORTER_OTLP_COMPRESSION": compression}, lambda _group: [])
    assert problems == []
    sender: Sender = HttpSender(found) if protocol == "http/protobuf" else GrpcSender(found, OTLPSpanExporter)
    try:
        assert sender.record(sender.pack([span("a"), span("b")])) == record("a", "b")
    finally:
        if isinstance(sender, GrpcSender):
            sender.exporter.shutdown()

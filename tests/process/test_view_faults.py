"""`otel-run view` where not all is well: streams that are closed, files that move, lines that never end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from otel_run.command.view import sources
from otel_run.command.view.store import Store
from process.children import OTEL_RUN, environment, run

# Four traces, of as many spans as their numbers; in the file, each is in two lines.
SPAN = '{"traceId":"%032x","spanId":"%016x","name":"order","startTimeUnixNano":"1","endTimeUnixNano":"2"}'
TRACES = [",".join(SPAN % (number, span) for span in range(1, number + 1)) for number in range(1, 5)]
LINE = '{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}\n'


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Give a file of traces, in a folder of its own."""
    path = tmp_path / "recorded" / "traces.jsonl"
    path.parent.mkdir()
    path.write_text("".join(LINE % spans for spans in (*TRACES, ",".join(TRACES))))
    return path


@pytest.mark.parametrize(
    ("arguments", "streams", "status", "message"),
    [
        ("FILE", "> /dev/full", 1, "stdout can't be written: No space left on device"),
        ("--help", "> /dev/full", 1, "stdout can't be written: No space left on device"),
        ("--html - FILE", "> /dev/full", 1, "stdout can't be written: No space left on device"),
        ("FILE", ">&-", 1, "stdout can't be written: Bad file descriptor"),
        ("-", "<&-", 1, "stdin can't be read: it is closed"),
        ("FILE", "2>&-", 0, ""),
        ("FILE nosuch", "2>&-", 1, ""),
        ("FILE --html page.html", "<&- >&- 2>&-", 0, ""),
    ],
    ids=str,
)
def test_streams_that_are_closed_or_full_are_said(
    recorded: Path, tmp_path: Path, arguments: str, streams: str, status: int, message: str
) -> None:
    words = [os.fspath(recorded) if word == "FILE" else word for word in arguments.split()]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {streams}', "sh", *OTEL_RUN, "view", *words],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    first, *rest = done.stderr.splitlines() or [""]
    assert first == (f"otel-run: {message}" if message else "")
    assert rest in ([], ["otel-run: there is no trace"])
    if "page.html" in words:
        assert (tmp_path / "page.html").read_text().endswith("</html>\n")


@pytest.mark.parametrize("flag", ["--html", "--chrome"])
@pytest.mark.parametrize("more", [[], ["other.jsonl"]], ids=["of all", "of another"])
def test_a_file_of_traces_is_not_written_over(recorded: Path, tmp_path: Path, flag: str, more: list[str]) -> None:
    for name in ("traces.jsonl", "other.jsonl", "plain"):
        shutil.copy(recorded, tmp_path / name)
    for arguments in ([flag, "traces.jsonl", *more], ["./plain", flag, "plain"]):
        done = run([*OTEL_RUN, "view", *arguments], tmp_path, env=environment())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"otel-run: {flag} would write over ")
        assert "hint: otel-run view " in done.stderr
    assert {path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == {recorded.read_bytes()}


def test_a_file_larger_than_the_memory_is_read_again_where_it_is_needed(recorded: Path) -> None:
    lean, rich = Store(most_kept=0), Store()
    for store in (lean, rich):
        assert store.read(os.fspath(recorded)) == ""
        assert len(store.seen) == 4
    for trace in rich.seen:
        wanted = sorted((span.id, span.name, span.start) for span in rich.spans_of(trace))
        assert sorted((span.id, span.name, span.start) for span in lean.spans_of(trace)) == wanted


def test_lines_that_were_moved_meanwhile_are_counted(recorded: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(recorded, tmp_path))
    store = Store(most_kept=0)
    assert store.read(os.fspath(path)) == ""
    path.rename(tmp_path / "traces.1.jsonl")
    path.write_text("{}\n")
    assert [list(store.spans_of(trace)) for trace in store.seen] == [[], [], [], []]
    assert store.moved == 8


def test_a_line_without_an_end_is_one_that_can_not_be_read(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"x" * 20_000 + b"\n" + recorded.read_bytes() + b"y" * 30_000)
    monkeypatch.setattr(sources, "_LONGEST", 8_192)
    store = Store(most_kept=0)
    assert store.read(os.fspath(path)) == ""
    assert (store.unreadable, store.first_unreadable) == (2, f"{path}, line 1: no JSON")
    # What comes behind it is found again.
    assert [len(list(store.spans_of(trace))) for trace in store.seen] == [2, 4, 6, 8]
    assert store.moved == 0

"""OTEL_TRACES_EXPORTER=tree: what a person reads on stderr, and that nothing else about the program changes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, environment, run

if TYPE_CHECKING:
    from pathlib import Path

TREE = {"OTEL_TRACES_EXPORTER": "tree", "NO_COLOR": "1", "OTEL_RUN_STRICT": "true", "PYTHONWARNINGS": "error"}
HEAD = "import os, sys, time\nfrom opentelemetry import trace\nspan = trace.get_tracer('app').start_as_current_span\n"
# The label before a duration, which may be that of what is still running.
LINE = re.compile(r"^(?P<indent>[\s│├└─∥`|-]*)(?P<label>\S.*?) \[[\d.]+m?s[^\]]*\]", re.MULTILINE)


def start(source: str, folder: Path, **variables: str) -> tuple[list[str], dict[str, str]]:
    (folder / "app.py").write_text(HEAD + source)
    return [*OTEL_RUN, sys.executable, "app.py"], environment(**{**TREE, **variables})


def shown(source: str, folder: Path, status: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    command, env = start(source, folder, **variables)
    done = run(command, folder, env=env)
    assert done.returncode == status, done.stderr
    return done


def labels(text: str) -> list[tuple[int, str]]:
    """Return (depth, label) of each line of a tree."""
    return [(len(found["indent"]) // 4, found["label"]) for found in LINE.finditer(text)]


def test_the_calls_of_a_script_are_one_tree(tmp_path: Path) -> None:
    source = """
with span("validate"):
    pass
with span("executeOrder"):
    with span("INSERT orders"):
        pass
print("done")
"""
    done = shown(source, tmp_path, OTEL_RUN_PROCESS_SPAN="auto")
    assert done.stdout == "done\n"
    assert labels(done.stderr) == [(0, "app"), (1, "validate"), (1, "executeOrder"), (2, "INSERT orders")]


def test_each_trace_is_shown_while_the_program_goes_on(tmp_path: Path) -> None:
    source = "with span('one'):\n    pass\nsys.stdin.read()\nwith span('two'):\n    pass\n"
    before, after = told(source, tmp_path, r"one \[")
    assert ("two" in before, "two" in after, "one [" in after) == (False, True, False)


def test_traces_are_summed_up_at_the_end_if_there_are_several(tmp_path: Path) -> None:
    one = "with span('Order'):\n    pass\n"
    assert "p95" not in shown(one, tmp_path).stderr
    assert "p95" in shown(one * 3, tmp_path).stderr
    # And if there was one that nobody has seen.
    unseen = shown(one, tmp_path, OTEL_RUN_SHOW="errors").stderr
    assert ("p95" in unseen, labels(unseen)) == (True, [])


def test_a_lane_is_a_task_a_job_or_a_thread(tmp_path: Path) -> None:
    source = """
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
def job(name):
    with span(f"{name} 1"):
        pass
    with span(f"{name} 2"):
        pass
async def task(name):
    with span(f"{name} 1"):
        await asyncio.sleep(0.01)
    with span(f"{name} 2"):
        await asyncio.sleep(0.01)
async def main():
    with span("main"):
        await asyncio.gather(task("task a"), task("task b"))
        await asyncio.to_thread(job, "apart a")
        await asyncio.to_thread(job, "apart b")
with span("root"):
    asyncio.run(main())
    with ThreadPoolExecutor(1) as pool:
        list(pool.map(job, ["pooled a", "pooled b"]))
    thread = threading.Thread(target=job, args=("thread",))
    thread.start()
    thread.join()
    job("own")
"""
    done = shown(source, tmp_path, OTEL_TRACES_EXPORTER="tree,console")
    spans, decoder, text = {}, json.JSONDecoder(), done.stdout.strip()
    while text:
        found, end = decoder.raw_decode(text)
        spans[found["name"]] = found["attributes"]["otelrun.lane"]
        text = text[end:].strip()
    for name in ("task a", "task b", "apart a", "apart b", "pooled a", "pooled b", "thread", "own"):
        assert spans[f"{name} 1"] == spans[f"{name} 2"], name
    assert spans["root"] == spans["own 1"]
    assert len(set(spans.values())) == len(spans) // 2
    assert {lane.split()[0] for name, lane in spans.items() if name.startswith(("task", "main"))} == {"task"}


def test_a_lane_takes_no_place_of_an_attribute(tmp_path: Path) -> None:
    source = """
with span("one") as one:
    one.set_attributes({"a": 1, "b": 2})
with span("two") as two:
    two.set_attribute("a", "long")
"""
    limits = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "2", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "2"}
    done = shown(source, tmp_path, OTEL_TRACES_EXPORTER="tree,console", **limits)
    decoder = json.JSONDecoder()
    first, end = decoder.raw_decode(done.stdout)
    second, _ = decoder.raw_decode(done.stdout[end:].strip())
    assert first["attributes"] == {"a": 1, "b": 2}
    assert second["attributes"] == {"a": "lo", "otelrun.lane": "thread 1"}


def told(source: str, folder: Path, until: str, terminal: bool = True, **variables: str) -> tuple[str, str]:
    """Run a program that reads its stdin to the end, which comes when stderr says `until`; return stderr before, after.

    Its stderr is a terminal or a pipe.
    """
    command, env = start(source, folder, **variables)
    env = {name: value for name, value in env.items() if value}
    read, write = pty.openpty() if terminal else os.pipe()
    with subprocess.Popen(command, cwd=folder, env=env, stdin=-1, stdout=subprocess.DEVNULL, stderr=write) as process:
        os.close(write)
        found, before, deadline = b"", b"", time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                more = os.read(read, 10_000) if select.select([read], [], [], 0.1)[0] else None
            except OSError:  # all have closed the terminal
                more = b""
            if more == b"":
                break
            found += more or b""
            if not before and re.search(until, found.decode(errors="replace")):
                before = found
                assert process.stdin is not None
                process.stdin.close()
        else:
            process.kill()
    os.close(read)
    text = found.decode().replace("\r\n", "\n")
    assert (process.returncode, bool(before)) == (0, True), text
    first = before.decode().replace("\r\n", "\n")
    return first, text.removeprefix(first)


ENDINGS = {
    "an error nobody has caught": ("raise ValueError('no')", 1),
    "os._exit": ("os._exit(7)", 7),
    "sys.exit": ("sys.exit(3)", 3),
    "SIGTERM": ("os.kill(os.getpid(), 15); time.sleep(9)", -signal.SIGTERM),
    "another program": ("os.execv('/bin/sh', ['sh', '-c', 'exit 5'])", 5),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_way_it_ends_what_there_is_is_shown(ending: str, tmp_path: Path) -> None:
    source, status = ENDINGS[ending]
    open_ones = "with span('root'):\n    with span('child'):\n        pass\n    with span('call'):\n        "
    done = shown(f"print('out', flush=True)\n{open_ones}{source}\n", tmp_path, status)
    assert done.stdout == "out\n"
    assert labels(done.stderr) == [(0, "root"), (1, "child"), (1, "call")]
    is_cut_off = ending not in ("sys.exit", "an error nobody has caught")
    assert ("still running" in done.stderr) is is_cut_off


def test_what_an_open_span_holds_is_masked(tmp_path: Path) -> None:
    source = """
url = "http://user:geheim@host/x?token=geheim"
with span("GET", kind=trace.SpanKind.CLIENT, attributes={"http.request.method": "GET", "url.full": url}):
    with span("child"):
        pass
    os._exit(0)
"""
    done = shown(source, tmp_path)
    assert "host/x" in done.stderr
    assert "geheim" not in done.stderr


def test_a_forked_child_shows_its_own_part(tmp_path: Path) -> None:
    source = """
with span("parent"):
    with span("before"):
        pass
    if os.fork() == 0:
        with span("in the child"):
            pass
        os._exit(0)
    os.wait()
"""
    done = shown(source, tmp_path)
    assert sorted(labels(done.stderr)) == [(0, "in the child"), (0, "parent"), (1, "before")]
    assert "parent not seen" not in done.stderr


def test_a_trace_that_ends_right_before_a_fork_is_shown_after_it(tmp_path: Path) -> None:
    source = """
with span("root"):
    pass
trace.get_tracer_provider().force_flush()
if os.fork() == 0:
    os._exit(0)
os.wait()
sys.stdin.read()
"""
    before, after = told(source, tmp_path, r"root \[")
    assert (labels(before), labels(after)) == ([(0, "root")], [])


def test_processes_of_a_pool_show_their_own_parts(tmp_path: Path) -> None:
    source = """
import multiprocessing
def work(number):
    with span(f"work {number}"):
        return number
if __name__ == "__main__":
    with span("parent"):
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            print(pool.map(work, range(3)))
            pool.close()
            pool.join()
"""
    done = shown(source, tmp_path)
    assert done.stdout == "[0, 1, 2]\n"
    found = labels(done.stderr)
    assert sorted(label for _, label in found) == ["parent", "work 0", "work 1", "work 2"]


def test_what_goes_on_when_its_root_is_over_is_shown_later(tmp_path: Path) -> None:
    source = """
import threading
from opentelemetry import context
begun = threading.Event()
def go_on():
    with span("background"):
        begun.set()
        sys.stdin.read()
with span("request"):
    thread = threading.Thread(target=go_on)
    thread.start()
    begun.wait()
thread.join()
"""
    before, after = told(source, tmp_path, r"background \[")
    assert labels(before) == [(0, "request"), (1, "background")]
    assert "still running" in before
    assert labels(after)[0] == (0, "background")
    assert "still running" not in after


def test_a_trace_of_thousands_of_spans_at_once_is_one_tree(tmp_path: Path) -> None:
    source = (
        "with span('root'):\n    for number in range(5000):\n        with span(f'call {number}'):\n            pass\n"
    )
    text = shown(source, tmp_path, OTEL_BSP_MAX_QUEUE_SIZE="10000").stderr
    assert [label for depth, label in labels(text) if not depth] == ["root"]
    assert not re.search("parent not seen|not over yet|shown before", text)


def test_of_very_many_only_some_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    source = "for _ in range(1500):\n    with span('Order'):\n        pass\n    time.sleep(0.0002)\n"
    done = shown(source, tmp_path, OTEL_BSP_MAX_QUEUE_SIZE="100000")
    assert 6 <= len([label for _, label in labels(done.stderr) if label == "Order"]) <= 100
    assert " more like Order (p50 " in done.stderr
    assert "1500" in done.stderr


@pytest.mark.parametrize("exporter", ["none", "otlp", "console"])
def test_nothing_of_the_viewer_is_there_unless_it_is_asked_for(exporter: str, tmp_path: Path, closed_port: int) -> None:
    source = """
with span("one"):
    pass
trace.get_tracer_provider().force_flush()
print([name for name in sys.modules if name.startswith(("otel_run.view", "otel_run.export.tree"))])
"""
    where = f"http://127.0.0.1:{closed_port}"
    done = shown(source, tmp_path, OTEL_TRACES_EXPORTER=exporter, OTEL_EXPORTER_OTLP_ENDPOINT=where)
    assert "[]\n" in done.stdout


# The program's stderr.


def test_a_program_without_stderr_that_opens_a_file_keeps_it_clean(tmp_path: Path) -> None:
    source = """
file = open("data", "w")
print(file.fileno())
with span("one"):
    file.write("mine")
"""
    command, env = start(source, tmp_path)
    script = 'exec "$@" 2>&-'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *command], cwd=tmp_path, env=env, stdout=-1, timeout=60, check=True
    )
    assert done.stdout == b"2\n"
    assert (tmp_path / "data").read_text() == "mine"


def test_a_program_that_sends_its_stderr_to_a_log_has_the_trees_there(tmp_path: Path) -> None:
    source = "os.dup2(os.open('log', os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)\nwith span('one'):\n    pass\n"
    done = shown(source, tmp_path)
    assert (labels((tmp_path / "log").read_text()), done.stderr) == ([(0, "one")], "")


def test_a_stream_in_the_place_of_stderr_is_the_programs_own(tmp_path: Path) -> None:
    source = """
import io
sys.stderr = io.StringIO()
with span("one"):
    pass
time.sleep(0.5)
print(repr(sys.stderr.getvalue()))
"""
    done = shown(source, tmp_path)
    assert (done.stdout, labels(done.stderr)) == ("''\n", [(0, "one")])


def test_a_stderr_that_takes_ascii_gets_ascii(tmp_path: Path) -> None:
    source = "with span('é'):\n    with span('child'):\n        pass\n"
    done = shown(source, tmp_path, PYTHONIOENCODING="ascii")
    assert done.stderr.isascii()
    assert [label for _, label in labels(done.stderr)][-1] == "child"


BUSY = """
for _ in range(300):
    with span("root"):
        for _ in range(5):
            with span("child with a name that takes some room, so that a pipe is full rather soon " + "x" * 400):
                pass
    time.sleep(0.005)
print("out")
sys.exit(3)
"""


@pytest.mark.parametrize("blocks", [True, False])
def test_a_pipe_that_nobody_reads_holds_nobody_up(blocks: bool, tmp_path: Path) -> None:
    read, write = os.pipe()
    # Full, to the last byte.
    os.set_blocking(write, False)
    for size in (4096, 1):
        while True:
            try:
                os.write(write, b"x" * size)
            except BlockingIOError:
                break
    os.set_blocking(write, blocks)
    command, env = start(BUSY, tmp_path, OTEL_RUN_SHOW="all")
    try:
        done = subprocess.run(command, cwd=tmp_path, env=env, stdout=-1, stderr=write, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (3, b"out\n")
    finally:
        os.close(write)
        os.close(read)


def test_a_pipe_that_nobody_will_read_holds_nobody_up(tmp_path: Path) -> None:
    # A program that wants to die of its own writing does not die of ours.
    source = f"import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n{BUSY}"
    read, write = os.pipe()
    os.close(read)
    command, env = start(source, tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=env, stdout=-1, stderr=write, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stdout) == (3, b"out\n")


# A terminal.


def test_with_nothing_configured_a_terminal_shows_traces_and_says_so_once(tmp_path: Path) -> None:
    source = """
import subprocess
with span("one"):
    pass
sys.stdin.read()
if len(sys.argv) < 2:
    subprocess.run([sys.executable, "app.py", "child"], check=True)
"""
    text = "".join(told(source, tmp_path, r"one \[", OTEL_TRACES_EXPORTER=""))
    assert text.startswith("otel-run: traces are shown here, as no receiver is set. hint: ")
    assert (text.count("traces are shown here"), text.count("one [")) == (1, 2)
    assert "traces are shown here" not in "".join(told(source, tmp_path, r"one \["))


TAKEN = """
import termios, tty
usual = termios.tcgetattr(2)
tty.setcbreak(2)
with span("one"):
    pass
provider = trace.get_tracer_provider()
provider.force_flush()
time.sleep(0.3)
provider.force_flush()
os.write(1, b"SCREEN\\n")
termios.tcsetattr(2, termios.TCSANOW, usual)
provider.force_flush()
with span("two"):
    pass
"""


def test_nothing_is_shown_on_a_terminal_that_the_program_reads_key_by_key(tmp_path: Path) -> None:
    command, env = start(TAKEN, tmp_path)
    spawn = [sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))", *command]
    with subprocess.Popen(spawn, cwd=tmp_path, env=env, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
    assert process.returncode == 0, text
    assert labels(text[: text.index("SCREEN")]) == []
    assert [label for depth, label in labels(text) if not depth] == ["one", "two"]


def test_what_goes_on_for_long_is_told_in_a_line(tmp_path: Path) -> None:
    source = """
with span("Order"):
    with span("before"):
        pass
    with span("Call"):
        sys.stdin.read()
"""
    before, after = told(source, tmp_path, "… Order")
    assert re.search(r"^… Order \d+\.\d+s in Call \(\d+\.\d+s\)$", before, re.MULTILINE)
    # Nothing is drawn over what stands there.
    assert not re.search(r"\x1b\[\d*[A-HJKST]|\r", before + after)

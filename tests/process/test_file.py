"""`OTEL_TRACES_EXPORTER=file` in real runs: every span is in the file once, masked, whatever the program does."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from otel_run.view.reading import read_line
from otel_run.view.span import Span
from process.children import OTEL_RUN, environment

# What a program of a user's does with the API, to have spans that depend on no library.
PRELUDE = """
    import os, sys, time
    from opentelemetry import trace
    tracer = trace.get_tracer("app")
    def work(name, **attributes):
        with tracer.start_as_current_span(name, attributes=attributes):
            pass
"""


def start(folder: Path, source: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    (folder / "app.py").write_text(textwrap.dedent(PRELUDE) + textwrap.dedent(source))
    settings = {"OTEL_TRACES_EXPORTER": "file", "OTEL_SERVICE_NAME": "shop", "OTEL_RUN_STRICT": "true", **env}
    return subprocess.Popen(
        [*OTEL_RUN, sys.executable, "app.py", *arguments],
        cwd=folder,
        env=environment(**settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, source: str, *arguments: str, **env: str) -> tuple[int, str, str]:
    with start(folder, source, *arguments, **env) as process:
        stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def spans(*paths: Path) -> list[Span]:
    return [span for path in paths for line in path.read_bytes().splitlines() for span in read_line(line)]


def test_spans_are_in_the_file_of_the_folder_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    assert run(tmp_path, "os.chdir('else'); work('a', n=1)") == (0, "", "")
    [span] = spans(tmp_path / "traces.jsonl")
    assert (span.name, span.service, span.scope, span.is_open) == ("a", "shop", "app", False)
    assert span.attributes["n"] == 1
    assert not list((tmp_path / "else").iterdir())


def test_secrets_are_masked(tmp_path: Path) -> None:
    source = "work('a', **{'url.full': 'http://me:secret@x/?password=secret', 'db.query.text': \"SELECT 'secret'\"})"
    assert run(tmp_path, source)[0] == 0
    assert "secret" not in (tmp_path / "traces.jsonl").read_text()


def test_a_program_that_runs_on_has_its_spans_there_soon(tmp_path: Path) -> None:
    source = """
    work("a")
    path = os.environ["WATCHED"]
    deadline = time.monotonic() + 20
    while not (os.path.exists(path) and os.path.getsize(path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    print(os.path.getsize(path) > 0)
    """
    # The delay of a batch may be set longer: somebody waits for these.
    env = {"WATCHED": str(tmp_path / "traces.jsonl"), "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    assert run(tmp_path, source, **env) == (0, "True\n", "")


def test_forked_children_share_the_file(tmp_path: Path) -> None:
    source = """
    work("before")
    pids = []
    for number in range(4):
        pid = os.fork()
        if not pid:
            for one in range(300):
                work(f"{number}-{one}")
            sys.exit()
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    work("after")
    """
    assert run(tmp_path, source, OTEL_RUN_FILE_MAX_BYTES="50000", OTEL_RUN_FILE_KEEP="99") == (0, "", "")
    files = list(tmp_path.glob("traces*.jsonl"))
    assert len(files) > 2
    wanted = ["after", "before", *(f"{number}-{one}" for number in range(4) for one in range(300))]
    assert sorted(span.name for span in spans(*files)) == sorted(wanted)


def test_several_services_write_side_by_side_to_a_folder(tmp_path: Path) -> None:
    for name in ("traces", "a", "b"):
        (tmp_path / name).mkdir()
    env = {"OTEL_RUN_FILE": str(tmp_path / "traces")}
    started = [start(tmp_path / name, "work(os.getcwd())", **env, OTEL_SERVICE_NAME=name) for name in "ab"]
    for process in started:
        with process:
            assert process.communicate(timeout=60) == ("", "")
    assert sorted(path.name.split(".")[0] for path in (tmp_path / "traces").iterdir()) == ["a", "b"]
    assert sorted(span.service for span in spans(*(tmp_path / "traces").iterdir())) == ["a", "b"]


def test_what_can_not_be_written_is_one_line_and_the_program_goes_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "traces.jsonl")
    path = tmp_path / "traces.jsonl"
    status, stdout, stderr = run(tmp_path, "work('a'); work('b'); print('done')")
    assert (status, stdout) == (0, "done\n")
    told = f"down: {path}: it is no plain file; 2 spans lost. hint: OTEL_RUN_FILE says where to write"
    assert stderr == f"otel-run: exporter file: {told}\n"


def test_it_is_said_when_it_can_be_written_again_and_nothing_is_lost(tmp_path: Path) -> None:
    source = """
    work("a")
    tracer_provider = trace.get_tracer_provider()
    tracer_provider.force_flush()
    os.unlink("traces.jsonl")
    deadline = time.monotonic() + 20
    while not os.path.exists("traces.jsonl") and time.monotonic() < deadline:
        time.sleep(0.05)
    """
    os.mkfifo(tmp_path / "traces.jsonl")
    path = tmp_path / "traces.jsonl"
    status, _, stderr = run(tmp_path, source)
    assert status == 0
    down, back = stderr.splitlines()
    kept = "up to 2048 spans are kept and sent when it is back"
    assert down == f"otel-run: exporter file: down: {path}: it is no plain file; {kept}"
    assert back == f"otel-run: exporter file: back: {path} takes spans again, no span was lost"
    assert [span.name for span in spans(path)] == ["a"]


def test_the_file_and_a_receiver_get_the_same(tmp_path: Path) -> None:
    source = "work('a')"
    status, stdout, stderr = run(tmp_path, source, OTEL_TRACES_EXPORTER="file,console")
    assert (status, stderr) == (0, "")
    assert '"name": "a"' in stdout
    assert [span.name for span in spans(tmp_path / "traces.jsonl")] == ["a"]

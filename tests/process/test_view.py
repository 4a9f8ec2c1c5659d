"""`otel-run view`: the traces of a real run, those that were asked for, in the form that was asked for."""

from __future__ import annotations

import gzip
import json
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from process.children import OTEL_RUN, environment

APP = """
import time
from opentelemetry import trace
tracer = trace.get_tracer("app")
for number in range(4):
    with tracer.start_as_current_span(f"order {number}"):
        with tracer.start_as_current_span("query", attributes={"db.system.name": "postgresql",
                "db.query.text": f"SELECT px FROM book{number} WHERE id = ?", "note": ["Läuft"]}):
            time.sleep(0.06 if number == 1 else 0.001)
        if number == 2:
            try:
                with tracer.start_as_current_span("send"):
                    raise TimeoutError("too late")
            except TimeoutError:
                pass
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file that a run has written."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "app.py").write_text(textwrap.dedent(APP))
    env = environment(OTEL_TRACES_EXPORTER="file", OTEL_SERVICE_NAME="shop")
    subprocess.run([*OTEL_RUN, sys.executable, "app.py"], cwd=folder, env=env, check=True, timeout=60)
    return folder / "traces.jsonl"


def view(
    *arguments: object, cwd: Path | None = None, stdin: bytes = b"", status: int = 0, **env: str
) -> tuple[str, str]:
    """Run it, and return stdout and stderr."""
    done = subprocess.run(
        [*OTEL_RUN, "view", *map(str, arguments)],
        input=stdin,
        cwd=cwd,
        env=environment(PYTHONUTF8="1", **env),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def labels(*arguments: object, **more: object) -> list[str]:
    """Return which traces are shown, by the names of their roots."""
    stdout, stderr = view("--json", *arguments, **more)  # type: ignore[arg-type]
    assert stderr == ""
    return [json.loads(line)["label"] for line in stdout.splitlines()]


ALL = ["order 0", "order 1", "order 2", "order 3"]


def ids(path: Path) -> list[str]:
    """Return the ids of the traces, in the order of the file."""
    lines = path.read_text().splitlines()
    spans = [
        span
        for line in lines
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    return list(dict.fromkeys(span["traceId"] for span in spans))


def test_a_file_is_drawn_as_trees_in_the_order_of_time(recorded: Path) -> None:
    stdout, stderr = view(recorded)
    assert stderr == ""
    lines = [line for line in stdout.splitlines() if line.startswith("order ")]
    assert [line.partition(" [")[0] for line in lines] == ALL
    assert "└── SELECT px FROM book0 WHERE id = ? [" in stdout
    assert "TimeoutError" in stdout
    assert "\x1b" not in stdout


def test_color_and_width_are_as_told(recorded: Path) -> None:
    assert "\x1b[" in view(recorded, "--color")[0]
    assert "\x1b[" not in view(recorded, "--no-color", FORCE_COLOR="1")[0]
    assert max(map(len, view(recorded, "--width", "40")[0].splitlines())) <= 40


def test_without_a_file_it_is_the_one_that_a_run_writes_here(recorded: Path, tmp_path: Path) -> None:
    assert labels(cwd=recorded.parent) == ALL
    assert labels(cwd=tmp_path, OTEL_RUN_FILE=str(recorded)) == ALL
    _, stderr = view(cwd=tmp_path, status=2)
    assert stderr.startswith(
        "otel-run: there is nothing to view: no FILE is given, and there is no traces.jsonl\nhint: "
    )


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--errors"], ["order 2"]),
        (["--slowest", "1"], ["order 1"]),
        (["--last=2"], ["order 2", "order 3"]),
        (["--grep", "ORDER 3"], ["order 3"]),
        (["--grep", "from BOOK1 "], ["order 1"]),
        (["--grep", "läuFT"], ALL),
        (["--grep", "too late"], ["order 2"]),
        (["--last", "2", "--grep", "book1"], ["order 1"]),
    ],
    ids=" ".join,
)
def test_traces_are_selected(recorded: Path, flags: list[str], wanted: list[str]) -> None:
    assert labels(recorded, *flags) == wanted


def test_the_slowest_come_first(recorded: Path) -> None:
    found = labels(recorded, "--slowest", "4")
    assert (found[0], sorted(found)) == ("order 1", ALL)


def test_a_trace_is_found_by_the_first_digits_of_its_id(recorded: Path) -> None:
    wanted = ids(recorded)[1]
    assert labels(recorded, "--trace", wanted[:12].upper()) == ["order 1"]
    assert view(recorded, "--trace", "0" * 32, status=1) == (
        "",
        "otel-run: no trace matches\nhint: otel-run view --help says what selects them\n",
    )


def test_files_come_from_everywhere(recorded: Path, tmp_path: Path) -> None:
    data = recorded.read_bytes()
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "folder").mkdir()
    shutil.copy(recorded, tmp_path / "folder" / "traces.1.jsonl")
    shutil.copy(recorded, tmp_path / "folder" / "shop.7.0a1b2c3d.jsonl")
    (tmp_path / "folder" / "other.txt").write_text("nothing")
    (tmp_path / "pretty.json").write_text(json.dumps(json.loads(data.splitlines()[0]), indent=2))
    for place in ("packed.jsonl.gz", "folder", "pretty.json"):
        assert labels(place, cwd=tmp_path) == ALL
    assert labels("-", stdin=data) == ALL


def test_a_trace_is_gathered_over_files_and_lines(recorded: Path, tmp_path: Path) -> None:
    for number, data in enumerate(recorded.read_text().splitlines()):
        [resource] = json.loads(data)["resourceSpans"]
        [scope] = resource["scopeSpans"]
        for which, span in enumerate(scope["spans"]):
            alone = {"resourceSpans": [{**resource, "scopeSpans": [{**scope, "spans": [span]}]}]}
            with (tmp_path / f"{number}-{which % 3}.jsonl").open("a") as file:
                file.write(json.dumps(alone) + "\n")
    stdout, _ = view("--json", tmp_path)
    assert [json.loads(line)["label"] for line in stdout.splitlines()] == ALL
    assert stdout == view("--json", recorded)[0]


def test_torn_and_foreign_lines_are_counted_and_nothing_else_is_lost(recorded: Path, tmp_path: Path) -> None:
    data = recorded.read_bytes()
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"what is this?\n\n" + data + b'{"resourceLogs":[]}\n' + data[:100])
    stdout, stderr = view("--json", path)
    assert len(stdout.splitlines()) == 4
    assert stderr == f"otel-run: 3 lines can't be read and passed over: {path}, line 1: no JSON\n"


def test_a_file_that_can_not_be_read_is_said_and_the_others_are_shown(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    stdout, stderr = view("--json", "gone", "empty", recorded, cwd=tmp_path, status=1)
    assert len(stdout.splitlines()) == 4
    assert stderr.splitlines() == [
        "otel-run: gone can't be read: No such file or directory",
        "otel-run: empty can't be read: there is no *.jsonl file in it",
    ]


def test_no_trace_at_all_is_said(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_text("")
    assert view(cwd=tmp_path, status=1) == ("", "otel-run: there is no trace\n")


def test_a_page_and_a_perfetto_file_are_written_for_the_users_eyes_alone(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "out.html").write_text("before")
    stdout, stderr = view(recorded, "--html", "out.html", "--chrome=out.json", "--errors", cwd=tmp_path)
    assert (stdout, stderr) == ("", "otel-run: written to out.html\notel-run: written to out.json\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "out.json"]
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = (tmp_path / "out.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "order 2" in page
    assert "order 1" not in page
    events = json.loads((tmp_path / "out.json").read_text())["traceEvents"]
    assert sorted(event["name"] for event in events if event["ph"] == "X") == ["order 2", "query", "send"]


def test_files_may_go_to_stdout(recorded: Path) -> None:
    assert json.loads(view(recorded, "--chrome", "-")[0])["displayTimeUnit"] == "ms"
    assert view(recorded, "--html", "-")[0].startswith("<!doctype html>")


@pytest.mark.parametrize(("flags", "order"), [([], "newest"), (["--slowest", "2"], "slowest")])
def test_a_page_lists_its_traces_in_the_order_that_was_asked_for(recorded: Path, flags: list[str], order: str) -> None:
    page, _ = view(recorded, "--html", "-", *flags)
    data = page.partition('<script id="data" type="application/json">')[2].partition("</script>")[0]
    assert json.loads(data)["order"] == order


def test_a_file_that_can_not_be_written_is_said(recorded: Path, tmp_path: Path) -> None:
    _, stderr = view(recorded, "--html", "gone/out.html", cwd=tmp_path, status=1)
    assert stderr == "otel-run: gone/out.html can't be written: No such file or directory\n"


def test_the_summary_is_a_table(recorded: Path) -> None:
    stdout, stderr = view(recorded, "--summary")
    assert stderr == ""
    assert "p95" in stdout
    assert all(name in stdout for name in ALL)


def test_whoever_has_read_enough_ends_it_without_a_word(recorded: Path, tmp_path: Path) -> None:
    [line] = recorded.read_text().splitlines()
    many = [line.replace(trace, f"{number:032x}") for number, trace in enumerate(ids(recorded) * 100, 1)]
    (tmp_path / "traces.jsonl").write_text("\n".join(many))
    with subprocess.Popen(
        [*OTEL_RUN, "view", "--json", "traces.jsonl"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode != 0


def test_the_terminals_encoding_is_no_obstacle(recorded: Path) -> None:
    done = subprocess.run(
        [*OTEL_RUN, "view", recorded],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.isascii()
    assert b"order 3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slow", "3"], "view has no flag --slow; allowed: "),
        (["--slowest"], "--slowest needs a value: --slowest N"),
        (["--slowest", "0"], "--slowest can't be '0'; allowed: a number from 1 on"),
        (["--last=x"], "--last can't be 'x'; allowed: a number from 1 on"),
        (["--trace", "xyz"], "--trace can't be 'xyz'; allowed: up to 32 digits 0-9 and a-f"),
        (["--grep="], "--grep needs a value, got an empty one"),
        (["--json=1"], "--json takes no value"),
        (["--json", "--html", "-"], "--json and --html can't both go to stdout"),
        (["--html", "a", "--chrome", "a"], "--html and --chrome can't write the same file"),
        (["--serve", "--errors"], "--errors can't stand beside --serve"),
        (["--serve=70000"], "--serve can't be '70000'; allowed: a port, or 0 for any that is free"),
        (["--otlp-port", "1"], "--otlp-port is for --serve alone"),
    ],
    ids=" ".join,
)
def test_a_mistake_on_the_command_line_is_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    stdout, stderr = view(*arguments, cwd=tmp_path, status=2)
    assert stdout == ""
    assert stderr.startswith(f"otel-run: {message}")


def test_help_names_every_flag() -> None:
    from otel_run.command.view import flags

    stdout, stderr = view("--help")
    assert stderr == ""
    assert all(f"  {flag} " in stdout for flag in (*flags.VALUE_FLAGS, *flags.PLAIN_FLAGS, "--serve"))
    assert max(map(len, stdout.splitlines())) <= 120
    listed = subprocess.run([*OTEL_RUN, "--help"], capture_output=True, text=True, check=True, env=environment())
    assert "otel-run view [FILE...]" in listed.stdout
    assert "otel-run send DIR|FILE..." in listed.stdout

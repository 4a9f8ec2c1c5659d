"""The launcher: flags become variables, and then it *is* the program; its own mistakes have a status and a hint."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from otel_run.command import COMMANDS, flags
from process.children import OTEL_RUN, STARTUP_FOLDER, environment, run

PRINT_ARGV = "import sys; print(sys.argv[1:])"


def otel_run(*arguments: str, cwd: Path, env: dict[str, str] | None = None, stdin: str = "") -> tuple[int, str, str]:
    done = run([*OTEL_RUN, *arguments], cwd, stdin, env)
    return done.returncode, done.stdout, done.stderr


def variables(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a program that is no Python."""
    status, stdout, stderr = otel_run(*arguments, "env", "-0", cwd=cwd, env=env)
    assert (status, stderr) == (0, "")
    return dict(entry.split("=", 1) for entry in stdout.split("\0") if entry)


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


RATIO = "parentbased_traceidratio"
FLAGS = [
    (["--service", "shop"], {"OTEL_SERVICE_NAME": "shop"}),
    (["--service=shop = 1"], {"OTEL_SERVICE_NAME": "shop = 1"}),
    (["--exporter", "otlp,console"], {"OTEL_TRACES_EXPORTER": "otlp,console"}),
    (["--show", "errors"], {"OTEL_RUN_SHOW": "errors"}),
    (["--endpoint", "http://h:1"], {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1"}),
    (["--protocol", "GRPC"], {"OTEL_EXPORTER_OTLP_PROTOCOL": "GRPC"}),
    (["--ratio", "0.25"], {"OTEL_TRACES_SAMPLER": RATIO, "OTEL_TRACES_SAMPLER_ARG": "0.25"}),
    (["--ratio", "10 %"], {"OTEL_TRACES_SAMPLER": RATIO, "OTEL_TRACES_SAMPLER_ARG": "0.1"}),
    (["--sampler", "always_off"], {"OTEL_TRACES_SAMPLER": "always_off"}),
    (["--sampler-arg", "0.5"], {"OTEL_TRACES_SAMPLER_ARG": "0.5"}),
    (["--propagators", "b3,baggage"], {"OTEL_PROPAGATORS": "b3,baggage"}),
    (["--disable", "redis,httpx"], {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis,httpx"}),
    (["--trace", "orders:f(a,b)=F"], {"OTEL_RUN_TRACE": "orders:f(a,b)=F"}),
    (
        ["--trace", "orders:f(a,b),pricing.*", "--service=x", "--trace=m:größe=Größe"],
        {"OTEL_RUN_TRACE": "orders:f(a,b),pricing.*,m:größe=Größe", "OTEL_SERVICE_NAME": "x"},
    ),
    (["--debug"], {"OTEL_RUN_DEBUG": "true"}),
    (["--debug", "--service", "a", "--service=b"], {"OTEL_RUN_DEBUG": "true", "OTEL_SERVICE_NAME": "b"}),
    (["--service", "--debug"], {"OTEL_SERVICE_NAME": "--debug"}),
    (["--debug", "--"], {"OTEL_RUN_DEBUG": "true"}),
    ([], {}),
]


@pytest.mark.parametrize(("given", "wanted"), FLAGS, ids=" ".join)
def test_a_flag_sets_its_variable_and_nothing_else(given: list[str], wanted: dict[str, str], tmp_path: Path) -> None:
    bare = run(["env", "-0"], tmp_path).stdout
    before = dict(entry.split("=", 1) for entry in bare.split("\0") if entry)
    assert variables(*given, cwd=tmp_path) == {**before, **wanted, "PYTHONPATH": STARTUP_FOLDER}


def test_every_flag_is_tried_above() -> None:
    tried = {argument.partition("=")[0] for given, _ in FLAGS for argument in given}
    assert set(flags.VALUE_FLAGS) - tried == {"--env-file"}


def test_a_flag_wins_over_the_environment_and_over_what_would_win_over_its_variable(tmp_path: Path) -> None:
    env = environment(
        OTEL_SERVICE_NAME="env",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://env:1",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
        OTEL_TRACES_SAMPLER="always_on",
    )
    given = ["--service", "flag", "--endpoint", "http://flag:1", "--protocol", "http/protobuf", "--ratio", "1%"]
    found = variables(*given, cwd=tmp_path, env=env)
    assert {name: value for name, value in found.items() if name.startswith("OTEL_")} == {
        **{name: value for name, value in environment().items() if name.startswith("OTEL_")},
        "OTEL_SERVICE_NAME": "flag",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://flag:1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_SAMPLER": RATIO,
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
    }


def test_a_file_of_patterns_is_found_from_wherever_the_program_goes_and_wins_over_the_environment(
    tmp_path: Path,
) -> None:
    (tmp_path / "traced.txt").write_text("orders:f\npricing.*  # all\n")
    given = ["--trace", "@traced.txt", "--trace", "a:g"]
    found = variables(*given, cwd=tmp_path, env=environment(OTEL_RUN_TRACE="env:f"))
    assert found["OTEL_RUN_TRACE"] == f"@{tmp_path}/traced.txt,a:g"


def test_a_file_of_patterns_that_the_environment_names_is_found_from_every_folder(tmp_path: Path) -> None:
    for given, wanted in [("@traced.txt, a:g", f"@{tmp_path}/traced.txt,a:g"), (" a:g ,, b:h", " a:g ,, b:h")]:
        found = variables(cwd=tmp_path, env=environment(OTEL_RUN_TRACE=given))
        assert found["OTEL_RUN_TRACE"] == wanted


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ([], 2, ["no program", "hint: otel-run python app.py"]),
        (["--debug"], 2, ["no program"]),
        (["--servce", "x", "env"], 2, ["--servce", "--service, --exporter", "hint: did you mean --service ?"]),
        (["-x", "env"], 2, ["-x", "allowed: "]),
        (["--service"], 2, ["--service needs a value"]),
        (["--service", "", "env"], 2, ["--service", "empty"]),
        (["--debug=yes", "env"], 2, ["--debug takes no value"]),
        (["-m"], 2, ["-m needs a value"]),
        (["--ratio", "many", "env"], 2, ["--ratio", "'many'", "a number from 0 to 1"]),
        (["--ratio", "10", "env"], 2, ["--ratio", "'10'", "hint: write 10%"]),
        (
            ["--protocol", "grcp", "env"],
            2,
            ["--protocol", "'grcp'", "http/protobuf, grpc", "hint: did you mean grpc ?"],
        ),
        (
            ["--exporter=otpl", "env"],
            2,
            ["--exporter", "'otpl'", "otlp, tree, file, console, none", "hint: did you mean otlp ?"],
        ),
        (["--sampler", "always_of", "env"], 2, ["--sampler", "'always_of'", "hint: did you mean always_off ?"]),
        (["--propagators", "w3c", "env"], 2, ["--propagators", "'w3c'", "tracecontext"]),
        (["--endpoint", "localhost", "env"], 2, ["--endpoint", "hint: did you mean http://localhost ?"]),
        (["--trace", "a:g,orders;f", "env"], 2, ["--trace", "'orders;f'", "hint: did you mean orders:f ?"]),
        (["--trace", "a:g", "--trace=f()", "env"], 2, ["--trace", "'f()'", "allowed: module:function, "]),
        (["--trace", ",", "env"], 2, ["--trace needs a pattern"]),
        (["--trace", "@missing.txt", "env"], 2, ["--trace", "missing.txt'", "hint: the file can't be read: No such"]),
        (["--trace", "@plain.txt", "--trace", "@bad.txt", "env"], 2, ["--trace", "'orders::f'", "hint: did you mean"]),
        (["--env-file", "missing.env", "env"], 2, ["--env-file missing.env can't be read"]),
        (["pyhton3"], 127, ["'pyhton3'", "PATH", "hint: did you mean python3"]),
        (["--", "--service"], 127, ["'--service'"]),
        (["--", "-m", "this"], 127, ["'-m'"]),
        (["aap.py"], 127, ["'aap.py'", "hint: did you mean app.py ?"]),
        (["./missing/tool"], 127, ["'./missing/tool'", "hint: "]),
        (["./plain.txt"], 126, ["./plain.txt is not executable", "hint: chmod +x ./plain.txt"]),
        (["./folder"], 126, ["./folder is a folder", "hint: otel-run python ./folder"]),
        (["./no_interpreter"], 126, ["./no_interpreter can't be run", "hint: ", "#!"]),
        (["./noshebang"], 126, ["./noshebang can't be run", "hint: ", "#!"]),
        (["path", "x"], 2, ["path takes no arguments"]),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else str(case),
)
def test_a_mistake_has_its_status_one_sentence_and_a_hint(
    given: list[str], status: int, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("")
    (tmp_path / "plain.txt").write_text("")
    (tmp_path / "bad.txt").write_text("# ours\norders::f\n")
    (tmp_path / "folder").mkdir()
    executable(tmp_path / "no_interpreter", "#!/no/such/interpreter\n")
    executable(tmp_path / "noshebang", "no program\n")
    found, stdout, stderr = otel_run(*given, cwd=tmp_path)
    assert (found, stdout) == (status, "")
    lines = stderr.splitlines()
    assert lines[0].startswith("otel-run: ")
    assert [line.partition(":")[0] for line in lines[1:]] in ([], ["hint"])
    for part in said:
        assert part in stderr


def test_ways_to_name_the_program(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(f"import sys; print(sys.prefix == {sys.prefix!r}, sys.argv)")
    script = executable(tmp_path / "bin" / "tool", '#!/bin/sh\necho tool "$0" "$@"\n')
    # Neither a folder nor a file without the x bit hides a program further on.
    (tmp_path / "first" / "tool").mkdir(parents=True)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "tool").write_text("")
    path = os.pathsep.join(str(tmp_path / name) for name in ("first", "second", "bin"))
    env = environment(PATH=path)
    assert otel_run("app.py", "-m", "--debug", cwd=tmp_path, env=env)[1:] == ("True ['app.py', '-m', '--debug']\n", "")
    main = str(tmp_path / "app.py")
    assert otel_run("-m", "app", "--", "x", cwd=tmp_path, env=env)[1] == f"True {[main, '--', 'x']}\n"
    assert otel_run("-mapp", "x", cwd=tmp_path, env=env)[1] == f"True {[main, 'x']}\n"
    assert otel_run("tool", "a b", "", cwd=tmp_path, env=env)[1] == f"tool {script} a b \n"
    assert otel_run("bin/tool", cwd=tmp_path, env=env)[1] == "tool bin/tool\n"


@pytest.mark.parametrize("program", [["python", "-c", PRINT_ARGV], ["--", "python", "-c", PRINT_ARGV]])
def test_the_programs_own_flags_are_its_own(program: list[str], tmp_path: Path) -> None:
    own = ["--debug", "--service=x", "--help", "--version", "--", "-m", "--no-such", "--env-file", "x", ""]
    env = environment(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert otel_run(*program, *own, cwd=tmp_path, env=env) == (0, f"{own}\n", "")


def test_it_becomes_the_program_with_the_same_process_and_standard_input(tmp_path: Path) -> None:
    source = "import os, sys; print(os.getpid(), sys.stdin.read())"
    command = [*OTEL_RUN, sys.executable, "-c", source]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.communicate("text", timeout=60)[0] == f"{started.pid} text\n"


@pytest.mark.parametrize("program", [["sh", "-c"], [sys.executable, "-c"]], ids=["sh", "python"])
def test_its_end_is_the_programs_end(program: list[str], tmp_path: Path) -> None:
    ends = {
        "sh": {"exit 0": 0, "exit 41": 41, "kill -TERM $$": -signal.SIGTERM, "kill -KILL $$": -signal.SIGKILL},
        sys.executable: {
            "raise SystemExit(42)": 42,
            "import os; os.kill(os.getpid(), 15)": -signal.SIGTERM,
            "import os; os.kill(os.getpid(), 13)": 0,  # Python ignores SIGPIPE for itself
        },
    }
    for source, status in ends[program[0]].items():
        assert otel_run(*program, source, cwd=tmp_path)[0] == status


def test_a_signal_reaches_the_program(tmp_path: Path) -> None:
    handler = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    command = [*OTEL_RUN, "sh", "-c", handler]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.terminate()
        assert (started.wait(60), started.stdout.read()) == (9, "told\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_signals_and_descriptors_are_as_they_were(tmp_path: Path) -> None:
    # SIGPIPE, which every Python ignores for itself, would be ignored by the program after exec.
    look = ["sh", "-c", "grep -E 'Sig(Blk|Ign|Cgt)|Umask' /proc/self/status; ls /proc/self/fd; pwd; ulimit -a"]
    assert otel_run(*look, cwd=tmp_path)[1] == run(look, tmp_path).stdout


@pytest.mark.parametrize(
    "locale",
    [{}, {"LC_ALL": "C"}, {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"},
        {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, {"LANG": "en_US.UTF-8"}, {"LC_ALL": ""}],
    ids=str,
)  # fmt: skip
def test_the_locale_that_the_launchers_interpreter_set_for_itself_is_taken_back(
    locale: dict[str, str], tmp_path: Path
) -> None:
    kept = {name: value for name, value in environment().items() if not name.startswith(("LC_", "LANG"))}
    found = variables(cwd=tmp_path, env={**kept, **locale})
    assert {name: value for name, value in found.items() if name.startswith(("LC_", "LANG"))} == locale


@pytest.mark.parametrize("before", ["a", "a:b", ":a", "a:", ":", "a::b", "a:a", STARTUP_FOLDER + ":a"])
def test_what_the_python_path_held_keeps_its_order_and_its_empty_entries(before: str, tmp_path: Path) -> None:
    path = variables(cwd=tmp_path, env=environment(PYTHONPATH=before))["PYTHONPATH"]
    assert path == (before if before.startswith(STARTUP_FOLDER) else f"{STARTUP_FOLDER}:{before}")


@pytest.mark.parametrize("before", ["a:b", ":a", "a:", ":", ""])
def test_the_path_of_the_program_is_the_one_it_would_have(before: str, tmp_path: Path) -> None:
    show = [sys.executable, "-c", "import sys; print(sys.path)"]
    env = environment(PYTHONPATH=before)
    assert otel_run(*show, cwd=tmp_path, env=env)[1] == run(show, tmp_path, env=env).stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--help"],
            [
                "Usage: otel-run",
                *flags.VALUE_FLAGS,
                *flags.PLAIN_FLAGS,
                "-m MODULE",
                *(f"otel-run {word} " for word in COMMANDS),
            ],
        ),
        (["-h"], ["Usage: otel-run"]),
        (["--version"], ["otel-run 0."]),
        (["--debug", "-V", "no-such-program"], ["otel-run 0."]),
        (["path", "--help"], ["Usage: otel-run path"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_it_says_of_itself_goes_to_stdout(
    given: list[str], said: list[str], encoding: str, tmp_path: Path
) -> None:
    status, stdout, stderr = otel_run(*given, cwd=tmp_path, env=environment(PYTHONIOENCODING=encoding))
    assert (status, stderr) == (0, "")
    assert [part for part in said if part not in stdout] == []


def test_path_is_all_that_a_container_needs(tmp_path: Path) -> None:
    assert Path(STARTUP_FOLDER, "sitecustomize.py").is_file()
    source = "import sys; print([type(finder).__module__ for finder in sys.meta_path][0])"
    done = run([sys.executable, "-c", source], tmp_path, env=environment(PYTHONPATH=STARTUP_FOLDER))
    assert (done.stdout, done.stderr) == ("otel_run.patching.on_import\n", "")


def test_the_launcher_imports_nothing_that_a_plain_run_does_not_need(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "otel_run.command", "--debug", "true"]
    imported = {line.rpartition("|")[2].strip() for line in run(command, tmp_path).stderr.splitlines()}
    assert "otel_run.command.run" in imported
    heavy = {"argparse", "logging", "subprocess", "typing", "socket", "signal", "importlib.metadata", "opentelemetry"}
    assert imported & {*heavy, "otel_run.settings", "otel_run.grammar", "otel_run.command.env_file"} == set()

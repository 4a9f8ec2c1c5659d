"""Functions of the script itself are traced where Python tells of its top level (3.12), whichever way it is run."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import zipapp
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, both, environment

if TYPE_CHECKING:
    from servers.program import Traced

is_old = sys.version_info < (3, 12)
needs_monitoring = pytest.mark.skipif(is_old, reason="the script itself is traced from Python 3.12 on")

SCRIPT = """
import sys
def free(): return not any(map(sys.monitoring.get_tool, (3, 4)))
def helper(n): return n + 1
class Order:
    def total(self): return helper(1)
def main():
    print(Order().total(), free())
def never_called(): pass
if __name__ == "__main__":
    main()
"""
SETTINGS = {"OTEL_TRACES_EXPORTER": "console", "OTEL_RUN_PROCESS_SPAN": "off", "OTEL_RUN_STRICT": "true"}
# What each way to run a file makes of its name; None: it has no other than __main__.
WAYS = {
    "script": (["app.py"], "app"),
    "script elsewhere": (["pkg/app.py"], "app"),
    "module": (["-m", "app"], "app"),
    "module of a package": (["-m", "pkg.app"], "pkg.app"),
    "package": (["-m", "pkg"], "pkg.__main__"),
    "folder": (["folder"], None),
    "zip": (["app.pyz"], None),
    "code": (["-c", SCRIPT], None),
    "standard input": ([], None),
    "standard input by name": (["-"], None),
    "profiler": (["-m", "cProfile", "app.py"], "app"),
    "debugger": (["-m", "pdb", "-c", "continue", "-c", "quit", "app.py"], "app"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for file in ("app.py", "pkg/app.py", "pkg/__main__.py", "folder/__main__.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(SCRIPT)
    (tmp_path / "pkg" / "__init__.py").write_text("")
    zipapp.create_archive(tmp_path / "folder", tmp_path / "app.pyz")
    return tmp_path


def _run(arguments: list[str], folder: Path, patterns: str, stdin: str = "", **env: str) -> tuple[list[str], str, str]:
    """Run Python with `arguments`; return the functions that left spans, what it printed, and what to stderr."""
    done = subprocess.run(
        [*OTEL_RUN, sys.executable, *arguments],
        cwd=folder,
        env=environment(**SETTINGS, OTEL_RUN_TRACE=patterns, **env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    spans, printed = [], ""
    rest = done.stdout
    while "{\n" in rest:
        before, _, after = rest.partition("{\n")
        span, end = json.JSONDecoder().raw_decode("{\n" + after)
        spans.append(span["attributes"]["code.function.name"])
        printed, rest = printed + before, ("{\n" + after)[end:].lstrip("\n")
    return spans, printed + rest, done.stderr


@needs_monitoring
@pytest.mark.parametrize("way", WAYS)
def test_a_script_is_traced_whichever_way_it_is_run(way: str, project: Path) -> None:
    arguments, name = WAYS[way]
    stdin = SCRIPT if way.startswith("standard input") else ""
    for known in ("__main__", name) if name else ("__main__",):
        patterns = f"{known}:main,{known}:Order.*"
        spans, printed, stderr = _run(arguments, project, patterns, stdin)
        assert spans == [f"{known}.Order.total", f"{known}.main"], (printed, stderr)
        assert "otel-run" not in stderr
        # While a pattern may mean more, the last of the script's own calls is still watched: that of main.
        assert "2 False" in printed


@needs_monitoring
def test_nothing_is_left_on_when_all_that_was_named_is_found(project: Path) -> None:
    spans, printed, stderr = _run(["app.py"], project, "app:main,__main__:Order.total")
    assert (spans, printed, stderr) == (["__main__.Order.total", "app.main"], "2 True\n", "")


@needs_monitoring
@pytest.mark.parametrize("patterns", ["*", "__main__:*", "app", "other:*", "__main__:nothing"])
def test_nothing_is_left_on_when_the_script_has_ended(patterns: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import atexit, sys\n"
        "def left(): return [sys.monitoring.get_tool(tool) for tool in range(6)]\n"
        "def last(): print(left(), sys.monitoring.get_events(4))\n"
        "atexit.register(last)\n"
    )
    spans, printed, _ = _run(["app.py"], tmp_path, patterns)
    assert printed == f"{[None] * 6} 0\n"
    assert bool(spans) == (patterns in ("*", "__main__:*", "app"))


MANNERS = """
import os, threading
from functools import wraps
from typing import overload

def one_liner(): return 1
one_liner()
shortest = lambda: 1; shortest()
try:
    import no_such_module
except ImportError as error:
    def instead(): return error.name if "error" in globals() else 2
instead()
for number in range(2):
    def in_loop(): return number
in_loop()
def decorator(function):
    @wraps(function)
    def around(*args):
        return function(*args)
    return around
@decorator
def decorated(): return 3
decorated()
class Thing:
    def method(self): return 4
    @staticmethod
    def static(): return 5
    @classmethod
    def of_class(cls): return 6
    def __init__(self): self.made = True
Thing().method(), Thing.static(), Thing.of_class()
@overload
def overloaded(a: int) -> int: ...
@overload
def overloaded(a: str) -> str: ...
def overloaded(a): return a
overloaded(1)
def in_thread(): pass
thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
if __name__ == "__main__":
    def under_the_guard(): return 7
    under_the_guard()
exec("def by_exec(): return 8")
by_exec()
def with_arguments(a, *, b=2): return a + b
print(sum([with_arguments(1), with_arguments(1, b=3)]))
"""
EXACT = [
    *("one_liner", "shortest", "instead", "in_loop", "decorated", "Thing.method", "Thing.static", "Thing.of_class"),
    *("overloaded", "in_thread", "under_the_guard", "by_exec", "with_arguments"),
]


@needs_monitoring
def test_whatever_manner_a_script_has_of_defining_its_functions(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(MANNERS)
    spans, printed, stderr = _run(["app.py"], tmp_path, ",".join(f"app:{name}" for name in EXACT))
    assert spans == [f"app.{name}" for name in [*EXACT, EXACT[-1]]]
    assert (printed, stderr) == ("7\n", "")


@needs_monitoring
def test_a_pattern_with_a_star_means_what_the_script_itself_has_written(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(MANNERS)
    spans, _, _ = _run(["app.py"], tmp_path, "*")
    assert set(EXACT) - {span.removeprefix("app.") for span in spans} == {"by_exec"}


TELL = """
import sys
def double(n):
    return n * 2, sys.monitoring.get_tool(4)
def run(method):
    import multiprocessing
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.map(double, [1, 2])
if __name__ == "__main__":
    print([doubled for doubled, _ in run(sys.argv[1])])
"""


@needs_monitoring
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_functions_of_the_script_are_traced_in_its_workers(method: str, traced: Traced) -> None:
    run = traced(TELL, method, env={"OTEL_RUN_TRACE": "app:double,app:run"})
    assert (run.returncode, run.stdout, run.stderr) == (0, "[2, 4]\n", "")
    whole = run.span("run")
    doubled = [span for span in run.spans if span.name == "double"]
    assert [span.parent_id for span in doubled] == [whole.span_id] * 2
    assert {span.attributes["code.function.name"] for span in run.spans} == {"app.run", "app.double"}


ENDINGS = {
    "error": "def main():\n    return 1 / 0\nmain()\n",
    "error at the top level": "def main(): pass\nmain()\n1 / 0\n",
    "error of a call in a call": "def f(): raise SystemExit('text')\ndef main(*a): pass\nmain(1, f())\n",
    "Ctrl-C": "import signal\ndef main(): signal.raise_signal(signal.SIGINT)\nmain()\n",
    "exit": "import sys\ndef main(): return 3\nsys.exit(main())\n",
    "syntax": "def main(:\n",
    "its own globals": "def main(): pass\nmain()\nprint(sorted(globals()), main, main.__code__.co_name, __name__)\n",
}


@needs_monitoring
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_script_behaves_as_without_us(ending: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ENDINGS[ending].replace("main, ", "main.__name__, "))
    for patterns in ("app:*", "app:main"):
        settings = {**SETTINGS, "OTEL_TRACES_EXPORTER": "none", "OTEL_RUN_LOG_LEVEL": "none"}
        bare, traced = both(["app.py"], tmp_path, **settings, OTEL_RUN_TRACE=patterns, OTEL_LOG_LEVEL="none")
        assert traced == bare


@needs_monitoring
def test_at_a_console_nothing_is_on() -> None:
    source = "import sys; print([sys.monitoring.get_tool(tool) for tool in range(6)])\nexit()\n"
    here, there = pty.openpty()
    with subprocess.Popen(
        [*OTEL_RUN, sys.executable, "-q"],
        env=environment(**SETTINGS, OTEL_RUN_TRACE="*", PYTHON_BASIC_REPL="1"),
        stdin=there,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as console:
        os.write(here, source.encode())
        printed, _ = console.communicate(timeout=30)
    os.close(here)
    os.close(there)
    assert f"{[None] * 6}\n" in printed


@needs_monitoring
def test_ids_that_others_have_taken_are_left_to_them(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import sys\ndef main(): print([sys.monitoring.get_tool(tool) for tool in (3, 4)])\nmain()\n"
    )
    take = "import sys\nsys.monitoring.use_tool_id({0}, 'theirs')\n"
    (tmp_path / "sitecustomize.py").write_text(take.format(4))
    assert _run(["app.py"], tmp_path, "app:main,app:*", PYTHONPATH=".") == (
        ["app.main"],
        "['otel-run', 'theirs']\n",
        "",
    )
    (tmp_path / "sitecustomize.py").write_text(take.format(4) + take.format(3))
    spans, printed, stderr = _run(["app.py"], tmp_path, "app:main", PYTHONPATH=".")
    assert (spans, printed) == ([], "['theirs', 'theirs']\n")
    assert stderr == (
        "otel-run: OTEL_RUN_TRACE app:main: matched nothing: "
        "the ids 4 and 3 of sys.monitoring are taken by other tools\n"
    )


FAILING = """
import sys
from otel_run import boundary, function_patterns
from otel_run.functions import main_module
def apply(part, name):
    print("told of", *sorted(set(vars(part)) & {"first", "second", "third", "fourth"}))
    ANSWER
main_module.watch([function_patterns.parse("*:*")], apply)
"""
TOLD = """
import sys
def first(): return 1
first()
def second(): return 2
try:
    second()
except KeyboardInterrupt:
    print("stopped")
def third(): return 3
third()
def fourth(): return 4
print(fourth(), sys.monitoring.get_tool(4))
"""


@needs_monitoring
@pytest.mark.parametrize("answer", ["1 / 0", "if 'second' in vars(part): raise KeyboardInterrupt"])
def test_our_mistakes_stay_ours_and_ctrl_c_stays_the_programs(answer: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(TOLD)
    (tmp_path / "sitecustomize.py").write_text(FAILING.replace("ANSWER", answer))
    agent = str(Path(sys.modules["otel_run"].__path__[0]).parent)
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f".{os.pathsep}{agent}"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [f"told of {name}" for name in ("first", "second", "third")]
    if answer == "1 / 0":
        expected = [*told, "4 None"]
        assert "function tracing of the script: switched off: it failed 3 times" in done.stderr
    else:
        expected = [*told[:2], "stopped", told[2], "told of fourth", "4 otel-run"]
        assert done.stderr == ""
    assert done.stdout.splitlines() == expected


@pytest.mark.skipif(not is_old, reason="from Python 3.12 on the script is traced")
def test_an_older_python_says_why_the_script_is_not_traced(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import subprocess, sys\ndef main(): print('done')\nmain()\n"
        "if len(sys.argv) == 1: subprocess.run([sys.executable, __file__, 'again'])\n"
    )
    spans, printed, stderr = _run(["app.py"], tmp_path, "__main__:main,app:main")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    why = (
        f"is the script itself; its functions can be traced from Python 3.12 on (by sys.monitoring), and this is "
        f"{version}. hint: put the functions into a module of their own, and import it"
    )
    assert (spans, printed) == ([], "done\ndone\n")
    first, *last = stderr.splitlines()
    assert first == f'otel-run: OTEL_RUN_TRACE="__main__:main": ignored: __main__ {why}'
    assert set(last) == {f"otel-run: OTEL_RUN_TRACE app:main: matched nothing: app {why}"}


@needs_monitoring
@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("app:mein", "did you mean app:main ?"),
        ("__main__:mein", "did you mean __main__:main ?"),
        ("app:Order", "did you mean app:Order.* ?"),
        ("__main__:dumps", "did you mean json:dumps ?"),
    ],
)
def test_what_a_script_does_not_have_is_said_with_what_it_has(pattern: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from json import dumps\nclass Order: pass\ndef main(): dumps(1)\nmain()\n")
    spans, _, stderr = _run(["app.py"], tmp_path, pattern)
    assert (spans, stderr.count("\n")) == ([], 1)
    assert stderr.startswith(f"otel-run: OTEL_RUN_TRACE {pattern}: matched nothing: ")
    assert stderr.endswith(f". hint: {hint}\n")


@needs_monitoring
def test_one_script_of_many_has_what_was_named_and_the_others_are_quiet(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import subprocess, sys\ndef main():\n"
        "    subprocess.run([sys.executable, '-c', 'from json import dumps as main; print(main(1))'], check=True)\n"
        "main()\n"
    )
    spans, printed, stderr = _run(["app.py"], tmp_path, "__main__:main")
    assert (spans, printed, stderr) == (["__main__.main"], "1\n", "")

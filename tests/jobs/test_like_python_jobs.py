"""A program whose process has a span ends as it does without: same output, same status; and the span tells that status.

Or it tells none. Each program is run bare, with a span from its first call on, and with one from its start.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from process.children import environment
from process.children import run as run_bare

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced

CALL = "from opentelemetry import trace\ntrace.get_tracer('t').start_span('call').end()\n"
# Before, there are no groups, and our entry shows in the traceback of an exit.
SINCE_3_11 = sys.version_info >= (3, 11)
# What is taken apart when, the names of the main module among it.
DESTROYED = """
import sys
class Told:
    def __init__(self, name): self.name = name
    def __del__(self): print("gone:", self.name, __name__)
first, last, _hidden = Told("first"), Told("last"), Told("hidden")
def leave():
    inner = Told("inner")
"""

PROGRAMS = {
    "an exit that is replaced": "import sys\nsys.exit = lambda status: print('fake', status)\nsys.exit(3)",
    "an exit that is mocked": """
import sys
from unittest import mock
plain = sys.exit
with mock.patch("sys.exit", autospec=True) as fake:
    sys.exit(3)
    print(fake.call_args)
print(sys.exit is plain)
sys.exit(4)
""",
    "unittest": """
import sys, unittest
class T(unittest.TestCase):
    def test(self):
        with self.assertRaises(SystemExit) as caught: sys.exit(3)
        self.assertEqual(caught.exception.code, 3)
unittest.main(testRunner=unittest.TextTestRunner(stream=open("log", "w")))  # it tells how long it took
""",
    "a console": "import code, sys\nsys.ps1 = '>'\ncode.InteractiveInterpreter().runsource('import sys; sys.exit(4)')",
    "a script that is caught": """
import runpy
open("script.py", "w").write("import sys; sys.exit(3)")
try: runpy.run_path("script.py", run_name="__main__")
except SystemExit as e: print(e.code)
""",
    "a script that is not": """
import runpy
open("script.py", "w").write("raise SystemExit(3)")
runpy.run_path("script.py", run_name="__main__")
""",
    "one in place of another": "import sys\ntry: sys.exit(3)\nexcept SystemExit as e: raise SystemExit(9) from e",
    "an executor": """
import sys
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as pool: asked = pool.submit(sys.exit, 3)
print(repr(asked.exception()))
asked.result()
""",
    "many threads": """
import sys
from concurrent.futures import ThreadPoolExecutor
def leave(status):
    try: sys.exit(status)
    except SystemExit as e: return e.code
with ThreadPoolExecutor(8) as pool: print(sum(pool.map(leave, range(1000))))
sys.exit(7)
""",
    "a daemon that goes on": """
import sys, threading, time
def work():
    while True:
        try: sys.exit(4)
        except SystemExit: pass
threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
sys.exit(7)
""",
    "KeyboardInterrupt that is caught": """
import asyncio, os, signal
async def main():
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(5)
try: asyncio.run(main())
except KeyboardInterrupt: print("caught")
""",
    "SIGTERM with a handler": """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(6))
os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)
""",
    "SIGKILL": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "os.abort": "import os\nos.abort()",
    "another program after all": """
import os, sys
try: sys.exit(3)
except SystemExit: os.execv(sys.executable, [sys.executable, "-S", "-c", "raise SystemExit(5)"])
""",
    "a fork on the way out": """
import os, sys
try: sys.exit(3)
finally:
    if os.fork() == 0: print("child", flush=True)
    else: print(os.waitstatus_to_exitcode(os.wait()[1]))
""",
    "children of multiprocessing": """
import multiprocessing, os, signal, sys
def exits(): sys.exit(3)
def raises(): raise SystemExit(4)
def leaves(): os._exit(5)
def dies(): os.kill(os.getpid(), signal.SIGTERM)
def returns(): pass
if __name__ == "__main__":
    for how in ("fork", "spawn"):
        children = [
            multiprocessing.get_context(how).Process(target=work) for work in (exits, raises, leaves, dies, returns)
        ]
        for child in children: child.start()
        for child in children: child.join()
        print([child.exitcode for child in children])
    sys.exit(2)
""",
    "what is left when it exits": DESTROYED + "    sys.exit(3)\nleave()",
    "what is left when it fails": DESTROYED + "    1 / 0\nleave()",
    "what is left when it returns": DESTROYED + "    try: sys.exit(3)\n    except SystemExit: print('caught')\nleave()",
    "what is gone as soon as it is caught": DESTROYED
    + "    sys.exit(Exception(inner))\ntry: leave()\nexcept SystemExit: print('caught')\nprint('after')",
    "an exit in a destructor at the end": """
import sys
class Asks:
    def __del__(self, leave=sys.exit):
        try: leave(3)
        except SystemExit as e: print("asked", e.code)
kept = Asks()
sys.exit(4)
""",
    "a hook that exits": """
import sys
class Hook:
    def __call__(self, *_): sys.exit(9)
sys.excepthook = Hook()
1 / 0
""",
    "a hook that exits by hand": "import sys\ndef hook(*_): raise SystemExit(9)\nsys.excepthook = hook\n1 / 0",
    "a hook that fails": "import sys\ndef hook(*_): raise ValueError('in hook')\nsys.excepthook = hook\n1 / 0",
    "deep below": "import sys\ndef f(n): f(n - 1) if n else sys.exit(3)\nf(500)",
    "no profiler": "import sys\nprint(sys.getprofile(), sys.gettrace())",
    "a profiler": "import sys\nsys.setprofile(lambda *_: None)\ndef f(): sys.exit(3)\nf()",
    "code that Python cannot read": "def f(:",
    **(
        {
            "groups": "try: raise BaseExceptionGroup('g', [SystemExit(3)])\nexcept* SystemExit: print('caught')",
            "groups of exits": "raise BaseExceptionGroup('g', [SystemExit(3)])",
            "an exit in an exit handler": "import atexit, sys\ndef f(): sys.exit(5)\natexit.register(f)\nsys.exit(3)",
            "an error in place of it": "import sys\ntry: sys.exit(3)\nfinally: 1 / 0",
            "a traceback of it": "import sys, traceback\ntry: sys.exit(3)\nexcept SystemExit: traceback.print_exc()",
        }
        if SINCE_3_11
        else {}
    ),
}


def _like_bare(text: str) -> str:
    """Return it without what differs from run to run: addresses."""
    return " ".join(word for word in text.split(" ") if not word.startswith("0x"))


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_ends_as_without_us_and_that_is_told(name: str, mode: str, traced: Traced, tmp_path: Path) -> None:
    source = (CALL if mode == "auto" and "cannot read" not in name else "") + PROGRAMS[name] + "\n"
    run = traced(source, env={"OTEL_RUN_PROCESS_SPAN": mode}, warnings="ignore")
    bare = run_bare([sys.executable, "app.py"], tmp_path, env=environment(PYTHONWARNINGS="ignore"))
    found = (run.returncode, run.stdout, _like_bare(run.stderr))
    assert found == (bare.returncode, bare.stdout, _like_bare(bare.stderr))
    ours = [span for span in run.spans if span.name == "app" and "otelrun.process.ended_by" not in span.attributes]
    status = 128 - bare.returncode if bare.returncode < 0 else bare.returncode
    children = {0, 2, 3, 4, 5, 143} if "multiprocessing" in name else set()
    assert {span.attributes.get("process.exit.code") for span in ours} <= {status, None} | children, run
    assert len(ours) == 1 or "fork" in name or name in ("SIGKILL", "os.abort", "code that Python cannot read"), run


@pytest.mark.parametrize("argument", ["nowhere.py", "-mnowhere"])
def test_a_program_that_is_not_there_is_missed_as_without_us(argument: str, traced: Traced, tmp_path: Path) -> None:
    command = f"import os, sys\nos.execv(sys.executable, [sys.executable, {argument!r}])"
    run = traced(command, env={"OTEL_RUN_PROCESS_SPAN": "on"})
    bare = run_bare([sys.executable, argument], tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (bare.returncode, bare.stdout, bare.stderr)


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_another_interpreter_in_the_process_has_no_span_of_the_process_and_harms_nobody(
    mode: str, traced: Traced
) -> None:
    run = traced(
        (CALL if mode == "auto" else "")
        + """
import importlib, sys
interpreters = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
execute = getattr(interpreters, "exec", None) or interpreters.run_string
for _ in range(2):
    other = interpreters.create()
    execute(other, "import sys\\ntry: sys.exit(3)\\nexcept SystemExit: pass")
    interpreters.destroy(other)
raise SystemExit(4) if sys.version_info >= (3, 12) else sys.exit(4)
""",
        env={"OTEL_RUN_PROCESS_SPAN": mode},
        warnings="ignore",
    )
    assert (run.returncode, run.stderr) == (4, "")
    assert run.span("app").attributes["process.exit.code"] == 4


def test_a_status_is_not_told_where_another_tool_has_all_ids(traced: Traced) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("there is no sys.monitoring")
    source = "import sys\nfor i in (3, 4): sys.monitoring.use_tool_id(i, 'mine')\n" + CALL + "sys.exit(3)\n"
    run = traced(source, env={"OTEL_RUN_PROCESS_SPAN": "auto"})
    assert (run.returncode, run.stderr) == (3, "")
    assert "process.exit.code" not in run.span("app").attributes


def test_the_start_of_a_program_that_was_idle_at_first_is_its_own(traced: Traced) -> None:
    idle = "import time\ntime.sleep(0.5)\nprint(time.time_ns())\n"
    # The same as a program that does nothing of note for as long as no start takes.
    shorter = "from otel_run.startup import process_facts\nprocess_facts._LONGEST_START = 300_000_000\n"
    run = traced(idle + shorter + CALL, env={"OTEL_RUN_PROCESS_SPAN": "auto"})
    assert run.span("app").start <= int(run.stdout) - 500_000_000

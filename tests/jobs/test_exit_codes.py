"""What is told of the end of a process is what its parent sees; or nothing, never another status."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from jobs.told import BY_HAND, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Name -> (the program, its status, what is told: status, error.type, exception; None where nothing is told of it).
PROGRAMS: dict[str, tuple[str, int, list[Any]]] = {
    "it returns": ("print('hi')", 0, [0, None, None]),
    "sys.exit()": ("sys.exit()", 0, [0, None, None]),
    "sys.exit(0)": ("sys.exit(0)", 0, [0, None, None]),
    "sys.exit(1)": ("sys.exit(1)", 1, [1, "1", None]),
    "sys.exit(3)": ("sys.exit(3)", 3, [3, "3", None]),
    "sys.exit(None)": ("sys.exit(None)", 0, [0, None, None]),
    "sys.exit(True)": ("sys.exit(True)", 1, [1, "1", None]),
    "sys.exit(-1)": ("sys.exit(-1)", 255, [255, "255", None]),
    "sys.exit(256 + 7)": ("sys.exit(256 + 7)", 7, [7, "7", None]),
    "sys.exit(2**70)": ("sys.exit(2**70)", 255, [255, "255", None]),
    "sys.exit of an enumeration's": ("import enum\nsys.exit(enum.IntEnum('E', 'a b').b)", 2, [2, "2", None]),
    "sys.exit('text')": ("sys.exit('text')", 1, [1, "1", None]),
    "sys.exit of an exception": ("class Bye(SystemExit): pass\nsys.exit(Bye(6))", 6, [6, "6", None]),
    "sys.exit in a function": ("def f(): sys.exit(3)\ntry: f()\nfinally: print('x')", 3, [3, "3", None]),
    "exit(4)": ("exit(4)", 4, [4, "4", None]),
    "quit()": ("quit()", 0, [0, None, None]),
    "caught, then it returns": ("try: sys.exit(3)\nexcept SystemExit: pass", 0, [0, None, None]),
    "caught, then another": (
        "try: sys.exit(3)\nexcept SystemExit: pass\nsys.exit(5)",
        5,
        [5, "5", None],
    ),
    "caught and kept, then it returns": ("try: sys.exit(3)\nexcept SystemExit as e: kept = e", 0, [0, None, None]),
    "caught and raised again": ("try: sys.exit(3)\nexcept SystemExit: raise", 3, [3, "3", None]),
    "caught, and collected by an exit handler": (
        """
        import atexit, gc
        gc.disable()
        atexit.register(gc.collect)
        try: sys.exit(3)
        except SystemExit as e: e.ring = e
        """,
        0,
        [0, None, None],
    ),
    "in place of another, at the end": ("try: sys.exit(3)\nfinally: sys.exit(4)", 4, [4, "4", None]),
    "caught in the middle of another": (
        """
        try: sys.exit(3)
        except SystemExit:
            try: sys.exit(9)
            except SystemExit: pass
            raise
        """,
        3,
        [3, "3", None],
    ),
    "replaced by an error": ("try: sys.exit(3)\nfinally: 1 / 0", 1, [1, "ZeroDivisionError", "division by zero"]),
    "through many that clean up": (
        """
        def f(n):
            try: f(n - 1) if n else sys.exit(3)
            finally: next(iter([1]))
        f(200)
        """,
        3,
        [3, "3", None],
    ),
    "in a thread": (
        "import threading\nt = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()",
        0,
        [0, None, None],
    ),
    "in a thread of the lowest kind, then an error": (
        "import _thread, time\n_thread.start_new_thread(sys.exit, (3,)); time.sleep(0.1)\n1 / 0",
        1,
        [1, "ZeroDivisionError", "division by zero"],
    ),
    "in a thread, while a daemon goes on": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nsys.exit(3)",
        3,
        [3, "3", None],
    ),
    "in an exit handler": ("import atexit\natexit.register(sys.exit, 3)", 0, [0, None, None]),
    "in an exit handler, after an error": (
        "import atexit\natexit.register(lambda: sys.exit(3))\n1 / 0",
        1,
        [1, "ZeroDivisionError", "division by zero"],
    ),
    "an error in an exit handler": ("import atexit\natexit.register(lambda: 1 / 0)", 0, [0, None, None]),
    "an uncaught error": ("{}['a']", 1, [1, "KeyError", "'a'"]),
    "an uncaught error of a library's": (
        "import json\njson.loads('x')",
        1,
        [1, "json.decoder.JSONDecodeError", "Expecting value: line 1 column 1 (char 0)"],
    ),
    "an uncaught error, and a hook of the program's": (
        "sys.excepthook = lambda *_: print('hook')\n1 / 0",
        1,
        [1, "ZeroDivisionError", "division by zero"],
    ),
    "an uncaught error, and a hook that exits": (
        "sys.excepthook = lambda *_: sys.exit(9)\n1 / 0",
        9,
        [9, "ZeroDivisionError", "division by zero"],
    ),
    "an uncaught error, and a hook that leaves": (
        "import os\nsys.excepthook = lambda *_: os._exit(9)\n1 / 0",
        9,
        [9, "9", None],
    ),
    "an error that a console has shown": (
        "import code\ncode.InteractiveInterpreter().runsource('1 / 0')",
        0,
        [0, None, None],
    ),
    "an error that a console has shown, then an exit": (
        "import code\ncode.InteractiveInterpreter().runsource('1 / 0')\nsys.exit(3)",
        3,
        [3, "3", None],
    ),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", -2, [130, "SIGINT", None]),
    "a kind of KeyboardInterrupt": (
        "class Stop(KeyboardInterrupt): pass\nraise Stop('now')",
        1,
        [1, "__main__.Stop", "now"],
    ),
    "KeyboardInterrupt in asyncio": (
        """
        import asyncio, signal, os
        async def main():
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(10)
        asyncio.run(main())
        """,
        -2,
        [130, "SIGINT", None],
    ),
    "sys.exit in asyncio": (
        "import asyncio\nasync def main(): sys.exit(3)\nasyncio.run(main())",
        3,
        [3, "3", None],
    ),
    "SIGTERM": (
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM); time.sleep(10)",
        -15,
        [143, "SIGTERM", None],
    ),
    "SIGTERM, with a handler that exits": (
        """
        import os, signal, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)
        """,
        0,
        [0, None, None],
    ),
    "os._exit(7)": ("import os\nos._exit(7)", 7, [7, "7", None]),
    "os._exit(status=0)": ("import os\nos._exit(status=0)", 0, [0, None, None]),
    "os.execv": ("import os\nos.execv(sys.executable, [sys.executable, '-c', 'exit(5)'])", 5, [None, None, None]),
    "os.execv of nothing, then it returns": (
        "import os\ntry: os.execv('/nowhere', ['x'])\nexcept OSError: pass",
        0,
        [0, None, None],
    ),
    "argparse": ("import argparse\nargparse.ArgumentParser().parse_args(['--what'])", 2, [2, "2", None]),
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.fail()\nunittest.main()",
        1,
        [1, "1", None],
    ),
    "runpy": ("import runpy\nrunpy.run_module('stops')", 3, [3, "3", None]),
    "traced by a debugger": ("sys.settrace(lambda *_: None)\nlen('')", 0, [0, None, None]),
}

# By hand: only what sys.monitoring tells of, and never 0 in place of it.
RAISED: dict[str, tuple[str, int, list[Any]]] = {
    "raise SystemExit(5)": ("raise SystemExit(5)", 5, [5, "5", None]),
    "raise SystemExit(0, 'text')": ("raise SystemExit(0, 'text')", 1, [1, "1", None]),
    "raise SystemExit(main())": ("def main(): return 5\nraise SystemExit(main())", 5, [5, "5", None]),
    "in a function": ("def f(): raise SystemExit('text')\nf()", 1, [1, "1", None]),
    "from another": ("try: 1 / 0\nexcept ArithmeticError as e: raise SystemExit(4) from e", 4, [4, "4", None]),
    "made, and raised later": (
        "wish = SystemExit(4)\ntry: 1 / 0\nexcept ArithmeticError: pass\nraise wish",
        4,
        [4, "4", None],
    ),
    "caught by hand, then another": (
        "try: raise SystemExit(3)\nexcept SystemExit: pass\nraise SystemExit(6)",
        6,
        [6, "6", None],
    ),
    "in place of another": ("try: sys.exit(3)\nexcept SystemExit as e: raise SystemExit(9) from e", 9, [9, "9", None]),
    "in place of another, in a function": (
        "def f():\n    try: sys.exit(3)\n    except SystemExit as e: raise SystemExit(9) from e\nf()",
        9,
        [9, "9", None],
    ),
    "changed when it was caught": (
        "try: raise SystemExit(3)\nexcept SystemExit as e:\n    e.code = 8\n    raise",
        8,
        [8, "8", None],
    ),
    "the class, after one that was kept": (
        "try: sys.exit(3)\nexcept SystemExit as e: kept = e\nraise SystemExit",
        0,
        [0, None, None],
    ),
    "by a library, after one that was caught": (
        "from library import stop\ntry: sys.exit(0)\nexcept SystemExit: pass\nstop(3)",
        3,
        [3, "3", None],
    ),
    "by a library, after one that was kept": (
        "from library import stop\ntry: sys.exit(3)\nexcept SystemExit as e: kept = e\nstop(5)",
        5,
        [5, "5", None],
    ),
    "by a library, after one that a task has kept": (
        """
        import asyncio, library
        async def leave(): sys.exit(3)
        async def main():
            global kept
            kept = asyncio.create_task(leave())
            await asyncio.sleep(5)
        try: asyncio.run(main())
        except SystemExit: pass
        library.stop(5)
        """,
        5,
        [5, "5", None],
    ),
    "imported early": ("from early import exit\ndel sys.exit\nexit(4)", 4, [4, "4", None]),
}

# What nobody can see.
UNSEEN: dict[str, tuple[str, int, list[Any]]] = {
    "the class": ("raise SystemExit", 0, [None, None, None]),
    "by a library": ("from library import stop\nstop(3)", 3, [None, None, None]),
}

RETURNS: dict[str, tuple[str, int, list[Any]]] = {
    "caught by hand, then it returns": (
        "try: raise SystemExit(3)\nexcept SystemExit: pass",
        0,
        [0, None, None],
    ),
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endings]:
    """Give what runs each program, a few side by side, in one folder each."""
    with ThreadPoolExecutor(3) as pool:
        yield Endings(tmp_path_factory.mktemp("programs"), pool)


class Endings:
    """Programs that are running, and what is told of their ends."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._running = {
            (name, how): pool.submit(self._run, f"{number}{how}", program[0], how)
            for how in ("app.py", "-m")
            for number, (name, program) in enumerate({**PROGRAMS, **RAISED, **UNSEEN, **RETURNS}.items())
        }

    def of(self, name: str, how: str) -> tuple[int, list[Any] | None, str]:
        return self._running[name, how].result()

    def _run(self, name: str, source: str, how: str) -> tuple[int, list[Any] | None, str]:
        folder = self._folder / name
        folder.mkdir()
        return run(folder, source, ["-m", "app"] if how == "-m" else [how])


@pytest.mark.parametrize("how", ["app.py", "-m"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_told(name: str, how: str, endings: Endings) -> None:
    _, status, expected = PROGRAMS[name]
    returncode, ending, stderr = endings.of(name, how)
    assert (returncode, ending) == (status, expected), stderr


@pytest.mark.parametrize("how", ["app.py", "-m"])
@pytest.mark.parametrize("name", RAISED)
def test_what_is_raised_by_hand_is_told_or_not_known(name: str, how: str, endings: Endings) -> None:
    _, status, expected = RAISED[name]
    returncode, ending, stderr = endings.of(name, how)
    assert (returncode, ending) == (status, expected if BY_HAND else [None, None, None]), stderr


@pytest.mark.parametrize("name", UNSEEN)
def test_what_nobody_has_seen_is_not_known(name: str, endings: Endings) -> None:
    _, status, expected = UNSEEN[name]
    returncode, ending, stderr = endings.of(name, "app.py")
    assert (returncode, ending) == (status, expected), stderr


@pytest.mark.parametrize("name", RETURNS)
def test_what_is_raised_by_hand_and_caught_is_no_end(name: str, endings: Endings) -> None:
    _, status, expected = RETURNS[name]
    returncode, ending, stderr = endings.of(name, "app.py")
    assert (returncode, ending) == (status, expected), stderr

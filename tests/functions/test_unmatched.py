"""A pattern that has meant nothing is said once, at the end of the program, with the reason and a hint."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, environment, run

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = """
from json import dumps
from time import sleep

class Base:
    def save(self): ...

class Order(Base):
    limit = 3
    def total(self): ...
    def tax(self): ...

class HTTPClient:
    def fetch_all(self): ...

def process_order(): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders.py").write_text(ORDERS)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "models.py").write_text("def find(): ...\n")
    (tmp_path / "shop" / "views.py").write_text("def show(): ...\n")
    return tmp_path


def said(folder: Path, patterns: str, source: str = "import orders", **env: str) -> list[str]:
    (folder / "program.py").write_text(source)
    given = environment(OTEL_RUN_TRACE=patterns, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true", **env)
    done = run([*OTEL_RUN, sys.executable, "program.py"], folder, env=given)
    assert done.stdout == ""
    return done.stderr.splitlines()


NO_FUNCTION = "orders has no function of that name. hint: did you mean "
CASES = [
    ("orders:proces_order", NO_FUNCTION + "orders:process_order ?"),
    ("orders:total", NO_FUNCTION + "orders:Order.total ?"),
    ("orders:Ordr.total", NO_FUNCTION + "orders:Order.total ?"),
    ("orders:xyzzy", "orders has no function of that name"),
    ("orders:Ordr.*", "orders has no function of such a name. hint: did you mean orders:Order.* ?"),
    ("orders:Order.save", "it is inherited, and would be traced for all others. hint: did you mean orders:Base.save ?"),
    ("orders:Order", "it is a class. hint: did you mean orders:Order.* ?"),
    ("orders:Order.limit", "it is no function written in Python; its type is int"),
    ("orders:sleep", "it is no function written in Python; its type is builtin_function_or_method"),
    ("orders.process_order", "there is no module orders.process_order. hint: did you mean orders:process_order ?"),
    ("orders.Order.total", "there is no module orders.Order.total. hint: did you mean orders:Order.total ?"),
    ("order:f(a)=X", "there is no module order. hint: did you mean orders:f(a)=X ?"),
    ("qqqqq:f", "there is no module qqqqq"),
    ("shop.models:find", "this process has not imported shop.models"),
    ("shop.modles:find", "there is no module shop.modles"),
    ("zz*:f", "no module of the program's own was imported whose name is like zz*"),
    ("jso*:dumps", "no module of the program's own was imported whose name is like jso*"),
    ("orders:HTTPClinet.fetch_all", NO_FUNCTION + "orders:HTTPClient.fetch_all ?"),
]


def test_each_pattern_has_its_reason(folder: Path) -> None:
    lines = said(folder, ",".join(pattern for pattern, _ in CASES))
    assert lines == [f"otel-run: OTEL_RUN_TRACE {pattern}: matched nothing: {why}" for pattern, why in CASES]


def test_a_module_of_whose_import_nothing_told_has_that_reason(folder: Path) -> None:
    by_file = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("plugged", "orders.py")
sys.modules["plugged"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
spec = importlib.util.find_spec("orders")
spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules["orders"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""
    untold = "nothing told of the import of plugged, which came past the import system or by another's hook"
    no_function = "plugged has no function of that name. hint: did you mean plugged:process_order ?"
    cases = {
        "plugged:process_order": untold,
        "plug*:process_order": untold,
        "plugged:proces_order": no_function,
        "orders:process_order": "this process has not imported orders",
    }
    lines = said(folder, ",".join(cases), by_file)
    assert lines == [f"otel-run: OTEL_RUN_TRACE {pattern}: matched nothing: {why}" for pattern, why in cases.items()]


def test_a_module_that_the_hook_of_another_has_imported_has_that_reason(folder: Path) -> None:
    (folder / "test_orders.py").write_text("def test_it(): assert True\n")
    env = environment(OTEL_RUN_TRACE="test_orders:*", OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    done = run([*OTEL_RUN, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], folder, env=env)
    assert done.stderr == (
        "otel-run: OTEL_RUN_TRACE test_orders:*: matched nothing: "
        "nothing told of the import of test_orders, which came past the import system or by another's hook\n"
    )


def test_in_no_module_of_many(folder: Path) -> None:
    lines = said(folder, "*:find_all", "import orders, shop.models, shop.views")
    why = "none of 4 modules has a function of that name. hint: did you mean shop.models:find ?"
    assert lines == [f"otel-run: OTEL_RUN_TRACE *:find_all: matched nothing: {why}"]


@pytest.mark.parametrize(
    ("patterns", "source"),
    [
        ("orders:process_order,orders:Order.*,orders", "import orders"),
        ("orders:process_order,orders:*", "import orders, importlib\nimportlib.reload(orders)"),
        ("json:dumps", "import json"),
    ],
)
def test_nothing_is_said_of_what_has_meant_something(patterns: str, source: str, folder: Path) -> None:
    assert said(folder, patterns, source) == []


@pytest.mark.parametrize("level", ["none", "off"])
def test_whoever_wants_quiet_has_it(level: str, folder: Path) -> None:
    assert said(folder, "orders:xyzzy", OTEL_LOG_LEVEL=level) == []


ONE = ["otel-run: OTEL_RUN_TRACE orders:xyzzy: matched nothing: orders has no function of that name"]
NOT_IMPORTED = ["otel-run: OTEL_RUN_TRACE orders:xyzzy: matched nothing: this process has not imported orders"]
PYTHON = "import os, subprocess, sys\n"
SELF = f"{PYTHON}subprocess.run([sys.executable, '-c', 'import orders'])\n"
WORK = "subprocess.run([sys.executable, '-c', 'sum(range(10**6))'])\n"
AGAIN = f"{PYTHON}subprocess.run([sys.executable, '-c', 'pass'])\n"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import orders\nraise SystemExit(3)", ONE),
        ("import os, orders\nos._exit(0)", []),
        ("import os, orders\nos.kill(os.getpid(), 9)", []),
        ("import os, orders\nos.kill(os.getpid(), 15)", []),
        # A forked child says nothing, and its parent only what it knows.
        ("import os, orders\nif os.fork(): os.wait()\nelse: raise SystemExit", ONE),
        ("import os\nif os.fork(): os.wait()\nelse: import orders; sum(range(10**6)); raise SystemExit", []),
        (
            "import multiprocessing as m\nif __name__ == '__main__':\n    import orders\n    m.Pool(2).map(abs, [1])",
            ONE,
        ),
        # A server's reloader imports nothing, and its child all.
        (SELF, ONE),
        (f"{SELF}import orders", ONE * 2),
        (AGAIN, []),
        ("pass", NOT_IMPORTED),
        (f"{PYTHON}os.execv(sys.executable, [sys.executable, '-c', 'pass'])", []),
    ],
)
def test_it_is_said_once_by_a_process_that_can_know(source: str, lines: list[str], folder: Path) -> None:
    assert said(folder, "orders:xyzzy", source) == lines


def test_what_a_shell_has_done_before_does_not_silence_the_program(folder: Path) -> None:
    (folder / "program.py").write_text("pass")
    shell = f"{sys.executable} -c 'sum(range(10**6))'; exec {sys.executable} program.py"
    env = environment(OTEL_RUN_TRACE="qqq:f", OTEL_RUN_ENABLED="true")
    done = run([*OTEL_RUN, "sh", "-c", shell], folder, env=env)
    assert done.stderr.count("there is no module qqq") == 2


def test_the_many_pythons_of_a_shell_script_do_not_each_say_what_only_one_of_them_imports(folder: Path) -> None:
    (folder / "other.py").write_text("pass")
    (folder / "program.py").write_text("import orders\norders.process_order()\ndef main(): pass\nmain()\n")
    shell = (
        f"for i in 1 2 3; do {sys.executable} other.py; done; {sys.executable} program.py; {sys.executable} other.py"
    )
    patterns = "orders:process_order,*:process_order,__main__:main"
    env = environment(OTEL_RUN_TRACE=patterns, OTEL_TRACES_EXPORTER="none")
    done = run([*OTEL_RUN, "sh", "-c", f"{shell}; true"], folder, env=env)
    lines = [line for line in done.stderr.splitlines() if "sys.monitoring" not in line]
    assert (done.returncode, lines) == (0, [])


def test_a_misspelt_module_is_said_of_a_program_that_has_run_others_too(folder: Path) -> None:
    (folder / "program.py").write_text(f"import orders\n{PYTHON}{WORK}")
    env = environment(OTEL_RUN_TRACE="ordrs:process_order,xyzzy:f", OTEL_TRACES_EXPORTER="none")
    done = run([*OTEL_RUN, sys.executable, "program.py"], folder, env=env)
    assert done.stderr == (
        "otel-run: OTEL_RUN_TRACE ordrs:process_order: matched nothing: "
        "there is no module ordrs. hint: did you mean orders:process_order ?\n"
    )


def test_an_interrupted_program_dies_of_the_interrupt_still(folder: Path) -> None:
    (folder / "program.py").write_text("import os, signal, orders\nos.kill(os.getpid(), signal.SIGINT)\n")
    env = environment(OTEL_RUN_TRACE="orders:xyzzy", OTEL_TRACES_EXPORTER="none")
    done = run([*OTEL_RUN, sys.executable, "program.py"], folder, env=env)
    # Ctrl-C is an exception of Python's, and the program's exit handlers run.
    assert (done.returncode, done.stderr.count("matched nothing")) == (-signal.SIGINT, 1)


def test_the_scripts_own_functions_have_their_own_reason(folder: Path) -> None:
    lines = said(folder, "program:mian,__main__:mian", "def main(): ...\nmain()\n")
    if sys.version_info >= (3, 12):
        assert lines == [
            f"otel-run: OTEL_RUN_TRACE {name}:mian: matched nothing: {why}. hint: did you mean {name}:main ?"
            for name, why in ((name, f"{name} has no function of that name") for name in ("program", "__main__"))
        ]
    else:
        assert len(lines) == 2
        assert all("3.12" in line for line in lines)

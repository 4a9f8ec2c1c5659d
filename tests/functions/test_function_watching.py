"""Functions are traced when their module has been imported, in whatever way; each alone, and only if there is one."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from process.children import environment, run

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced

# What start-up does, with a `trace` that tells what it is called for.
START = """
import sys
from otel_run import boundary, function_patterns, report
from otel_run.functions.watching import watch
from otel_run.patching.on_import import Finder
from otel_run.patching.wrap import DoesNotFit

boundary.strict = True
told = []
finder = Finder(lambda: None, lambda name: False, needs="needed")
sys.meta_path.insert(0, finder)

def wake():
    told.append("awake")
    return True

def trace(pattern, module, qualname, function):
    assert getattr(sys.modules[module], "done", True), "told too early"
    if "refused" in qualname:
        raise DoesNotFit("it is another shape")
    if "broken" in qualname:
        1 / 0
    told.append(f"{pattern} -> {module}:{qualname}")

def trace_all(patterns, wake=wake):
    found, bad = function_patterns.read(patterns)
    assert bad is None
    return watch(finder, found, wake, trace)
"""
FAILED = "ZeroDivisionError: division by zero; the program and everything else go on without it"
MODULES = {
    "orders.py": "import pricing.market\ndef process(): ...\nclass Order:\n    def total(self): ...\ndone = True\n",
    "pricing/__init__.py": "from pricing.market import quote\ndef price(): ...\ndone = True\n",
    "pricing/market.py": "def quote(): ...\ndone = True\n",
    "pricing/_inner.py": "def hidden(): ...\ndone = True\n",
    "space/inner.py": "def f(): ...\ndone = True\n",
    "failing.py": "def f(): ...\n1 / 0\n",
    "some.py": "def refused(): ...\ndef broken(): ...\ndef fine(): ...\ndone = True\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def outcome(folder: Path, source: str) -> tuple[int, str, str]:
    (folder / "program.py").write_text(START + textwrap.dedent(source) + "\nprint(*told, sep='\\n')\n")
    done = run([sys.executable, "program.py"], folder, env=environment(PYTHONPATH="."))
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("trace_all('orders:process')\nimport orders", ["awake", "orders:process -> orders:process"]),
        ("import orders\ntrace_all('orders:process')", ["awake", "orders:process -> orders:process"]),
        (
            "trace_all('orders:process,orders,pricing.*')\nimport orders",
            [
                "awake",
                "pricing.* -> pricing.market:quote",
                "awake",
                "pricing.* -> pricing:price",
                "awake",
                "orders:process -> orders:process",
                "orders -> orders:Order.total",
            ],
        ),
        ("trace_all('pricing._inner')\nimport pricing._inner", ["awake", "pricing._inner -> pricing._inner:hidden"]),
        ("trace_all('space')\nimport space.inner", ["awake", "space -> space.inner:f"]),
        (
            "trace_all('orders:process')\nimport importlib, orders\nimportlib.reload(orders)",
            ["awake", "orders:process -> orders:process"] * 2,
        ),
        ("trace_all('orders:missing,pricing:missing,json:loads.x,missing')\nimport orders, json", []),
        (
            "trace_all('failing:f,orders:process')\ntry: import failing\nexcept ZeroDivisionError: import orders",
            ["awake", "orders:process -> orders:process"],
        ),
        ("trace_all('*:process,*:dumps')\nimport json, orders", ["awake", "*:process -> orders:process"]),
        ("trace_all('otel_run*:say,opentelemetry*')\nimport otel_run.report, opentelemetry.trace", []),
        ("trace_all('orders:process', lambda: told.append('broken') or False)\nimport orders", ["broken"]),
    ],
)
def test_functions_are_traced_when_their_module_was_imported(source: str, told: list[str], folder: Path) -> None:
    status, stdout, stderr = outcome(folder, source)
    assert (status, stdout.split("\n")[:-1], stderr) == (0, told or [""], "")


def test_one_function_fails_alone_and_is_told_if_somebody_has_named_it(folder: Path) -> None:
    status, stdout, stderr = outcome(
        folder,
        """
        boundary.strict = False
        boundary.tell_errors_to(report.tell_error)
        watched = trace_all("some:refused,some:*")
        import some
        told += [f"{subject}: {state}: {why}" for subject, state, why in report.notes]
        told.append(sorted(map(str, watched.matched)))
        """,
    )
    assert (status, stdout.splitlines()) == (
        0,
        [
            "awake",
            "some:* -> some:fine",
            "function some:refused: not traced: it is another shape",
            f"function some:broken: failed: {FAILED}",
            "function some:fine: traced: OTEL_RUN_TRACE, some:*",
            "['some:*', 'some:refused']",
        ],
    )
    assert [line.partition(": ")[2].partition(":")[0] for line in stderr.splitlines()] == [
        "function some",
        "function some",
    ]


def test_a_refusal_of_what_only_a_star_means_is_no_line(folder: Path) -> None:
    assert outcome(folder, "trace_all('some:re*')\nimport some") == (0, "awake\n", "")


def test_nothing_is_imported_and_nobody_is_woken_before_there_is_a_function(folder: Path) -> None:
    (folder / "program.py").write_text(
        "import sys, pricing\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'otel_run.functions.sp'))])\n"
    )
    (folder / "other.py").write_text("import sys\nprint([name for name in sys.modules if 'function' in name])\n")
    command = [sys.executable, "-m", "otel_run.command", sys.executable]
    for program, given in (("program.py", "orders:process,pricing:missing*"), ("other.py", "")):
        env = environment(OTEL_RUN_TRACE=given, OTEL_LOG_LEVEL="none")
        done = run([*command, program], folder, env=env)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_functions_show_as_spans_by_one_variable(traced: Traced, folder: Path) -> None:
    (folder / "steps.py").write_text(
        textwrap.dedent(
            """
            import functools, contextlib
            from json import dumps

            def process(symbol, quantity):
                with held():
                    return Order(symbol).total(quantity)

            class Order:
                def __init__(self, symbol): self.symbol = symbol
                def total(self, quantity): return price(self.symbol) * self.tax + len(dumps(quantity))
                @property
                def tax(self): return 2

            @functools.lru_cache
            def price(symbol): return 20

            @contextlib.contextmanager
            def held(): yield
            """
        )
    )
    patterns = ["steps:process(symbol)=Process", "steps:Order.*,steps:Order.tax,*:held,*:price", "steps:dumps"]
    flags = [f"--trace={pattern}" for pattern in patterns]
    run = traced("import steps\nprint(steps.process('AAPL', 1))\n", flags=flags)
    assert (run.returncode, run.stdout, run.stderr) == (0, "41\n", ""), run
    root = run.span("Process")
    total = run.span("Order.total")
    assert {span.name: span.parent_id for span in run.spans} == {
        "Process": "",
        "held": root.span_id,
        "Order.total": root.span_id,
        "price": total.span_id,
        "Order.tax": total.span_id,
        "dumps": total.span_id,
    }, run
    assert root.attributes["symbol"] == "AAPL"
    assert {span.attributes["code.function.name"] for span in run.spans} == {
        "steps.process",
        "steps.held",
        "steps.Order.total",
        "steps.price",
        "steps.Order.tax",
        "json.dumps",
    }


@pytest.mark.parametrize("module", ["weakref", "functools", "contextlib", "collections", "enum", "json"])
def test_a_module_of_pythons_own_that_the_agent_needs_too_does_no_harm_to_it(module: str, traced: Traced) -> None:
    (traced.folder / "orders.py").write_text("def process(): ...\n")
    env = {
        "OTEL_RUN_TRACE": f"{module}.*,orders:process",
        "OTEL_RUN_STRICT": "",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
    }
    done = traced(f"import {module}, orders\norders.process()\n", env=env)
    assert (done.returncode, done.stdout) == (0, "")
    assert "failed" not in done.stderr
    assert [span.name for span in done.spans if span.name == "process"] == ["process"]


def test_what_tracing_itself_calls_is_not_traced(traced: Traced) -> None:
    (traced.folder / "orders.py").write_text("def process(): ...\n")
    env = {
        "OTEL_RUN_TRACE": "abc:ABCMeta.__instancecheck__,enum:Enum.__hash__,orders:process",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
    }
    done = traced("import abc, enum, orders\norders.process()\n", env=env)
    assert done.stderr.count("not traced: tracing itself uses it") == 2
    assert [span.name for span in done.spans] == ["process"]

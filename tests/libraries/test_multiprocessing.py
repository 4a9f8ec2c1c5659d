"""multiprocessing under `otel-run`: a child begins in the context of the one who started it, however it is started."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from libraries.process_programs import METHODS, assert_tree, program
from process.children import both

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced


@pytest.mark.parametrize("method", METHODS)
def test_a_child_begins_in_the_context_of_the_one_who_started_it(method: str, traced: Traced) -> None:
    source = program(
        """
        started = [processes.Process(target=work, args=["outside"])]
        started[0].start()
        with tracer.start_as_current_span("first"):
            context.attach(context.set_value("own", "1", baggage.set_baggage("order", "n 1")))
            started += [processes.Process(target=checked, args=["in the first"]), Own(processes)]
            for child in started[1:]:
                child.start()
            assert "_otel_run_told" not in vars(started[1])
        with tracer.start_as_current_span("second"):
            started += [processes.Process(target=work, args=["in the second"])]
            started[-1].start()
        for child in started:
            child.join()
        print([child.exitcode for child in started], os.environ.get("TRACEPARENT"))
        """,
        """
        def checked(name):
            assert work(name) == "n 1", work(name)
            # All of it only where nothing has to be pickled.
            assert (context.get_value("own") == "1") == (sys.argv[1] == "fork")
            sys.exit(3)

        class Own(multiprocessing.get_context(sys.argv[1]).Process):
            def __init__(self, processes):
                super().__init__(daemon=True)

            def run(self):
                work("by a class of its own")
        """,
    )
    run = traced(source, method)
    assert run.stdout == "[0, 3, 0, 0] None\n"
    expected = {"outside": "", "first": "", "in the first": "first", "by a class of its own": "first", "second": ""}
    assert_tree(run, {**expected, "in the second": "second"})


def test_a_child_whose_first_library_is_imported_in_its_work_is_in_the_context_too(traced: Traced) -> None:
    """Its agent is asleep until then."""
    (traced.folder / "tracing.py").write_text(program("").partition("\nif __name__")[0])
    source = """
        import multiprocessing, sys

        def work():
            import tracing
            tracing.work("late")

        if __name__ == "__main__":
            import tracing
            processes = multiprocessing.get_context("spawn")
            with tracing.tracer.start_as_current_span("first"):
                child = processes.Process(target=work)
                child.start()
            child.join()
        """
    assert_tree(traced(source), {"first": "", "late": "first"})


def test_a_keeper_that_one_caller_made_start_works_in_nobodys_context(traced: Traced) -> None:
    """The fork server and the process of a manager go on for all who come later, and hand on their environment."""
    source = program(
        """
        with tracer.start_as_current_span("first"):
            child = processes.Process(target=work, args=["in the first"])
            child.start()
            child.join()
            manager = Manager(ctx=processes)
            manager.start()
        print(manager.Here().tell())
        child = processes.Process(target=show)
        child.start()
        child.join()
        manager.shutdown()
        """,
        """
        import multiprocessing.managers

        def show():
            work("outside")
            print(os.environ.get("TRACEPARENT"), flush=True)

        class Here:
            def tell(self):
                work("of the manager")
                return os.environ.get("TRACEPARENT")

        class Manager(multiprocessing.managers.BaseManager):
            pass

        Manager.register("Here", Here)
        """,
    )
    run = traced(source, "forkserver")
    assert run.stdout == "None\nNone\n"
    assert_tree(run, {"first": "", "in the first": "first", "of the manager": "", "outside": ""})


ODD = """
import multiprocessing, os, sys
from opentelemetry import trace

def work():
    sys.exit("an end")

def fail():
    raise ValueError("an error")

class Slotted:
    def __init__(self, process):
        self.process = process

if __name__ == "__main__":
    processes = multiprocessing.get_context(sys.argv[1])
    with trace.get_tracer("app").start_as_current_span("first"):
        children = [processes.Process(target=work), processes.Process(target=fail, daemon=True, name="failing")]
        for child in children:
            child.start()
            child.join()
            print(child, sorted(vars(child)))
        broken = processes.Process(target=lambda: None)
        try:
            broken.start()
        except Exception as error:
            print(type(error), error, type(error.__context__), sorted(vars(broken)))
        else:
            broken.join()
        try:
            children[0].start()
        except AssertionError as error:
            print(error, error.__context__)
"""


@pytest.mark.parametrize("method", METHODS)
def test_ends_errors_and_objects_are_those_of_a_bare_python(method: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ODD)
    bare, traced = both(["app.py", method], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    assert _without_ids(traced) == _without_ids(bare)
    assert "an error" in bare[2]


def _without_ids(run: tuple[int, str, str]) -> tuple[int, list[str], str]:
    words = run[1].split()
    return run[0], [word for word in words if "pid=" not in word and "parent=" not in word and "0x" not in word], run[2]


def test_a_child_without_the_agent_reads_its_process_as_ever(traced: Traced) -> None:
    source = program(
        """
        os.environ["OTEL_RUN_ENABLED"] = "false"
        with tracer.start_as_current_span("first"):
            child = processes.Process(target=show)
            child.start()
        child.join()
        """,
        """
        def show():
            print("otel_run.startup.awakening" in sys.modules, sys.executable != "", flush=True)
        """,
    )
    run = traced(source, "spawn", python=sys.executable)
    assert run.stdout == "False True\n"
    assert_tree(run, {"first": ""})

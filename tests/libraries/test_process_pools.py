"""Pools of processes under `otel-run`: each task is done in the context of the one who handed it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.process_programs import METHODS, assert_tree, program
from process.children import both

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced

FUTURES = """
    with tracer.start_as_current_span("first"):
        context.attach(baggage.set_baggage("order", "n 1"))
        executor = concurrent.futures.ProcessPoolExecutor(1, processes, initializer=work, initargs=["initializer"])
        asked = [executor.submit(work, "submitted"), executor.submit(work, name="by name")]
        context.attach(baggage.clear())
        mapped = executor.map(work, ["mapped", "mapped too"])
    with tracer.start_as_current_span("second"):
        asked.append(executor.submit(work, "in the second"))
    told = [future.result() for future in asked] + list(mapped)
    context.attach(context.Context())
    told.append(executor.submit(work, "outside").result())
    executor.shutdown()
    print(told)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_task_of_an_executor_is_in_the_context_of_submit(method: str, traced: Traced) -> None:
    run = traced(program(FUTURES), method)
    assert run.stdout == "['n 1', 'n 1', None, None, None, None]\n"
    first = dict.fromkeys(("submitted", "by name", "mapped", "mapped too"), "first")
    second = {"second": "", "in the second": "second"}
    assert_tree(run, {"initializer": "", "first": "", **first, **second, "outside": ""})


POOL = """
    with tracer.start_as_current_span("first"):
        context.attach(baggage.set_baggage("order", "n 1"))
        pool = processes.Pool(1, work, ["initializer"])
        told = [pool.apply(work, ["applied"]), pool.apply(work, kwds={"name": "by name"})]
        told += pool.map(work, ["mapped", "mapped too"], 2) + pool.starmap(work, [["star"]])
        told += [*pool.imap(work, ["one by one"]), *pool.imap_unordered(work, ["a", "b", "c"], 2)]
        pool.map(print, [])
    with tracer.start_as_current_span("second"):
        asked = pool.apply_async(work, ["in the second"], callback=told.append)
    asked.get()
    context.attach(context.Context())
    told.append(pool.apply(work, ["outside"]))
    pool.close()
    pool.join()
    print(told)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_task_of_a_pool_is_in_the_context_of_the_one_who_hands_it_in(method: str, traced: Traced) -> None:
    run = traced(program(POOL), method)
    assert run.stdout == f"{['n 1'] * 9 + [None, None]}\n"
    names = ("applied", "by name", "mapped", "mapped too", "star", "one by one", "a", "b", "c")
    expected = {"initializer": "", "first": "", **dict.fromkeys(names, "first"), "second": "", "outside": ""}
    assert_tree(run, {**expected, "in the second": "second"})


REPLACED = """
    pool = processes.Pool(1, maxtasksperchild=1)
    with tracer.start_as_current_span("first"):
        print(pool.apply(work, ["in the first"]))
        # Its worker ends, and the next one is made while this span is current.
        while len(os.listdir("pids")) < 2:
            time.sleep(0.01)
    print(pool.apply(work, ["outside"]))
    pool.close()
    pool.join()
"""


def test_a_worker_that_is_replaced_works_for_whoever_comes_next(traced: Traced) -> None:
    (traced.folder / "pids").mkdir()
    register = "os.register_at_fork(after_in_child=lambda: open(f'pids/{os.getpid()}', 'w').close())"
    run = traced(program(REPLACED, register), "fork")
    assert_tree(run, {"first": "", "in the first": "first", "outside": ""})


BROKEN = """
import concurrent.futures, multiprocessing, sys, traceback
from opentelemetry import trace

def fail(number):
    raise ValueError(f"an error: {number}")

def told(function, *args):
    try:
        print(function(*args))
    except Exception as error:
        # Ids and line numbers of the standard library are the same: it is the same Python.
        text = "".join(traceback.format_exception(type(error.__cause__), error.__cause__, None))
        print(type(error), str(error).partition(" at 0x")[0], error.__context__, text.count("otel_run"), text)

if __name__ == "__main__":
    processes = multiprocessing.get_context(sys.argv[1])
    with trace.get_tracer("app").start_as_current_span("first"):
        with concurrent.futures.ProcessPoolExecutor(1, processes) as executor:
            told(lambda: executor.submit(fail, 1).result())
            told(lambda: executor.submit(lambda: None).result())
            told(lambda: executor.submit(fail, number=2, other=3).result())
            told(lambda: executor.submit(dict, fn=1, self=2, _otel_run_told=3).result())
        with processes.Pool(1) as pool:
            told(pool.apply, fail, [1])
            told(pool.apply, lambda: None)
            told(pool.map, fail, [2])
            told(pool.apply, dict, (), {"func": 1})
            told(pool.apply, 5)
            told(pool.map, fail, 5)
            told(lambda: pool.apply(no_such_argument=1))
            pool.close()
            pool.join()
"""


@pytest.mark.parametrize("method", METHODS)
def test_errors_of_tasks_are_those_of_a_bare_python(method: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BROKEN)
    bare, traced = both(["app.py", method], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    assert traced == bare
    assert bare[0] == 0
    assert bare[1].count("an error: ") > 2


@pytest.mark.parametrize("kind", ["executor", "pool"])
def test_a_worker_that_is_woken_by_its_first_task_is_in_its_context(kind: str, traced: Traced) -> None:
    """With nothing of the program in the main module, which a spawned child imports first."""
    (traced.folder / "tracing.py").write_text(program("").partition("\nif __name__")[0])
    hand_in = {
        "executor": "with concurrent.futures.ProcessPoolExecutor(1, processes) as hands: submit = hands.submit",
        "pool": "with processes.Pool(1) as hands: submit = lambda f, *a: hands.apply_async(f, a)",
    }[kind]
    head, _, call = hand_in.partition(": ")
    source = f"""
        import concurrent.futures, multiprocessing

        def work(name):
            import tracing
            tracing.work(name)

        if __name__ == "__main__":
            import tracing
            processes = multiprocessing.get_context("spawn")
            {head}:
                {call}
                with tracing.tracer.start_as_current_span("first"):
                    asked = [submit(work, "one"), submit(work, "two")]
                for each in asked:
                    getattr(each, "result", None) and each.result() or each.get() if hasattr(each, "get") else None
                {"hands.close(); hands.join()" if kind == "pool" else ""}
        """
    run = traced(source)
    # Of a pool's worker, what it has read before cannot be known.
    assert_tree(run, {"first": "", "one": "first" if kind == "executor" else "", "two": "first"})


UNTRACED = """
    os.environ["OTEL_RUN_ENABLED"] = "false"
    with tracer.start_as_current_span("first"):
        with concurrent.futures.ProcessPoolExecutor(1, processes) as executor:
            print(executor.submit(tell, number=1).result())
        with processes.Pool(1) as pool:
            print(pool.apply(tell, [2]), pool.map(tell, [3]))
            pool.close()
            pool.join()
"""


def test_a_worker_without_the_agent_does_its_tasks_as_ever(traced: Traced) -> None:
    tell = """
        def tell(number):
            return number, [name for name in sys.modules if name.startswith("otel_run.tracing")]
        """
    run = traced(program(UNTRACED, tell), "spawn")
    assert run.stdout == "(1, [])\n(2, []) [(3, [])]\n"
    assert_tree(run, {"first": ""})


JOBLIB = """
    import joblib

    def all_of(prefix):
        tasks = [joblib.delayed(made)(f"{prefix} {number}") for number in range(5)]
        # One at a time is handed on, mostly by the thread that hears of the end of the one before.
        joblib.Parallel(n_jobs=2, batch_size=1, pre_dispatch=1, backend=sys.argv[2])(tasks)

    for name in ("first", "second"):
        with tracer.start_as_current_span(name):
            all_of(f"in the {name}")
    all_of("outside")
"""
MADE = """
    def made(name):
        # Pickled by value, with all that it names.
        from opentelemetry.trace import get_tracer
        get_tracer("app").start_span(name).end()
"""


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_joblibs_tasks_are_in_the_context_of_their_call(backend: str, traced: Traced) -> None:
    run = traced(program(JOBLIB, MADE), "fork", backend, warnings="ignore")
    expected = {"first": "", "second": ""}
    for number in range(5):
        expected |= {f"in the {name} {number}": name for name in ("first", "second")}
        expected[f"outside {number}"] = ""
    assert_tree(run, expected)

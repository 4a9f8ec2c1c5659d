"""Pools of threads: whose span each task is below, and that neither tasks nor their errors can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libraries.contexts import BEGIN, parents
from process.children import both

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced

IMPORTS = "from concurrent.futures import ThreadPoolExecutor, wait\n"


def test_each_task_works_below_the_span_it_was_submitted_in(traced: Traced) -> None:
    run = traced(
        BEGIN
        + IMPORTS
        + """
def submits(name):
    with tracer.start_as_current_span(name):
        return other.submit(work, "of " + name).result()

gate = threading.Event()
with ThreadPoolExecutor(1, initializer=work, initargs=("initializer",)) as pool, ThreadPoolExecutor(1) as other:
    with tracer.start_as_current_span("request"):
        pool.submit(gate.wait)
        waiting = [pool.submit(work, "submitted"), *[pool.submit(submits, "outer")]]
        mapped = pool.map(work, ["mapped 1", "mapped 2"])
        failed = pool.submit(raises, ValueError("no"))
        failed.add_done_callback(lambda _: work("callback"))
    waiting.append(pool.submit(work, "without"))
    with tracer.start_as_current_span("next request"):
        waiting.append(pool.submit(work, "next"))
    waiting.append(pool.submit(work, "without again"))
    gate.set()
    wait(waiting)
    print(list(mapped), type(failed.exception()).__name__)
    print(pool.submit(trace.get_current_span).result() is trace.INVALID_SPAN)
"""
    )
    below = dict.fromkeys(["submitted", "outer", "mapped 1", "mapped 2", "callback"], "request")
    roots = dict.fromkeys(["request", "next request", "without", "without again", "initializer"], "")
    assert parents(run) == {**below, **roots, "of outer": "outer", "next": "next request"}
    assert run.stdout == "['mapped 1', 'mapped 2'] ValueError\nTrue\n"


def test_asyncio_hands_on_what_it_gives_to_threads_and_tasks(traced: Traced) -> None:
    run = traced(
        BEGIN
        + IMPORTS
        + """
import asyncio

async def inside(name):
    return work(name)

async def items():
    for name in ("yielded 1", "yielded 2"):
        yield work(name)

def plain_items():
    yield work("plainly yielded")

async def main():
    loop = asyncio.get_running_loop()
    with tracer.start_as_current_span("request"):
        tasks = [asyncio.create_task(inside("task")), loop.run_in_executor(None, work, "default executor")]
        with ThreadPoolExecutor(1) as pool:
            tasks.append(loop.run_in_executor(pool, work, "executor"))
            await asyncio.gather(*tasks, asyncio.to_thread(work, "to_thread"), inside("gathered"))
        loop.call_soon(work, "called soon")
        print([name async for name in items()], list(plain_items()))
    await loop.run_in_executor(None, work, "alone")

asyncio.run(main())
"""
    )
    names = "task/default executor/executor/to_thread/gathered/called soon/yielded 1/yielded 2/plainly yielded"
    assert parents(run) == {**dict.fromkeys(names.split("/"), "request"), "request": "", "alone": ""}
    assert run.stdout == "['yielded 1', 'yielded 2'] ['plainly yielded']\n"


LIKENESS = (
    BEGIN
    + IMPORTS
    + """
import concurrent.futures.thread, inspect, traceback

def shows(error):
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    print(type(error), error, names, error.__context__, error.__cause__)

class Strange(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        print(fn, args, kwargs)
        return super().submit(fn, *args, **kwargs)

def context_of_errors():
    try:
        raise KeyError("first")
    except KeyError as first:
        raise ValueError("second") from first

task = concurrent.futures.thread._WorkItem
for method in (ThreadPoolExecutor.submit, ThreadPoolExecutor.map, task.__init__, task.run):
    print(inspect.signature(method), method.__qualname__, method.__module__)
with tracer.start_as_current_span("request"), Strange(1) as pool:
    error = ValueError("mine")
    future = pool.submit(raises, error)
    print(future.exception() is error)
    shows(future.exception())
    try:
        pool.submit(raises, error).result()
    except ValueError as raised:
        shows(raised)
    try:
        pool.submit(context_of_errors).result()
    except ValueError as raised:
        shows(raised.__cause__)
    for arguments in (), (None,), (1, 2):
        try:
            pool.submit(*arguments).result()
        except TypeError as wrong:
            print(wrong)
    print(pool.submit(dict, fn=1, self=2).result())
    gate = threading.Event()
    pool.submit(gate.wait)
    print(pool.submit(work, "never").cancel())
    gate.set()
    # Not only errors leave a task.
    print([pool.submit(raises, error).exception() for error in (SystemExit(3), KeyboardInterrupt())])
"""
)


def test_a_pool_looks_and_fails_as_without_us(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(LIKENESS)
    bare, ours = both(["app.py"], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true", PYTHONHASHSEED="0")
    # Addresses of functions are those of a process.
    assert [line.partition(" at 0x")[0] for line in ours[1].splitlines()] == [
        line.partition(" at 0x")[0] for line in bare[1].splitlines()
    ]
    assert (ours[0], ours[2]) == (bare[0], bare[2]) == (0, "")


def test_a_future_that_is_kept_keeps_neither_its_context_nor_its_task(traced: Traced) -> None:
    run = traced(
        BEGIN
        + IMPORTS
        + """
import gc, weakref
gc.disable()
value, argument = Value(), Value()
known = [weakref.ref(value), weakref.ref(argument)]

def fails(_argument):
    del _argument
    return 1 / 0

token = context.attach(context.set_value("key", value))
with ThreadPoolExecutor(1) as pool:
    futures = [pool.submit(id, argument), pool.submit(fails, argument)]
    del argument
context.detach(token)
del token, value
print([ref() for ref in known], [future.done() for future in futures], type(futures[1].exception()))
"""
    )
    assert (run.returncode, run.stdout, run.stderr) == (
        0,
        "[None, None] [True, True] <class 'ZeroDivisionError'>\n",
        "",
    ), run

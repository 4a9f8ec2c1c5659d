"""ThreadPool, and joblib on top of it: whose span each task is below, and that nobody else can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libraries.contexts import BEGIN, parents
from process.children import both

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Traced

IMPORTS = "from multiprocessing.pool import ThreadPool\n"


def test_each_task_works_below_the_span_it_was_handed_over_in(traced: Traced) -> None:
    run = traced(
        BEGIN
        + IMPORTS
        + """
def add(name, suffix):
    return work(name + suffix)

called_back = threading.Event()
def call_back(result):
    work("callback")
    called_back.set()

failed = threading.Event()
def fail(error):
    work("error callback")
    failed.set()

with ThreadPool(2) as pool:
    with tracer.start_as_current_span("request"):
        pool.apply(work, ("apply",))
        pool.apply_async(work, ("apply_async",), callback=call_back).wait()
        pool.apply_async(raises, (ValueError(),), {}, None, fail).wait()
        pool.map(work, ["map 1", "map 2", "map 3"])
        pool.map_async(func=work, iterable=["map_async"]).get()
        pool.starmap(add, [("star", "map")])
        list(pool.imap(work, ["imap"]))
        list(pool.imap(work, ["imap in chunks 1", "imap in chunks 2"], chunksize=2))
        list(pool.imap_unordered(work, ["imap_unordered"]))
        later = threading.Event()
        late = pool.apply_async(lambda: later.wait() and work("late"))
    later.set()
    late.get()
    called_back.wait()
    failed.wait()
    with tracer.start_as_current_span("next request"):
        pool.map(work, ["next 1", "next 2"])
    pool.map(work, ["alone 1", "alone 2", "alone 3"], chunksize=1)
"""
    )
    names = "apply/apply_async/callback/error callback/map 1/map 2/map 3/map_async/starmap/imap/imap in chunks 1/"
    names += "imap in chunks 2/imap_unordered/late"
    roots = dict.fromkeys(["request", "next request", "alone 1", "alone 2", "alone 3"], "")
    nexts = dict.fromkeys(["next 1", "next 2"], "next request")
    assert parents(run) == {**dict.fromkeys(names.split("/"), "request"), **roots, **nexts}


def test_joblib_s_threads_work_below_the_span_they_were_asked_in(traced: Traced) -> None:
    run = traced(
        BEGIN
        + """
from joblib import Parallel, delayed
with Parallel(n_jobs=2, backend="threading", pre_dispatch=2, batch_size=1) as parallel:
    with tracer.start_as_current_span("request"):
        print(parallel(delayed(work)(f"task {number}") for number in range(6)))
    parallel([delayed(work)("alone")])
"""
    )
    names = [f"task {number}" for number in range(6)]
    assert parents(run) == {**dict.fromkeys(names, "request"), "request": "", "alone": ""}
    assert run.stdout == f"{names}\n"


LIKENESS = (
    BEGIN
    + IMPORTS
    + """
import inspect, traceback

def frames(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

for name in ("apply_async", "map", "_map_async", "imap", "imap_unordered", "starmap"):
    method = getattr(ThreadPool, name)
    print(inspect.signature(method), method.__qualname__, method.__module__, method.__doc__)
with tracer.start_as_current_span("request"), ThreadPool(1) as pool:
    error = ValueError("mine")
    try:
        pool.apply(raises, (error,))
    except ValueError as raised:
        # One frame may be ours.
        print(raised is error, [name for name in frames(raised) if name != "__call__"], raised.__context__)
    for call in (
        lambda: pool.apply(None),
        lambda: pool.apply(),
        lambda: pool.imap(work, ["x"], 0),
        lambda: pool.map(work, 5),
        lambda: next(pool.imap(work, raises)),
        lambda: pool.map(raises, [SystemError("of the program")]),
        lambda: pool.apply_async(work, nothing=1),
        lambda: pool.apply(dict, (), {"self": 1, "func": 2}),
    ):
        try:
            print(call())
        except Exception as wrong:
            print(type(wrong), wrong, wrong.__context__)
    pool.close()
    try:
        pool.apply(work, ("x",))
    except ValueError as wrong:
        print(wrong)
"""
)


def test_a_pool_looks_and_fails_as_without_us(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(LIKENESS)
    bare, ours = both(["app.py"], tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_RUN_STRICT="true")
    assert ours == bare
    assert (ours[0], ours[2]) == (0, "")


def test_a_result_that_is_kept_keeps_neither_its_context_nor_its_task(traced: Traced) -> None:
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
with ThreadPool(1) as pool:
    results = [
        pool.apply_async(id, (argument,), callback=print),
        pool.apply_async(id, (argument,), error_callback=print),
        pool.apply_async(fails, (argument,), callback=print),
        pool.map_async(id, [argument], error_callback=print),
    ]
    del argument
    pool.close()
    pool.join()
context.detach(token)
del token, value
print([ref() for ref in known], [result.successful() for result in results])
"""
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    assert run.stdout.splitlines()[-1] == "[None, None] [True, True, False, True]"

"""Greenlets and what stands for threads under gevent and eventlet: whose span their work is below.

Patched before anything else, as both want it, and also where a library has woken the agent before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.contexts import BEGIN, parents

if TYPE_CHECKING:
    from servers.program import Traced

THREADS = """
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

def start(thread):
    thread.start()
    thread.join()

with ThreadPoolExecutor(1) as executor, ThreadPool(1) as pool:
    with tracer.start_as_current_span("threads"):
        start(threading.Thread(target=work, args=("thread",)))
        start(threading.Timer(0, work, ("timer",)))
        executor.submit(work, "executor").result()
        pool.map(work, ["pool"])
    executor.submit(work, "executor alone").result()
    pool.map(work, ["pool alone"])
    start(threading.Thread(target=work, args=("thread alone",)))
"""
THREADS_BELOW = {
    **dict.fromkeys(["thread", "timer", "executor", "pool"], "threads"),
    **dict.fromkeys(["threads", "executor alone", "pool alone", "thread alone"], ""),
}


@pytest.mark.parametrize("before", ["", "import requests\n"], ids=["patched first", "after a library"])
def test_greenlets_of_gevent_work_below_the_span_they_were_spawned_in(before: str, traced: Traced) -> None:
    run = traced(
        before
        + "from gevent import monkey\nmonkey.patch_all()\n"
        + BEGIN
        + """
import gevent, gevent.pool, gevent.threadpool
from contextvars import ContextVar
variable = ContextVar("variable", default="default")
variable.set("set")
real = gevent.get_hub().threadpool

def nest():
    with tracer.start_as_current_span("nest"):
        gevent.spawn(work, "nested").join()

class Subclass(gevent.Greenlet):
    def _run(self):
        work("subclass")

with tracer.start_as_current_span("request"):
    pool = gevent.pool.Pool(2)
    greenlets = [gevent.spawn(work, "spawn"), gevent.spawn_later(0.01, work, "spawn_later"), gevent.spawn(nest)]
    greenlets += [pool.spawn(work, "pool.spawn"), Subclass.spawn()]
    pool.map(work, ["pool.map"])
    list(pool.imap_unordered(work, ["pool.imap"]))
    real.apply(work, ("hub.apply",))
    real.spawn(work, "hub.spawn").get()
    with gevent.threadpool.ThreadPoolExecutor(1) as executor:
        executor.submit(work, "gevent's executor").result()
    print(gevent.spawn(variable.get).get())
gevent.joinall(greenlets)
gevent.spawn(work, "alone").join()
real.apply(work, ("hub alone",))
"""
        + THREADS,
        warnings="ignore",
    )
    names = "spawn/spawn_later/nest/pool.spawn/subclass/pool.map/pool.imap/hub.apply/hub.spawn/gevent's executor"
    roots = dict.fromkeys(["request", "alone", "hub alone"], "")
    below = {**dict.fromkeys(names.split("/"), "request"), "nested": "nest"}
    assert parents(run) == {**below, **roots, **THREADS_BELOW}
    assert run.stdout == "default\n"


@pytest.mark.parametrize("before", ["", "import requests\n"], ids=["patched first", "after a library"])
def test_green_threads_of_eventlet_work_below_the_span_they_were_spawned_in(before: str, traced: Traced) -> None:
    run = traced(
        before
        + "import eventlet\neventlet.monkey_patch()\n"
        + BEGIN
        + """
import eventlet.tpool
pool = eventlet.GreenPool()
with tracer.start_as_current_span("request"):
    green = [eventlet.spawn(work, "spawn"), eventlet.spawn_after(0.01, work, "spawn_after"), pool.spawn(work, "pool")]
    list(pool.imap(work, ["imap"]))
    eventlet.tpool.execute(int)
for one in green:
    one.wait()
eventlet.spawn(work, "alone").wait()
# Its thread was started by the request.
eventlet.tpool.execute(work, "tpool alone")
"""
        + THREADS.replace('"pool"', '"ThreadPool"'),
        # Its own look-up of names imports half of what is installed, and fails in the middle of trio.
        env={"EVENTLET_NO_GREENDNS": "yes"},
        warnings="ignore",
    )
    below = {**THREADS_BELOW, **dict.fromkeys(["spawn", "spawn_after", "pool", "imap"], "request")}
    roots = dict.fromkeys(["request", "alone", "tpool alone"], "")
    assert parents(run) == {**below, **roots, "ThreadPool": "threads"}

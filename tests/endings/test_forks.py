"""A forked child starts with nothing of its parent's but the trace it is in, whoever forks, and when."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from endings.forking import BEGIN, by_name, names_of, spans_of
from process.children import OTEL_RUN, environment, run
from servers.fickle import fickle

if TYPE_CHECKING:
    from pathlib import Path

FORK = """
span("before")
child = os.fork()
if child == 0:
    span(f"child of {os.getppid()}")
    os._exit(0)
wait(child)
span(f"parent {os.getpid()}")
"""


def test_a_child_is_an_instance_of_its_own(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, FORK)
    assert len(spans) == 3
    before, parent, child = sorted(spans, key=lambda span: ["before", "parent", "child"].index(span.name.split()[0]))
    pids = {span.name.split()[0]: span.resource["process.pid"] for span in spans}
    assert parent.name == f"parent {pids['parent']}"
    assert child.name == f"child of {pids['parent']}"
    assert pids["before"] == pids["parent"] != pids["child"]
    instances = [span.resource["service.instance.id"] for span in (before, parent, child)]
    assert instances[0] == instances[1] != instances[2]
    own = {"process.pid", "service.instance.id"}
    rest = [{name: value for name, value in span.resource.items() if name not in own} for span in (parent, child)]
    assert rest[0] == rest[1]


def test_an_instance_id_that_the_operator_has_set_is_kept(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, FORK, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=blue")
    assert [span.resource["service.instance.id"] for span in spans] == ["blue"] * 3
    assert len({span.resource["process.pid"] for span in spans}) == 2


def test_a_child_stays_in_the_trace_that_it_was_forked_in(tmp_path: Path) -> None:
    source = """
with tracer.start_as_current_span("around"):
    child = os.fork()
    span("child" if child == 0 else "parent")
    if child == 0:
        os._exit(0)
    wait(child)
"""
    spans = by_name(spans_of(tmp_path, source))
    assert sorted(spans) == ["around", "child", "parent"]
    for name in ("child", "parent"):
        assert (spans[name].trace_id, spans[name].parent_id) == (spans["around"].trace_id, spans["around"].span_id)


def test_a_fork_in_a_fork(tmp_path: Path) -> None:
    source = """
span("one")
if not os.fork():
    span("two")
    if not os.fork():
        span("three")
        os._exit(0)
    wait(-1)
    os._exit(0)
wait(-1)
"""
    spans = by_name(spans_of(tmp_path, source))
    assert sorted(spans) == ["one", "three", "two"]
    assert len({span.resource["service.instance.id"] for span in spans.values()}) == 3


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "os.execv('/bin/true', ['true'])"])
def test_a_fork_while_a_batch_is_being_sent(end: str, tmp_path: Path) -> None:
    source = f"""
for number in range(3):
    span(f"parent {{number}}")
time.sleep(0.4)
for number in range(3):
    if not os.fork():
        span(f"child {{number}}")
        {end}
for number in range(3):
    wait(-1)
"""
    spans = spans_of(tmp_path, source, delay=0.5, OTEL_BSP_SCHEDULE_DELAY="50")
    assert names_of(spans) == [f"{who} {number}" for who in ("child", "parent") for number in range(3)]


def test_a_hundred_forks_while_another_thread_endsspans_of(tmp_path: Path) -> None:
    source = """
import threading
over, made = False, 0
def work():
    global made
    while not over:
        span("thread's")
        made += 1
        time.sleep(0.0005)
thread = threading.Thread(target=work)
thread.start()
for number in range(100):
    child = os.fork()
    if not child:
        if number % 4 == 0:
            span(f"child {number:02}")
        os._exit(0)
    wait(child)
over = True
thread.join()
span(f"made {made}")
"""
    spans = spans_of(tmp_path, source, OTEL_BSP_SCHEDULE_DELAY="50", OTEL_BSP_MAX_QUEUE_SIZE="100000")
    names = names_of(spans)
    assert names[:25] == [f"child {number:02}" for number in range(0, 100, 4)]
    assert names[25] == f"made {names.count(chr(116) + 'hread' + chr(39) + 's')}"
    assert len({span.span_id for span in spans}) == len(spans)


@pytest.mark.parametrize("who", ["the main thread", "another thread"])
def test_a_child_that_is_told_to_end_at_once(who: str, tmp_path: Path) -> None:
    # Python forgets, in a child, what signals it has taken before it knows that it is one.
    source = """
import threading
span("before")
def work():
    for number in range(60):
        child = os.fork()
        if not child:
            time.sleep(5)
            os._exit(9)
        os.kill(child, signal.SIGTERM)
        status = os.waitpid(child, 0)[1]
        if status != signal.SIGTERM:
            print("a child ended with", status)
            break
if WHO == "the main thread":
    work()
else:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), end="")
"""
    (tmp_path / "app.py").write_text(BEGIN + source.replace("WHO", repr(who)))
    with fickle() as receiver:
        variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_RUN_STRICT="true")
        done = run([*OTEL_RUN, sys.executable, "-W", "ignore", "app.py"], tmp_path, env=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]", ""), done
    assert names_of(receiver.spans) == ["before"]


def test_forkpty(tmp_path: Path) -> None:
    source = """
span("before")
child, _ = os.forkpty()
span("child" if child == 0 else "parent")
if child == 0:
    os._exit(0)
wait(child)
"""
    assert names_of(spans_of(tmp_path, source)) == ["before", "child", "parent"]


def test_a_daemon_that_forks_twice_and_closes_every_descriptor(tmp_path: Path) -> None:
    source = """
span("before")
time.sleep(0.3)  # its connection is open now
reading, writing = os.pipe()
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.dup2(writing, 200)
    os.closerange(0, 200)
    for number in range(3):
        os.open(os.devnull, os.O_RDWR)
    held = [os.pipe() for _ in range(8)]  # what it opens gets the numbers that others have had
    span("daemon")
    trace.get_tracer_provider().force_flush()
    span("daemon's last")
    for one, other in held:
        os.write(other, b"x")
        assert os.read(one, 1) == b"x"
    os._exit(0)
wait(-1)
os.close(writing)
assert os.read(reading, 1) == b""
span("after")
"""
    spans = spans_of(tmp_path, source, OTEL_BSP_SCHEDULE_DELAY="50")
    assert names_of(spans) == ["after", "before", "daemon", "daemon's last"]


def test_a_function_before_exec(tmp_path: Path) -> None:
    # What ends in the function itself is lost: the child becomes another program without Python's knowing.
    source = """
import subprocess
span("before")
with tracer.start_as_current_span("around"):
    subprocess.run(["true"], check=True, preexec_fn=lambda: span("in between"))
span("after")
"""
    assert names_of(spans_of(tmp_path, source)) == ["after", "around", "before"]


def test_a_child_that_goes_on_when_its_parent_is_gone(tmp_path: Path) -> None:
    source = """
span("parent")
reading, writing = os.pipe()
if not os.fork():
    os.close(writing)
    os.read(reading, 1)
    span("orphan")
    sys.exit(0)
"""
    spans = spans_of(tmp_path, source)
    # Its output is ours, so that the program is not over for us before it is.
    assert names_of(spans) == ["orphan", "parent"]

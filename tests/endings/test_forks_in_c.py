"""Forks that are made in C run none of Python's hooks; the child is known by its process id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endings.forking import by_name, names_of, spans_of

if TYPE_CHECKING:
    from pathlib import Path

NATIVE = """
import ctypes
libc = ctypes.PyDLL(None)
"""


def test_a_fork_made_in_c_is_known_by_its_process_id(tmp_path: Path) -> None:
    source = (
        NATIVE
        + """
span("before")
time.sleep(0.3)
child = libc.fork()
span("child" if child == 0 else "parent")
if child == 0:
    os._exit(0)
wait(child)
"""
    )
    spans = by_name(spans_of(tmp_path, source))
    assert sorted(spans) == ["before", "child", "parent"]
    assert spans["child"].resource["process.pid"] != spans["parent"].resource["process.pid"]
    assert spans["child"].resource["service.instance.id"] != spans["parent"].resource["service.instance.id"]


def test_a_fork_made_in_c_during_a_span(tmp_path: Path) -> None:
    source = (
        NATIVE
        + """
span("before")
time.sleep(0.3)
with tracer.start_as_current_span("around"):
    child = libc.fork()
    if child == 0:
        span("child")
        os._exit(0)
    wait(child)
"""
    )
    spans = by_name(spans_of(tmp_path, source, OTEL_BSP_SCHEDULE_DELAY="50"))
    assert sorted(spans) == ["around", "before", "child"]
    assert spans["child"].parent_id == spans["around"].span_id


def test_a_fork_made_in_c_whose_child_makes_no_span_sends_nothing_of_its_parents(tmp_path: Path) -> None:
    source = (
        NATIVE
        + """
span("before")
time.sleep(0.3)
child = libc.fork()
if child == 0:
    sys.exit(0)
wait(child)
"""
    )
    assert names_of(spans_of(tmp_path, source)) == ["before"]


def test_a_fork_made_in_c_that_dies_of_sigterm(tmp_path: Path) -> None:
    source = (
        NATIVE
        + """
span("before")
time.sleep(0.3)  # Python itself does not survive a fork in C while another thread waits for the interpreter
child = libc.fork()
if child == 0:
    span("child")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
assert os.waitpid(child, 0)[1] == signal.SIGTERM
"""
    )
    assert names_of(spans_of(tmp_path, source)) == ["before", "child"]


def test_a_fork_made_in_c_that_is_ended_by_its_parent_does_not_end_that(tmp_path: Path) -> None:
    source = (
        NATIVE
        + """
span("before")
time.sleep(0.3)
child = libc.fork()
if child == 0:
    time.sleep(20)
    os._exit(0)
time.sleep(0.3)
os.kill(child, signal.SIGTERM)
assert os.waitpid(child, 0) == (child, signal.SIGTERM)
time.sleep(0.3)  # in which the parent would be ended
span("after")
"""
    )
    assert names_of(spans_of(tmp_path, source)) == ["after", "before"]

"""What a traced program can notice of the agent once spans are made: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, STARTUP_FOLDER, both, environment, run
from servers.fickle import fickle

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.web import Web

SPAN = """
from opentelemetry import trace
tracer = trace.get_tracer("app")
tracer.start_span("one").end()
"""


@pytest.mark.parametrize("is_read", [True, False])
def test_a_stderr_that_is_full_or_broken_holds_nobody_up_and_ends_nobody(is_read: bool, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("""
import signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
from otel_run import report
report.warn("something", "of ours", "x" * 5000)
print("out")
""")
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    if not is_read:
        os.close(read)
    env = environment(OTEL_BSP_SCHEDULE_DELAY="not a number", OTEL_RUN_STRICT="true")
    command = [*OTEL_RUN, sys.executable, "app.py"]
    try:
        done = subprocess.run(command, cwd=tmp_path, env=env, stdout=-1, stderr=write, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (0, b"out\n")
    finally:
        os.close(write)
        if is_read:
            os.close(read)


def _run(tmp_path: Path, source: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `source` after one span, with a receiver that takes it at once."""
    (tmp_path / "app.py").write_text(SPAN + source)
    with fickle() as receiver:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50", **env}
        return run([*OTEL_RUN, sys.executable, *options, "app.py"], tmp_path, env=environment(**variables))


def test_seeded_random_numbers_are_the_same(web: Web, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import random, sys, requests\nrandom.seed(7)\nrequests.get(sys.argv[1] + '/echo')\nprint(random.random())\n"
    )
    bare, ours = both(["app.py", web.url], tmp_path, OTEL_TRACES_EXPORTER="none")
    assert ours == bare


def test_nobody_sees_or_joins_our_thread(tmp_path: Path) -> None:
    source = """
import threading, time
time.sleep(0.3)
print(threading.active_count(), threading.enumerate())
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
"""
    done = _run(tmp_path, source)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 [<_MainThread")


def test_a_blocked_signal_stays_blocked(tmp_path: Path) -> None:
    source = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.2)
print(signal.sigtimedwait([signal.SIGTERM], 1).si_signo == signal.SIGTERM)
"""
    done = _run(tmp_path, source)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_descriptor_that_the_program_takes_from_us_is_left_to_it(tmp_path: Path) -> None:
    """A daemon closes all numbers, ours among them, and opens its own files under them."""
    source = """
import os, stat, time
provider = trace.get_tracer_provider()
print(provider.force_flush())
def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False
kept = [number for number in range(3, 100) if is_socket(number)]
os.closerange(3, 100)
taken = [os.open("log", os.O_RDWR | os.O_CREAT) for _ in range(3, 60)]
print(len(kept), set(kept) <= set(taken))
tracer.start_span("two").end()
print(provider.force_flush())
print([number for number in taken if not os.path.sameopenfile(number, taken[0])], os.path.getsize("log"))
"""
    done = _run(tmp_path, source, "-W", "error", OTEL_BSP_SCHEDULE_DELAY="60000")
    assert (done.stdout, done.stderr) == ("True\n1 True\nTrue\n[] 0\n", "")


def test_the_programs_debug_log_does_not_tell_of_our_exports(tmp_path: Path) -> None:
    source = """
import logging, time
logging.basicConfig(level=logging.DEBUG)
tracer.start_span("two").end()
time.sleep(0.5)
logging.debug("mine")
"""
    done = _run(tmp_path, source)
    assert done.stderr == "DEBUG:root:mine\n"


@pytest.mark.parametrize("options", [[], ["-W", "error"], ["-X", "dev"]], ids=str)
def test_forking_after_spans_warns_of_nothing(options: list[str], tmp_path: Path) -> None:
    source = """
import os, time
time.sleep(0.5)
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""
    done = _run(tmp_path, source, *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n0\n0\n", "")


def test_children_forked_while_our_thread_imports_do_not_hang(tmp_path: Path) -> None:
    source = """
import os, signal, time
for _ in range(25):
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        import http.client, ssl, email.message, gzip
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
    time.sleep(0.005)
print("all")
"""
    # A thread that is busy can't be sent to rest, and Python 3.12 says that the process has it.
    done = _run(tmp_path, source, "-W", "ignore::DeprecationWarning")
    assert (done.returncode, done.stdout, done.stderr) == (0, "all\n", "")


def test_a_short_delay_does_not_keep_a_core_busy(tmp_path: Path) -> None:
    source = "import time\nstart = time.process_time()\ntime.sleep(1.5)\nprint(time.process_time() - start < 0.75)\n"
    assert _run(tmp_path, source, OTEL_BSP_SCHEDULE_DELAY="0").stdout == "True\n"


def test_a_module_of_the_programs_with_a_librarys_name_is_left_alone(tmp_path: Path) -> None:
    for name in ("redis", "httpx", "requests", "sqlalchemy", "psycopg"):
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    code = "import redis, httpx, requests, sqlalchemy, psycopg; print(redis.mine)"
    bare, ours = both(["-c", code], tmp_path)
    assert ours == bare


def test_a_folder_that_was_deleted_under_the_program(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    command = [*OTEL_RUN, sys.executable, "-c", "print(1)"]
    script = f"import os\nos.rmdir(os.getcwd())\nos.execv({command[0]!r}, {command!r})"
    done = run([sys.executable, "-c", script], folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.parametrize(
    "variables", [{"OTEL_SERVICE_NAME": "caf\udce9"}, {"OTEL_RESOURCE_ATTRIBUTES": "a=\udce9"}], ids=str
)
def test_values_that_are_no_utf8(variables: dict[str, str], traced: Traced) -> None:
    run = traced(SPAN, env=variables)
    assert run.stderr == ""
    assert "\ufffd" in str(run.span("one").resource)


def test_one_span_that_cannot_be_encoded_costs_no_other(tmp_path: Path) -> None:
    bad = 'tracer.start_span("bad").end(end_time=-1)\n'
    (tmp_path / "app.py").write_text(SPAN + bad + 'tracer.start_span("two").end()\n')
    with fickle() as receiver:
        env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=env)
    assert [span.name for span in receiver.spans] == ["one", "two"]
    assert done.stderr.count("\n") == 1
    assert "1 span lost: it can't be encoded" in done.stderr


def test_a_name_that_is_no_unicode_loses_what_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SPAN + 'tracer.start_span("bad\\udcff").end()\n')
    with fickle() as receiver:
        env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        done = run([*OTEL_RUN, sys.executable, "app.py"], tmp_path, env=env)
    assert [span.name for span in receiver.spans] == ["one", "bad\ufffd"]
    assert done.stderr == ""


def test_libraries_of_ours_are_not_a_tools_in_another_environment(tmp_path: Path) -> None:
    """Pip must not take what we bring along for installed."""
    startup = tmp_path / "site" / "otel_run" / "sitecustomize"
    startup.mkdir(parents=True)
    (startup / "sitecustomize.py").write_text((Path(STARTUP_FOLDER) / "sitecustomize.py").read_text())
    # A stand-in for our package, which decides as it does for a tool.
    (tmp_path / "site" / "otel_run" / "startup.py").write_text("def start():\n    return False\n")
    (tmp_path / "site" / "otel_run" / "__init__.py").write_text("")
    code = f"import sys; print({str(tmp_path / 'site')!r} in sys.path)"
    env = environment(PYTHONPATH=str(startup))
    done = run([sys._base_executable, "-c", code], tmp_path, env=env)  # type: ignore[attr-defined]
    assert (done.stdout, done.stderr) == ("False\n", "")

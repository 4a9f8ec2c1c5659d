"""What a program sees of signals, and how it and its children die of them, is the same under bare Python."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from process.children import OTEL_RUN, environment, run
from servers.fickle import fickle

if TYPE_CHECKING:
    from pathlib import Path

BEGIN = """
import os, signal, subprocess, sys, threading, time
TERM = signal.SIGTERM
def mine(number, frame):
    print("mine", number, flush=True)
def wake():
    from opentelemetry import trace
    trace.get_tracer("t").start_span("one").end()
"""

# What each program prints, and how it ends, must not depend on the agent.
PROGRAMS = {
    "the default is seen, and its place is given back": """
wake()
print(signal.getsignal(TERM), signal.getsignal(TERM) is signal.SIG_DFL)
print(signal.signal(TERM, mine), signal.getsignal(TERM) is mine)
os.kill(os.getpid(), TERM)
print(signal.signal(TERM, signal.SIG_DFL) is mine, signal.getsignal(TERM))
print(signal.signal(TERM, signal.SIG_IGN), signal.signal(TERM, signal.SIG_DFL), signal.getsignal(TERM))
os.kill(os.getpid(), TERM)
time.sleep(20)
""",
    "a handler from before": """
print(signal.signal(TERM, mine))
wake()
print(signal.getsignal(TERM) is mine)
os.kill(os.getpid(), TERM)
print(signal.signal(TERM, signal.SIG_DFL) is mine)
print(signal.signal(TERM, mine))
""",
    "ignored by the program": """
signal.signal(TERM, signal.SIG_IGN)
wake()
os.kill(os.getpid(), TERM)
print(signal.getsignal(TERM))
""",
    "chained": """
old = signal.getsignal(TERM)
wake()
def chained(number, frame):
    print("chained", before)
    if callable(before):
        before(number, frame)
    sys.exit(9)
before = signal.signal(TERM, chained)
print(before is old)
os.kill(os.getpid(), TERM)
time.sleep(20)
""",
    "asyncio's": """
import asyncio
async def main():
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(TERM, came.set)
    os.kill(os.getpid(), TERM)
    await came.wait()
    print(loop.remove_signal_handler(TERM), signal.getsignal(TERM))
wake()
asyncio.run(main())
print(signal.getsignal(TERM))
os.kill(os.getpid(), TERM)
time.sleep(20)
""",
    "blocked, and waited for": """
signal.pthread_sigmask(signal.SIG_BLOCK, [TERM])
wake()
os.kill(os.getpid(), TERM)
print(signal.sigwait([TERM]), signal.sigpending())
print(sorted(signal.pthread_sigmask(signal.SIG_UNBLOCK, [TERM])))
""",
    "raised": "wake()\nsignal.raise_signal(TERM)\ntime.sleep(20)",
    "raised in a thread": "wake()\nthreading.Thread(target=signal.raise_signal, args=(TERM,)).start()\ntime.sleep(90)",
    "sent by a thread to the main one": """
wake()
threading.Thread(target=signal.pthread_kill, args=(threading.main_thread().ident, TERM)).start()
time.sleep(20)
""",
    "the file descriptor for waking": """
reading, writing = os.pipe()
os.set_blocking(writing, False)
print(signal.set_wakeup_fd(writing))
wake()
signal.signal(TERM, mine)
os.kill(os.getpid(), TERM)
print(os.read(reading, 10))
print(signal.set_wakeup_fd(-1) == writing)
""",
    "faulthandler": """
import faulthandler
wake()
faulthandler.enable(all_threads=False)
try:
    faulthandler.register(TERM, chain=False, all_threads=False)
except (AttributeError, ValueError) as error:
    print(error)
signal.pthread_kill(threading.get_ident(), TERM)
print("still here", flush=True)
print(faulthandler.unregister(TERM))
""",
    "children of subprocess": """
wake()
child = subprocess.Popen([sys.executable, "-c", "import signal, time; print(signal.getsignal(signal.SIGTERM));"
    "print([l for l in open('/proc/self/status') if l.startswith(('SigIgn', 'SigCgt', 'SigBlk'))], flush=True);"
    "time.sleep(20)"], stdout=subprocess.PIPE)
print(child.stdout.readline(), child.stdout.readline())
child.terminate()
print(child.wait())
shell = subprocess.run(["sh", "-c", "kill -TERM $$; echo alive"])
print(shell.returncode)
# Not by a shell: some block every signal for a moment, when they start a command.
child = subprocess.run(["grep", "SigBlk", "/proc/self/status"], preexec_fn=os.setsid)
shell = subprocess.run(["sh", "-c", "kill -TERM $$; echo alive"], preexec_fn=os.setsid)
print(shell.returncode)
""",
    "children of fork": """
wake()
child = os.fork()
if child == 0:
    print(signal.getsignal(TERM), flush=True)
    time.sleep(20)
time.sleep(0.3)
os.kill(child, TERM)
print(os.waitpid(child, 0)[1])
child = os.fork()
if child == 0:
    print(signal.signal(TERM, mine), flush=True)
    os.kill(os.getpid(), TERM)
    os._exit(3)
print(os.waitpid(child, 0)[1])
""",
    "children of multiprocessing": """
import multiprocessing
wake()
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,))
child.start()
child.terminate()
child.join()
print(child.exitcode)
""",
    "other signals": """
wake()
print([signal.getsignal(one) for one in sorted(signal.valid_signals())])
print([signal.signal(one, signal.SIG_DFL) for one in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)])
""",
    "not from a thread": """
wake()
def work():
    try:
        signal.signal(TERM, mine)
    except ValueError as error:
        print(error)
    print(signal.getsignal(TERM))
threading.Thread(target=work).start()
""",
    "wrong arguments": """
wake()
for call in (lambda: signal.signal(TERM), lambda: signal.signal(TERM, 5.5), lambda: signal.getsignal(999),
             lambda: signal.signal(9, mine), lambda: signal.getsignal()):
    try:
        print(call())
    except Exception as error:
        print(type(error), error, error.__context__, error.__cause__)
print(signal.signal(TERM, 0), signal.getsignal(TERM), signal.signal(TERM, 1), signal.getsignal(TERM))
""",
    "what the functions look like": """
wake()
import inspect, pickle
for one in (signal.signal, signal.getsignal, signal.raise_signal):
    print(one.__name__, one.__qualname__, one.__module__, inspect.signature(one), callable(one))
    print(pickle.loads(pickle.dumps(one)) is one)
""",
    "every descriptor is closed, and others take their numbers": """
wake()
time.sleep(0.2)
os.closerange(3, 300)
files = [open(f"{number}.txt", "wb") for number in range(200)]
signal.signal(signal.SIGUSR1, mine)
os.kill(os.getpid(), signal.SIGUSR1)
print(sum(os.path.getsize(file.name) for file in files), signal.set_wakeup_fd(-1), flush=True)
os.kill(os.getpid(), TERM)
time.sleep(20)
""",
    "interrupted by its own hand, which is for handlers of Python alone": """
import _thread
wake()
print(_thread.interrupt_main(TERM))
time.sleep(0.2)
signal.signal(TERM, mine)
_thread.interrupt_main(TERM)
time.sleep(0.2)
""",
    "a process group": """
wake()
print(os.getpgrp() == os.getpid() or os.setpgid(0, 0))
os.killpg(0, TERM)
time.sleep(20)
""",
    "its main thread has ended by an exit": """
wake()
threading.Thread(target=lambda: (time.sleep(0.2), os.kill(os.getpid(), TERM), time.sleep(20))).start()
sys.exit(5)
""",
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    return PROGRAMS[request.param]


def _outcome(command: list[str], folder: Path, endpoint: str) -> tuple[int, list[str], list[str]]:
    env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RUN_STRICT="true")
    done = run([*command, sys.executable, "-W", "ignore::DeprecationWarning", "app.py"], folder, env=env)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def test_the_same_is_seen(program: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BEGIN + program)
    with fickle() as receiver, ThreadPoolExecutor(2) as pool:
        bare, traced = pool.map(lambda command: _outcome(command, tmp_path, receiver.endpoint), ([], OTEL_RUN))
    assert traced == bare
    assert [span.name for span in receiver.spans] == ["one"]


def test_ignored_by_whoever_has_started_it(tmp_path: Path) -> None:
    source = "wake()\nos.kill(os.getpid(), TERM)\nprint(signal.getsignal(TERM), flush=True)\n"
    source += "print(signal.signal(TERM, signal.SIG_DFL), flush=True)\nos.kill(os.getpid(), TERM)\ntime.sleep(20)\n"
    (tmp_path / "app.py").write_text(BEGIN + source)
    with fickle() as receiver:
        ignoring = ["sh", "-c", 'trap "" TERM; exec "$@"', "sh"]
        bare = _outcome(ignoring, tmp_path, receiver.endpoint)
        traced = _outcome([*ignoring, *OTEL_RUN], tmp_path, receiver.endpoint)
    assert bare == traced
    assert (bare[0], len(bare[1])) == (-signal.SIGTERM, 2)
    assert [span.name for span in receiver.spans] == ["one"]


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_unshare(), reason="may not make a PID namespace")
def test_the_first_process_of_a_container_is_spared_by_the_system(tmp_path: Path) -> None:
    source = (
        "wake()\nassert os.getpid() == 1\nos.kill(1, TERM)\nprint('spared', signal.getsignal(TERM))\n"
        "from opentelemetry import trace\ntrace.get_tracer('t').start_span('two').end()\n"
        "os.kill(1, TERM)\nprint('again')\ntrace.get_tracer('t').start_span('three').end()\n"
    )
    (tmp_path / "app.py").write_text(BEGIN + source)
    with fickle() as receiver:
        inside = ["unshare", "--pid", "--fork", "--mount-proc"]
        bare = _outcome(inside, tmp_path, receiver.endpoint)
        traced = _outcome([*inside, *OTEL_RUN], tmp_path, receiver.endpoint)
    assert bare == traced
    assert (bare[0], bare[1][1:]) == (0, ["again"])
    assert sorted(span.name for span in receiver.spans) == ["one", "three", "two"]


def test_left_alone_if_asked_for(tmp_path: Path) -> None:
    source = BEGIN + "wake()\nprint(signal.signal.__module__)\nos.kill(os.getpid(), TERM)\ntime.sleep(20)\n"
    with fickle() as receiver:
        env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_RUN_SIGTERM="leave")
        done = run([*OTEL_RUN, sys.executable, "-c", source], tmp_path, env=env)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert receiver.spans == []


def test_the_signals_themselves_as_the_system_sees_them(tmp_path: Path) -> None:
    """Only SIGTERM is caught; nothing is blocked."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc")
    source = "wake()\nprint({line[:6]: int(line[7:], 16) for line in open('/proc/self/status') if line[:3] == 'Sig'"
    source += " and line[3] != 'Q'})\n"
    (tmp_path / "app.py").write_text(BEGIN + source)
    with fickle() as receiver:
        bare, traced = (_outcome(command, tmp_path, receiver.endpoint) for command in ([], OTEL_RUN))
    assert (bare[0], traced[0]) == (0, 0)
    before, after = ast.literal_eval(bare[1][0]), ast.literal_eval(traced[1][0])
    after["SigCgt"] &= ~(0b11 << 31)  # the C library's own two, for threads
    assert after == {**before, "SigCgt": before["SigCgt"] | 1 << (signal.SIGTERM - 1)}


def test_other_signals_that_end_a_process_are_left_alone(tmp_path: Path) -> None:
    # SIGHUP, SIGQUIT and the like at their default, and SIGKILL: at once, and what has not been sent is lost.
    source = BEGIN + "wake()\nos.kill(os.getpid(), int(sys.argv[1]))\ntime.sleep(20)\n"
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL):
        with fickle() as receiver:
            env = environment(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
            done = run([*OTEL_RUN, sys.executable, "-c", source, str(int(number))], tmp_path, env=env)
        assert (done.returncode, done.stderr, receiver.spans) == (-number, "", [])

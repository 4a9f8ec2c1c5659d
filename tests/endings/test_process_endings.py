"""However a process ends, its spans leave first, within the exit budget; and it ends as it does without us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from endings.states import END, check

if TYPE_CHECKING:
    from pathlib import Path

    from endings.states import Ending

# Name -> (what the program does last, its status).
ENDINGS: dict[str, Ending] = {
    "normal exit": (END, 0),
    "exception": (END + "raise KeyError('theirs')", 1),
    "sys.exit(3)": (END + "import sys; sys.exit(3)", 3),
    "sys.exit in a thread": (
        "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()\n" + END,
        0,
    ),
    "Ctrl-C": (
        END + "import signal, threading, time; signal.pthread_kill(threading.get_ident(), 2); time.sleep(30)",
        -2,
    ),
    "os._exit": (END + "import os; os._exit(7)", 7),
    "os._exit in a thread": (
        END + "import os, threading, time; threading.Thread(target=os._exit, args=(7,)).start(); time.sleep(30)",
        7,
    ),
    "daemon threads that go on": (
        "import threading, time\n"
        "for _ in range(3): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n" + END,
        0,
    ),
    "a thread that is waited for": (
        (
            "import threading, time\n"
            "def work():\n    time.sleep(0.2)\n    trace.get_tracer('t').start_span('late').end()\n"
            "    print('END', time.time(), flush=True)\n"
            "threading.Thread(target=work).start()"
        ),
        0,
    ),
    "SystemExit with a text": (END + "raise SystemExit('bye')", 1),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_spans_leave_before(ending: str, tmp_path: Path) -> None:
    late = ["late"] if "waited for" in ending else []
    check(ENDINGS[ending], tmp_path, names=["one", *late])


@pytest.mark.parametrize("how", ["-c", "-m"])
def test_a_program_that_is_no_file(how: str, tmp_path: Path) -> None:
    check((END + "raise SystemExit(4)", 4), tmp_path, how=how)

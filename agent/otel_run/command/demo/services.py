"""The demo's two services, each a process of its own under `otel-run`, gone when the `with` block is left."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from otel_run.command.demo.servers import HOST, Failed, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from otel_run.command.demo.servers import Command

HERE = Path(__file__).parent
# What Python needs to find itself and its packages; of the rest of the user's environment, settings for
# OpenTelemetry, PostgreSQL or a proxy would make the demo something else than it is.
INHERITED = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "OTEL_RUN_STRICT")
# The functions of the order service that become spans, and how these are called.
TRACED = (
    "orders:process_order=ProcessOrder",
    "orders:validate",
    "orders:enrich_order=enrichOrder",
    "orders:execute_order=executeOrder",
)
# It serves by the standard library alone, which nobody traces: its process would pass for a script, and be a span.
SETTINGS = {"OTEL_RUN_PROCESS_SPAN": "off"}
CODE = "open sesame"


def shown_command() -> str:
    """Return how the order service is run, as a person would type it."""
    settings = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
    words = [f"{settings} otel-run", *(f"--trace {pattern}" for pattern in TRACED), "python service.py"]
    return " \\\n    ".join(words)


@contextlib.contextmanager
def services(endpoint: str, database: str, cache: str, check: Callable[[], None]) -> Iterator[str]:
    """Run both, sending their spans to `endpoint`; give the URL of the order service. Raises Failed.

    `check` is called while they start, and raises if that is to be given up.
    """
    # Sent often: somebody is looking.
    environment = _environment() | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "500"}
    with _service("reference-data", ("reference_data.py", "{port}"), environment, check) as reference_data:
        flags = [word for pattern in TRACED for word in ("--trace", pattern)]
        program = (
            "service.py",
            "--port={port}",
            f"--database={database}",
            f"--cache={cache}",
            f"--reference-data={reference_data}",
        )
        with _service("orders", program, environment | SETTINGS, check, *flags) as orders:
            yield orders


@contextlib.contextmanager
def _service(
    name: str, program: Sequence[str], environment: Mapping[str, str], check: Callable[[], None], *flags: str
) -> Iterator[str]:
    """Run `python *program` under `otel-run`; give its URL."""
    script, *arguments = program
    under_otel_run = (sys.executable, "-m", "otel_run.command", "--service", name, *flags)

    def command(port: int) -> Command:
        filled = (argument.replace("{port}", str(port)) for argument in arguments)
        return (*under_otel_run, sys.executable, HERE / script, *filled)

    with tempfile.TemporaryDirectory(prefix=f"otel-run-{name}-") as folder:
        log = Path(folder) / "log"

        def is_ready(port: int, _: int) -> bool:
            check()
            # Its own word, and not a connection: on a port that was lost, somebody else would take it.
            return f"listening on {port}\n" in log.read_text(errors="replace")

        with running(name, command, is_ready, Path(folder), environment) as (port, _):
            try:
                yield f"http://{HOST}:{port}"
            except Refused as refused:
                raise Failed(f"{refused}\nThe log of {name}:\n{log.read_text(errors='replace')[-2000:]}") from None


def _environment() -> dict[str, str]:
    environ = os.environ  # noqa: TID251 - the environment to hand on, not settings
    return {name: environ[name] for name in INHERITED if name in environ}


class Refused(Exception):
    """The order service gave no answer, or another one than it should."""


def send(service: str, **order: Any) -> int:
    """Send one order, by plain urllib; return the status of the answer. Raises Refused if there is none."""
    body = json.dumps({"counterparty": 7, "code": CODE, "side": "buy", "quantity": 100, **order}).encode()
    request = urllib.request.Request(  # noqa: S310 - a URL of ours
        f"{service}/orders", body, {"Content-Type": "application/json"}
    )
    # No proxy: it is another machine's loopback that it would reach.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError as error:
        raise Refused(f"POST {service}/orders: {error}") from None

"""What a traced program does not import, though it is traced and its spans are sent: that is most of the start-up."""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from process.children import environment, run

if TYPE_CHECKING:
    from pathlib import Path

    from servers.program import Run, Traced

# Printed by the program itself, before `json` brings in modules of its own.
TELL = """
import sys
loaded = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
import json
print(json.dumps(loaded))
"""
ANSWERING = (
    """
import flask
application = flask.Flask("shop")

@application.get("/orders/<int:number>")
def order(number):
    return {"order": number}

assert application.test_client().get("/orders/1").json == {"order": 1}
if "opentelemetry.trace" in sys.modules:
    assert sys.modules["opentelemetry.trace"].get_tracer_provider().force_flush()
"""
    + TELL
)
SIX = "import flask, httpx, psycopg, redis, requests, sqlalchemy\n" + TELL

# Packages and modules -> why nobody needs them who has not asked for them.
NEVER = {
    "asyncio": "only wrapt wants it, for a synchronous program too",
    "google": "OTLP's bytes are written directly",
    "grpc": "another protocol than the default",
    "importlib_metadata": "entry points are read from the files",
    "opentelemetry._logs": "only spans leave",
    "opentelemetry.distro": "settings and providers are our own",
    "opentelemetry.exporter": "OTLP's bytes are written directly",
    "opentelemetry.instrumentation": "its BaseInstrumentor brings packaging, wrapt and importlib_metadata",
    "opentelemetry.proto": "OTLP's bytes are written directly",
    "opentelemetry.sdk._configuration": "settings and providers are our own",
    "opentelemetry.sdk.metrics": "only spans leave",
    "opentelemetry.sdk.trace.export": "the SDK's own processors and exporters",
    "packaging": "our instrumentors have no limits of versions",
    "requests": "we send by a connection of our own",
    "urllib3": "we send by a connection of our own",
    "wrapt": "our patches are our own",
    "zipp": "entry points are read from the files",
}
# What the sending thread imports, once there is something to send.
OF_THE_THREAD = (
    "otel_run.export.connection",
    "otel_run.export.redact",
    "otel_run.export.texts",
    "otel_run.masking.document",
    "otel_run.masking.error",
)


def _names_of_others() -> str:
    """Name the instrumentors of others: what these import is theirs, and not everybody has them."""
    points = entry_points(group="opentelemetry_instrumentor")
    ours = {point.name for point in points if point.value.startswith("otel_run.")}
    return ",".join(sorted({point.name for point in points} - ours))


def _loaded(stdout: str) -> dict[str, str | None]:
    loaded: dict[str, str | None] = json.loads(stdout.splitlines()[-1])
    return loaded


def _added(traced: Traced, source: str, tmp_path: Path) -> tuple[Run, dict[str, str | None]]:
    """Run `source` under `otel-run` and bare, and return what only the first has imported."""
    source = "import sys\n" + source
    done = traced(source, env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": _names_of_others()})
    assert (done.returncode, done.stderr) == (0, ""), str(done)
    (tmp_path / "bare.py").write_text(source)
    bare = run([sys.executable, "bare.py"], tmp_path, env=environment())
    assert (bare.returncode, bare.stderr) == (0, "")
    known = _loaded(bare.stdout)
    return done, {name: file for name, file in _loaded(done.stdout).items() if name not in known}


def _forbidden(added: dict[str, str | None]) -> dict[str, str]:
    return {name: why for name in added for package, why in NEVER.items() if f"{name}.".startswith(f"{package}.")}


def test_a_flask_application_that_has_answered_and_sent_its_span_has_imported_nothing_in_vain(
    traced: Traced, tmp_path: Path
) -> None:
    done, added = _added(traced, ANSWERING, tmp_path)
    assert [(span.kind, span.name) for span in done.spans] == [("SERVER", "GET /orders/<int:number>")]
    assert _forbidden(added) == {}
    assert set(OF_THE_THREAD) <= set(added)


def test_six_libraries_that_are_imported_and_not_used_import_nothing_that_sends(traced: Traced, tmp_path: Path) -> None:
    done, added = _added(traced, SIX, tmp_path)
    assert done.spans == []
    assert {f"otel_run.instrumentors.{name}" for name in ("flask", "httpx", "psycopg", "redis")} <= set(added)
    assert _forbidden(added) == {}
    assert set(OF_THE_THREAD) & set(added) == set()


def test_no_file_is_executed_under_two_names(traced: Traced, tmp_path: Path) -> None:
    _, added = _added(traced, ANSWERING, tmp_path)
    files = [file for file in added.values() if file]
    assert len(files) == len(set(files)) > 50

"""Our provider and a program that traces by itself, wholly or partly: both work together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import _TracerConfig
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from otel_run import settings
from otel_run.tracing.provider import Provider
from process.children import OTEL_RUN, both, environment
from servers.program import Traced
from servers.web import Web


def test_manual_spans_join_the_traces_of_the_libraries(traced: Traced, web: Web) -> None:
    run = traced(
        """
        import sys
        from opentelemetry import trace
        import requests
        with trace.get_tracer("mine").start_as_current_span("checkout"):
            requests.get(sys.argv[1] + "/echo")
        """,
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    checkout, get = run.span("checkout"), run.span("GET")
    assert (get.trace_id, get.parent_id, checkout.parent_id) == (checkout.trace_id, checkout.span_id, "")
    assert checkout.resource == get.resource


OWN_PROVIDER = """
import json, sys
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry import trace
{before}
provider = TracerProvider(resource=Resource({{"service.name": "their own", "test.run": sys.argv[2]}}))
mine = InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(mine))
trace.set_tracer_provider(provider)
assert trace.get_tracer_provider() is provider
{after}
with trace.get_tracer("mine").start_as_current_span("checkout"):
    requests.get(sys.argv[1] + "/echo")
print(json.dumps(sorted(span.name for span in mine.get_finished_spans())))
"""


@pytest.mark.parametrize("order", ["library first", "provider first"])
def test_a_provider_of_the_programs_own_gets_everything_and_so_do_we(order: str, traced: Traced, web: Web) -> None:
    before, after = ("import requests", "") if order == "library first" else ("", "import requests")
    run = traced(
        OWN_PROVIDER.format(before=before, after=after),
        web.url, "own-provider-" + order.split()[0],
        env={"OTEL_RESOURCE_ATTRIBUTES": ""},
    )  # fmt: skip
    spans = traced.receiver.spans("own-provider-" + order.split()[0], expect=2)
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout) == ["GET", "checkout"]
    assert sorted(span.name for span in spans) == ["GET", "checkout"]
    assert len({span.trace_id for span in spans}) == 1
    assert {span.resource["service.name"] for span in spans} == {"their own"}


REDACTS = """
from opentelemetry import trace
from opentelemetry.sdk.trace import Event, SpanProcessor

class Redacting(SpanProcessor):
    def on_start(self, span, parent_context=None):
        span.set_attribute("tenant", "seven")

    def on_end(self, span):
        span._name = "redacted"
        span._attributes = {**span.attributes, "user": "***"}
        span._events.append(Event("redacted", {"what": "user"}))

trace.get_tracer_provider().add_span_processor(Redacting())
trace.get_tracer("mine").start_span("of Ann", attributes={"user": "Ann"}).end()
"""


def test_what_a_processor_of_the_program_s_takes_out_of_a_span_is_not_sent(traced: Traced) -> None:
    run = traced(REDACTS)
    assert (run.returncode, run.stderr) == (0, "")
    (span,) = run.spans
    assert span.name == "redacted"
    assert span.attributes == {"user": "***", "tenant": "seven"}
    assert [event[0] for event in span.events] == ["redacted"]


OWN_RUNTIME = """
import sys
import requests
from opentelemetry import context, trace
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

class Mine(ContextVarsRuntimeContext):
    def attach(self, entered):
        attached.append(getattr(trace.get_current_span(entered), "name", "none"))
        return super().attach(entered)

attached = []
context._RUNTIME_CONTEXT = Mine()
with trace.use_span(trace.get_tracer("mine").start_span("checkout"), end_on_exit=True):
    requests.get(sys.argv[1] + "/echo")
assert trace.get_current_span() is trace.INVALID_SPAN
print([name for name in attached if name != "none"])
"""


def test_a_runtime_of_contexts_that_the_program_sets_is_everybody_s(traced: Traced, web: Web) -> None:
    run = traced(OWN_RUNTIME, web.url)
    assert (run.returncode, run.stdout, run.stderr) == (0, "['checkout', 'GET']\n", "")
    assert run.span("GET").parent_id == run.span("checkout").span_id


def test_the_program_may_flush_and_shut_down_what_it_takes_for_its_provider(traced: Traced) -> None:
    run = traced(
        """
        from opentelemetry import trace
        tracer = trace.get_tracer("mine")
        tracer.start_span("one").end()
        assert trace.get_tracer_provider().force_flush()
        trace.get_tracer_provider().shutdown()
        tracer.start_span("two").end()
        """
    )
    assert run.stderr == ""
    assert [span.name for span in run.spans] == ["one", "two"]


def test_warnings_and_logging_of_the_program_are_as_they_were(tmp_path: Path) -> None:
    code = """
import warnings, logging, requests, redis, opentelemetry.trace
opentelemetry.trace.get_tracer("mine")
print(warnings.filters, logging.root.handlers, logging.root.level, logging.lastResort)
print(logging.getLogger("opentelemetry").handlers)
logging.warning("still seen")
"""
    bare, ours = both(["-c", code], tmp_path)
    assert ours == bare


def test_a_filter_of_warnings_that_another_thread_sets_meanwhile_stays() -> None:
    def configure(_scope: object) -> object:
        warnings.filterwarnings("ignore", message="mine")
        return _TracerConfig.default()

    provider = Provider(settings.current(), Resource({}), DEFAULT_ON)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        provider._tracer_configurator = configure  # type: ignore[assignment]
        provider.get_tracer("any")
        (mine,) = warnings.filters
    assert isinstance(mine[1], re.Pattern)
    assert mine[1].pattern == "mine"


@pytest.mark.parametrize(
    "statement",
    [
        "from opentelemetry.propagate import inject",
        "import opentelemetry.sdk.trace.export",
        "import opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "import opentelemetry.instrumentation.utils",
        "import opentelemetry.context",
        "try: import opentelemetry.exporter.otlp.nosuch\nexcept ImportError: pass",
    ],
)
def test_whatever_of_opentelemetry_is_imported_first(statement: str, traced: Traced, web: Web) -> None:
    run = traced(
        statement + "\nimport sys, requests\nrequests.get(sys.argv[1] + '/echo')\nfrom opentelemetry import trace\n"
        "trace.get_tracer('mine').start_span('mine').end()\n",
        web.url,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert [span.name for span in run.spans] == ["GET", "mine"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["{python}", "shop.py"], "shop"),
        (["shop.py"], "shop"),
        (["-m", "store.orders"], "store.orders"),
        (["-m", "store"], "store"),
        (["--service", "chosen", "shop.py"], "chosen"),
        (["{python}", "-c", "import shop"], "unknown_service:python"),
    ],
)
def test_service_name(arguments: list[str], name: str, traced: Traced) -> None:
    source = "from opentelemetry import trace; trace.get_tracer('t').start_span('s').end()\n"
    for path in ("shop.py", "store/__init__.py", "store/__main__.py", "store/orders.py"):
        file = traced.folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text("" if path == "store/__init__.py" else source)
    run_id = "service-" + "-".join(arguments).replace("/", "").replace(" ", "")
    env = environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=traced.receiver.http_endpoint, OTEL_RESOURCE_ATTRIBUTES=f"test.run={run_id},a=b"
    )
    command = [*OTEL_RUN, *[argument.format(python=sys.executable) for argument in arguments]]
    subprocess.run(command, cwd=traced.folder, env=env, check=True, timeout=30)
    (span,) = traced.receiver.spans(run_id, expect=1)
    assert span.resource["service.name"] == name
    assert span.resource["a"] == "b"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_are_the_same_service(method: str, traced: Traced) -> None:
    run = traced(
        f"""
        import multiprocessing

        def work():
            from opentelemetry import trace
            trace.get_tracer("t").start_span("work").end()
            trace.get_tracer_provider().force_flush()

        if __name__ == "__main__":
            child = multiprocessing.get_context("{method}").Process(target=work)
            child.start()
            child.join()
        """,
        expect=1,
    )
    assert run.span("work").resource["service.name"] == "app"


def test_the_resource_tells_which_process_and_keeps_its_arguments_to_itself(traced: Traced) -> None:
    run = traced("from opentelemetry import trace; trace.get_tracer('t').start_span('s').end()", "--password=hunter2")
    resource = run.span("s").resource
    assert resource["telemetry.distro.name"] == "otel-run"
    assert resource["process.executable.path"] == sys.executable
    assert len(resource["service.instance.id"]) == 36
    assert "hunter2" not in str(resource)


@pytest.mark.parametrize(
    ("variables", "kept"),
    [
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0),
        ({"OTEL_TRACES_SAMPLER": "ALWAYS_ON"}, 20),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, 0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "100%"}, 20),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, 0),
    ],
)
def test_samplers(variables: dict[str, str], kept: int, traced: Traced) -> None:
    source = "from opentelemetry import trace\nfor n in range(20): trace.get_tracer('t').start_span('s').end()"
    assert len(traced(source, env=variables).spans) == kept


@pytest.mark.parametrize("timeout", ["", "soon", "5000"])
def test_grpc_whatever_the_variables_hold_that_its_exporter_reads_by_itself(timeout: str, traced: Traced) -> None:
    source = "from opentelemetry import trace\ntrace.get_tracer('t').start_span('s').end()"
    env = {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": timeout, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    run = traced(source, protocol="grpc", env=env)
    assert [span.name for span in run.spans] == ["s"]
    assert run.stderr.count("\n") == (timeout == "soon")


def test_limits(traced: Traced) -> None:
    run = traced(
        """
        from opentelemetry import trace
        span = trace.get_tracer("t").start_span("s")
        for number in range(9):
            span.set_attribute(f"key{number}", "x" * 50)
            span.add_event("event")
        span.end()
        """,
        env={
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "3", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5",
            "OTEL_SPAN_EVENT_COUNT_LIMIT": "2", "OTEL_SPAN_LINK_COUNT_LIMIT": "junk",
        },
    )  # fmt: skip
    span = run.span("s")
    assert list(span.attributes.values()) == ["xxxxx"] * 3
    assert len(span.events) == 2
    # The bad value, and the SDK's words on full and on cut attributes: once, not once for each.
    lines = run.stderr.splitlines()
    assert len(set(lines)) == len(lines) == 3
    assert 'OTEL_SPAN_LINK_COUNT_LIMIT="junk"' in run.stderr

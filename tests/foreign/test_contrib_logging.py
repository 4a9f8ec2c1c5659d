"""Contrib's logging instrumentor under `otel-run`: trace ids on records, and the program's lines as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.program import Run, Traced

# Something has to wake the agent, else there is nothing to be tested.
AWAKE = "import logging, logging.config, requests\nfrom opentelemetry import trace\n"

LOGGING = {
    "an unconfigured root": "logging.warning('one'); logging.getLogger('x').error('two')",
    "the last resort": "logging.getLogger('x').warning('one'); print(logging.root.handlers, logging.lastResort)",
    "basicConfig": "logging.basicConfig(level='INFO', format='%(levelname)s %(message)s'); logging.info('one')",
    "basicConfig before the first library": "",
    "dictConfig": """
logging.config.dictConfig({
    "version": 1,
    "formatters": {"short": {"format": "%(name)s: %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["out"], "level": "DEBUG"},
})
logging.getLogger("x").debug("one")
""",
    "an error while handling": "logging.warning('%d', 'no number')",
    "at exit": "import atexit; atexit.register(lambda: logging.warning('one'))",
}


@pytest.mark.parametrize("way", LOGGING)
def test_the_program_s_own_lines_are_what_they_are_without_us(way: str, alike: Callable[..., Run]) -> None:
    before = "import logging; logging.basicConfig(level='DEBUG'); logging.debug('zero')\n" if not LOGGING[way] else ""
    run = alike(f"{before}{AWAKE}{LOGGING[way]}\nwith trace.get_tracer('app').start_as_current_span('parent'): pass\n")
    assert run.returncode == 0
    assert [span.name for span in run.spans] == ["parent"]


def test_a_record_bears_the_ids_of_the_span_that_it_is_made_in(traced: Traced) -> None:
    run = traced(
        AWAKE
        + """
logging.basicConfig(format="%(otelTraceID)s %(otelSpanID)s %(otelTraceSampled)s %(otelServiceName)s %(message)s")
with trace.get_tracer("app").start_as_current_span("parent"):
    logging.warning("inside")
logging.warning("outside")
""",
        env={"OTEL_SERVICE_NAME": "shop"},
    )
    (span,) = run.spans
    assert run.stderr == f"{span.trace_id} {span.span_id} True shop inside\n0 0 False shop outside\n"


OWN_FACTORY = """
def factory(*args, **kwargs):
    record = {inner}(*args, **kwargs)
    record.own = "own"
    return record
"""


@pytest.mark.parametrize("inner", ["logging.LogRecord", "before"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_record_factory_of_the_program_s_own_works(when: str, inner: str, alike: Callable[..., Run]) -> None:
    own = "import logging\nbefore = logging.getLogRecordFactory()\n" + OWN_FACTORY.format(inner=inner)
    own += "logging.setLogRecordFactory(factory)\n"
    source = own + AWAKE if when == "before" else AWAKE + own
    run = alike(source + "logging.basicConfig(format='%(own)s %(message)s')\nlogging.warning('line')\n")
    assert run.stderr == "own line\n"


def test_the_format_with_ids_is_used_where_it_is_asked_for(traced: Traced) -> None:
    run = traced(AWAKE + "logging.warning('line')", env={"OTEL_PYTHON_LOG_CORRELATION": "true"})
    assert "[trace_id=0 span_id=0 resource.service.name=app trace_sampled=False] - line" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_program_that_applies_it_with_a_hook_keeps_its_hook_and_its_factory(traced: Traced) -> None:
    run = traced(
        AWAKE
        + OWN_FACTORY.format(inner="logging.LogRecord")
        + """
logging.setLogRecordFactory(factory)
from opentelemetry.instrumentation.logging import LoggingInstrumentor

def hook(span, record):
    record.hooked = "hooked"

LoggingInstrumentor().instrument(log_hook=hook, inject_trace_context=True, enable_log_auto_instrumentation=False)
logging.basicConfig(format="%(own)s %(hooked)s %(otelSpanID)s %(message)s")
with trace.get_tracer("app").start_as_current_span("parent"):
    logging.warning("line")
"""
    )
    assert run.stderr == f"own hooked {run.span('parent').span_id} line\n"

"""What happens inside one process, with contrib's instrumentors: jinja2, click, threading and asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.program import Run, Traced
    from servers.web import Web


@pytest.mark.parametrize("imports", ["import jinja2; Template = jinja2.Template", "from jinja2 import Template"])
def test_a_template_of_jinja2_is_compiled_and_rendered_in_spans(imports: str, alike: Callable[..., Run]) -> None:
    run = alike(f"{imports}\nprint(Template('Hello {{{{ name }}}}').render(name='you'))")
    assert run.stdout == "Hello you\n"
    assert [span.name for span in run.spans] == ["jinja2.compile", "jinja2.render"]
    assert {span.scope for span in run.spans} == {"opentelemetry.instrumentation.jinja2"}


CLICK = """
import click

@click.command()
@click.option("--fail/--no-fail")
def greet(fail):
    click.echo("hello")
    if fail:
        raise ValueError("no")

greet()
"""


@pytest.mark.parametrize(("argument", "spans"), [("--no-fail", 1), ("--help", 0), ("--unknown", 0)])
def test_a_command_of_click_is_a_span(argument: str, spans: int, alike: Callable[..., Run]) -> None:
    run = alike(CLICK, argument)
    assert [(span.name, span.kind, span.status) for span in run.spans] == [("app.py", "INTERNAL", "UNSET")] * spans
    assert {span.scope for span in run.spans} <= {"opentelemetry.instrumentation.click"}


def test_a_command_of_click_that_fails_is_an_error(traced: Traced) -> None:
    run = traced(f"import sys\n{CLICK}", "--fail")
    (span,) = run.spans
    assert (run.returncode, run.stderr.splitlines()[-1]) == (1, "ValueError: no")
    assert (span.name, span.status) == ("app.py", "ERROR")


def test_a_thread_and_a_pool_have_the_span_they_were_started_in(web: Web, alike: Callable[..., Run]) -> None:
    run = alike(
        """
import threading
from concurrent.futures import ThreadPoolExecutor
import requests
from opentelemetry import trace

def call():
    print(requests.get(sys.argv[1]).status_code)

with trace.get_tracer("app").start_as_current_span("parent"):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()
""",
        web.url + "/echo",
    )
    parent = run.span("parent")
    assert [span.parent_id for span in run.spans if span.kind == "CLIENT"] == [parent.span_id] * 2


def test_asyncio_is_instrumented_as_far_as_it_is_asked_for(web: Web, alike: Callable[..., Run]) -> None:
    run = alike(
        """
import asyncio, httpx

async def call():
    async with httpx.AsyncClient() as client:
        print((await client.get(sys.argv[1])).status_code)

async def main():
    await asyncio.create_task(call())

asyncio.run(main())
""",
        web.url + "/echo",
        env={"OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE": "call"},
    )
    # It does not make its spans the current ones, so nothing is below them.
    assert {(span.name, span.parent_id) for span in run.spans} == {("asyncio coro-call", ""), ("GET", "")}

"""Starlette's tasks after the response: traces of their own, linked to the request that left them behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.asgi_programs import STARLETTE

if TYPE_CHECKING:
    from servers.program import Traced


def test_a_task_after_the_response_is_a_trace_of_its_own(traced: Traced) -> None:
    run = traced(
        STARLETTE
        + """
from functools import partial

class Mailer:
    def send(self, to):
        with tracer.start_as_current_span("inside"):
            pass

    async def __call__(self):
        await asyncio.sleep(0.2)

def fails():
    raise ValueError("five")

async def view(request):
    tasks = BackgroundTasks()
    tasks.add_task(partial(Mailer().send, "joe"))
    tasks.add_task(Mailer())
    tasks.add_task([].append, 1)
    tasks.add_task(fails)
    return PlainTextResponse("ok", background=tasks)

app = Starlette(routes=[Route("/", view)])
print([type(one).__name__ for one in asyncio.run(ask(app, "/"))])
"""
    )
    assert run.stdout == "['dict', 'dict', 'ValueError']\n", run
    request = run.span("GET /")
    send, call, fails = run.span("Mailer.send"), run.span("Mailer"), run.span("fails")
    for task in send, call, fails:
        assert (task.kind, task.parent_id, task.links) == ("INTERNAL", "", [(request.trace_id, request.span_id)])
        assert task.scope == "otel_run.instrumentors.starlette"
    assert len({request.trace_id, send.trace_id, call.trace_id, fails.trace_id}) == 4
    assert (run.span("inside").parent_id, run.span("inside").trace_id) == (send.span_id, send.trace_id)
    assert send.attributes == {"code.function.name": "__main__.Mailer.send"}
    assert run.span("list.append").attributes == {"code.function.name": "list.append"}
    assert (send.status, call.status, fails.status, request.status) == ("UNSET", "UNSET", "ERROR", "UNSET")
    assert fails.attributes == {"code.function.name": "__main__.fails", "error.type": "ValueError"}
    assert [event["exception.message"] for _, event in fails.events] == ["five"]
    assert call.duration_ms >= 190 > request.duration_ms


TASK = """
async def task():
    with tracer.start_as_current_span("inside"):
        pass

async def view(request):
    return PlainTextResponse("ok", background=BackgroundTask(task))

app = Starlette(routes=[Route("/{x}", view)])
KEPT = [(b"traceparent", b"00-%s-%s-01" % (b"a" * 32, b"b" * 16))]
LEFT = [(b"traceparent", b"00-%s-%s-00" % (b"a" * 32, b"b" * 16))]

async def main():
    await statuses(app, "/kept", headers=KEPT)
    await statuses(app, "/left", headers=LEFT)
    await statuses(app, "/excluded", headers=KEPT)

asyncio.run(main())
"""


@pytest.mark.parametrize("sampler", ["parentbased_always_on", "parentbased_always_off"])
def test_a_task_is_kept_if_and_only_if_its_request_was(traced: Traced, sampler: str) -> None:
    run = traced(
        STARLETTE + TASK,
        env={"OTEL_TRACES_SAMPLER": sampler, "OTEL_PYTHON_STARLETTE_EXCLUDED_URLS": "/excluded$"},
    )
    assert run.stdout == "200\n200\n200\n", run
    assert [span.name for span in run.spans] == ["GET /{x}", "task", "inside"], run
    assert run.spans[1].links == [("a" * 32, run.spans[0].span_id)]

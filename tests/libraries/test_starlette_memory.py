"""What a request leaves behind in memory: nothing, at once, without the garbage collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libraries.asgi_programs import STARLETTE

if TYPE_CHECKING:
    from servers.program import Traced

LEFT = """
import gc
import weakref

class Marked(dict):
    pass

class Failure(Exception):
    pass

async def raises(request):
    raise Failure

async def fails_later(request):
    return PlainTextResponse("ok", background=BackgroundTask(raises, None))

async def answers_and_raises(scope, receive, send):
    await PlainTextResponse("ok")(scope, receive, send)
    raise Failure

async def on_failure(request, error):
    return PlainTextResponse("sorry", status_code=507)

async def leaves_a_task(request):
    tasks.append(asyncio.create_task(asyncio.Event().wait()))
    return PlainTextResponse("ok")

class Marks:
    # Gives the application a scope that can be asked whether it lives.
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        marked = Marked(scope)
        scopes.append(weakref.ref(marked))
        try:
            await self.app(marked, receive, send)
        except Failure as error:
            errors.append(weakref.ref(error))

tasks, scopes, errors = [], [], []
routes = [Route("/ok", ok), Route("/raises", raises), Route("/later", fails_later), Route("/task", leaves_a_task),
          Mount("/after", answers_and_raises), Mount("/inner", Starlette(routes=[Route("/ok", ok)]))]
plain = Starlette(routes=routes)
handles = Starlette(routes=routes, exception_handlers={Failure: on_failure})

async def main():
    for app in plain, handles:
        # What is raised after an answer Starlette keeps itself, where it would have known an answer to it.
        for path in sys.argv[1:] if app is plain else sys.argv[1:4]:
            await ask(app, path)
            gc.collect()
            gc.disable()
            scopes.clear()
            errors.clear()
            await ask(Marks(app), path)
            print(path, len(scopes), [one() for one in (*scopes, *errors) if one()])
            gc.enable()
    for task in tasks:
        task.cancel()

asyncio.run(main())
"""


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
def test_neither_the_scope_nor_an_exception_outlives_the_request(traced: Traced, sampler: str) -> None:
    paths = ["/ok", "/raises", "/task", "/inner/ok", "/nothing", "/later", "/after/1"]
    run = traced(STARLETTE + LEFT, *paths, env={"OTEL_TRACES_SAMPLER": sampler})
    assert run.stdout.splitlines() == [f"{path} 1 []" for path in (*paths, *paths[:3])], run

"""Starlette, FastAPI and Django behind each server that speaks ASGI: one span for a request, with its route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers.serving import Serving

APPLICATION = """
import os

import django.conf
django.conf.settings.configure(
    ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, DEFAULT_AUTO_FIELD=""
)

import django.core.asgi
import django.http
import django.urls
import fastapi
import starlette.applications
import starlette.responses
import starlette.routing


async def hello(request):
    return starlette.responses.PlainTextResponse("%d hello %s" % (os.getpid(), request.path_params["name"]))


async def view(request, name):
    return django.http.HttpResponse("%d hello %s" % (os.getpid(), name))


urlpatterns = [django.urls.path("django/<str:name>", view)]
fast = fastapi.FastAPI()


@fast.get("/fastapi/{name}")
async def endpoint(name: str):
    return "%d hello %s" % (os.getpid(), name)


APPLICATIONS = {
    "starlette": starlette.applications.Starlette(routes=[starlette.routing.Route("/starlette/{name}", hello)]),
    "fastapi": fast,
    "django": django.core.asgi.get_asgi_application(),
}


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await APPLICATIONS[scope["path"].split("/")[1]](scope, receive, send)
"""
COMMANDS = {
    "uvicorn": "uvicorn app:application --workers 2 --port {port}",
    "hypercorn": "hypercorn app:application --bind 127.0.0.1:{port}",
    "granian": "granian app:application --interface asgi --port {port}",
    "daphne": "daphne app:application --port {port}",
}
ROUTES = {
    "/starlette/you": "/starlette/{name}",
    "/fastapi/you": "/fastapi/{name}",
    "/django/you": "/django/<str:name>",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_request_is_one_span_with_its_route(serving: Serving, name: str) -> None:
    workers = 2 if "--workers" in COMMANDS[name] else 1
    pids: set[str] = set()
    rounds = 0
    with serving(APPLICATION, *COMMANDS[name].split()) as server:
        while len(pids) < workers and rounds < 50:
            for path in ROUTES:
                answer = server.ask(path).decode()
                assert "hello you" in answer, answer
                pids.add(answer.partition(" hello you")[0].split()[-1].strip('"'))
            rounds += 1
        server.wait_for(rounds * len(ROUTES))
    expected = [(f"GET {route}", "SERVER", "", path, route) for path, route in ROUTES.items()]
    assert [
        (span.name, span.kind, span.parent_id, span.attributes["url.path"], span.attributes["http.route"])
        for span in server.spans
    ] == expected * rounds, server
    assert {str(span.resource["process.pid"]) for span in server.spans} == pids
    assert len(pids) == workers

"""Pieces of the Django programs that tests run, and how they are judged."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from servers.program import clean_environment

if TYPE_CHECKING:
    from servers.program import Run, Traced
    from servers.receiver import Span

# How a program begins that configures Django late, by `configure`, and calls a WSGI handler by `call`.
BEGINNING = """
import asyncio, logging, sys
import django
from django.conf import settings
from django.core.handlers import asgi, base, exception, wsgi
assert not settings.configured
from django.http import *
from django.urls import *
from django.urls import URLPattern, register_converter
from django.urls.resolvers import RoutePattern
from opentelemetry import trace

def configure(**more):
    settings.configure(
        SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, LOGGING_CONFIG=None,
        **{"MIDDLEWARE": [], **more},
    )
    django.setup(set_prefix=False)
    logging.disable(logging.CRITICAL)

def view(request, *args, **kwargs):
    return HttpResponse("fine")

def call(handler, path, **environ):
    told = []
    body = handler({
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80",
        "wsgi.input": sys.stdin.buffer, "wsgi.url_scheme": "http", **environ,
    }, lambda *args: told.append(args))
    pieces = list(body)
    body.close()
    return told, pieces
"""

# One view or middleware for each way to fail, all called one after the other.
ERRORS = """
from django.core.exceptions import MiddlewareNotUsed, PermissionDenied, SuspiciousOperation, BadRequest
from django.core.signals import got_request_exception, request_finished, request_started
from django.template import engines
from django.template.response import TemplateResponse

def print_when(signal, name):
    signal.connect(lambda **kwargs: print("signal", name), weak=False)

print_when(request_started, "started")
print_when(got_request_exception, "exception")
print_when(request_finished, "finished")

def raising(error):
    def view(request):
        raise error
    return view

def unrenderable(request):
    class Response(TemplateResponse):
        @property
        def rendered_content(self):
            raise ValueError("while rendering")
    return Response(request, None)

def unused(get_response):
    raise MiddlewareNotUsed("not today")

def outer(get_response):
    def middleware(request):
        response = get_response(request)
        if "outer" in request.path:
            raise KeyError("after the view")
        if "mended" in request.path:
            return HttpResponse("mended")
        return response
    return middleware

class Inner:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        if "call" in request.path:
            raise LookupError("in __call__")
        return self.get_response(request)
    def process_exception(self, request, exception):
        if "taken" in request.path:
            return HttpResponse("taken", status=int(request.path[-3:]))
        if "text" in request.path:
            return "no response"
        if "worse" in request.path:
            raise OSError("in process_exception")

def handler500(request):
    if "page" in request.path:
        raise TypeError("in the page for 500")
    return HttpResponse("sorry", status=500)

def handler404(request, exception):
    if "404" in request.path:
        raise TypeError("in the page for 404")
    return HttpResponse("nothing", status=404)

urlpatterns = [
    path("view", raising(ValueError("in a view"))),
    path("none", lambda request: None),
    path("render", unrenderable),
    path("missing", raising(Http404("no"))),
    path("missing-404", raising(Http404("no"))),
    path("denied", raising(PermissionDenied("no"))),
    path("suspicious", raising(SuspiciousOperation("no"))),
    path("bad", raising(BadRequest("no"))),
    path("call", view),
    path("outer", view),
    path("mended", raising(ValueError("in a view"))),
    path("taken-503", raising(ValueError("taken by a middleware"))),
    path("taken-404", raising(ValueError("taken by a middleware"))),
    path("taken-outer-200", raising(ValueError("taken by a middleware"))),
    path("text", raising(ValueError("in a view"))),
    path("worse", raising(ValueError("in a view"))),
    path("status", lambda request: HttpResponse("no", status=504)),
    path("page", raising(ValueError("in a view"))),
    path("exit", raising(SystemExit(3))),
]
configure(MIDDLEWARE=["__main__.unused", "__main__.outer", "__main__.Inner"])
handler = wsgi.WSGIHandler()
for one in [*urlpatterns]:
    print(one.pattern)
    try:
        print(call(handler, "/" + str(one.pattern)))
    except BaseException as error:
        print(repr(error), repr(error.__context__), repr(error.__cause__))
"""


def assert_alike_without_us(traced: Traced, run: Run) -> None:
    """Assert that the program writes the same without us."""
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=traced.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (done.returncode, done.stdout, done.stderr)


def told(span: Span) -> tuple[str, str, Any, Any, list[str]]:
    messages = [event["exception.message"] for _, event in span.events]
    return (
        span.attributes["url.path"],
        span.name,
        span.attributes.get("http.response.status_code"),
        span.attributes.get("error.type"),
        messages,
    )

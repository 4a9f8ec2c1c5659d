"""Django's handlers and test clients, its settings, and what is left when it is all taken away, in process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libraries.django_programs import BEGINNING

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.receiver import Span


def test_test_clients_and_handlers_of_any_kind_have_one_span_for_each_request(traced: Traced) -> None:
    run = traced(
        BEGINNING
        + """
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.test import AsyncClient, Client, RequestFactory
from django.contrib.staticfiles.handlers import StaticFilesHandler

tracer = trace.get_tracer("app")

def working(request):
    with tracer.start_as_current_span("work"):
        return HttpResponse("done")

async def working_async(request):
    with tracer.start_as_current_span("work"):
        return HttpResponse("done")

def nesting(request):
    response = Client().get("/work")
    return HttpResponse(response.content)

def stream(request):
    return StreamingHttpResponse(iter([b"a", b"b"]))

def raising(request):
    raise ValueError("no")

urlpatterns = [
    path("work", working), path("async", working_async), path("nest", nesting), path("stream", stream),
    path("raise", raising),
]

class Handler(wsgi.WSGIHandler):
    def __call__(self, environ, start_response):
        return super().__call__(environ, start_response)

class Own(BaseHandler):
    def __init__(self):
        self.load_middleware()
    def __call__(self, environ, start_response):
        response = self.get_response(WSGIRequest(environ))
        start_response("200 OK", [])
        return response

assert not settings.configured
configure(STATIC_URL="/static/")

with tracer.start_as_current_span("test client"):
    client = Client()
    assert client.get("/work").content == b"done"
    assert client.get("/async").content == b"done"
    assert client.get("/nest").content == b"done"
    assert b"".join(client.get("/stream")) == b"ab"
    client.get("/stream")
    try:
        client.get("/raise")
    except ValueError as error:
        assert error.__context__ is None
    else:
        assert False

async def main():
    client = AsyncClient()
    assert (await client.get("/work")).content == b"done"
    assert (await client.get("/async")).content == b"done"
    assert (await client.get("/nowhere")).status_code == 404

with tracer.start_as_current_span("async test client"):
    asyncio.run(main())
with tracer.start_as_current_span("no handler"):
    working(RequestFactory().get("/work"))
with tracer.start_as_current_span("handlers"):
    one, other = wsgi.WSGIHandler(), wsgi.WSGIHandler()
    for handler in (one, other, Handler(), Own(), StaticFilesHandler(Handler())):
        told, body = call(handler, "/work")
        assert body == [b"done"] and told[0][0] == "200 OK"
    call(StaticFilesHandler(Handler()), "/static/nothing")
"""
    )
    assert (run.returncode, run.stderr) == (0, ""), run

    def below(span: Span) -> list[Any]:
        return [(one.name, *below(one)) for one in run.spans if one.parent_id == span.span_id]

    work = ("GET /work", ("work",))
    assert {span.name: below(span) for span in run.spans if not span.parent_id} == {
        "test client": [
            work,
            ("GET /async", ("work",)),
            ("GET /nest", work),
            ("GET /stream",),
            ("GET /stream",),
            ("GET /raise",),
        ],
        "async test client": [work, ("GET /async", ("work",)), ("GET",)],
        "no handler": [("work",)],
        "handlers": [work, work, work, work, work, ("GET",)],
    }, run


def test_what_is_excluded_or_not_sampled_leaves_no_span(traced: Traced) -> None:
    program = (
        BEGINNING
        + """
from django.test import Client

def working(request):
    with trace.get_tracer("app").start_as_current_span("work"):
        return HttpResponse("done")

urlpatterns = [path("health", working), path("work", working)]
configure()
handler = wsgi.WSGIHandler()
for one in ("/health", "/work"):
    call(handler, one)
    Client().get(one)
"""
    )
    run = traced(program, env={"OTEL_PYTHON_DJANGO_EXCLUDED_URLS": "health", "OTEL_PYTHON_EXCLUDED_URLS": "work"})
    assert [span.name for span in run.spans] == ["GET /work", "work"] * 2, run
    run = traced(program, env={"OTEL_TRACES_SAMPLER": "always_off"})
    assert (run.returncode, run.stderr, run.spans) == (0, "", []), run


def test_settings_are_the_programs_to_make_when_it_likes(traced: Traced) -> None:
    (traced.folder / "site_settings.py").write_text("ROOT_URLCONF = 'app'\nVALUE = 'from the file'")
    run = traced(
        """
        import importlib.abc, importlib.machinery, os, sys

        os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"

        class Importer(importlib.abc.MetaPathFinder):
            "Changes the settings while they are being imported, as django-configurations does."

            def find_spec(self, name, path, target=None):
                if name == "site_settings":
                    assert not installed, "too early"
                    spec = importlib.machinery.PathFinder.find_spec(name, path)
                    execute = spec.loader.exec_module
                    def exec_module(module):
                        execute(module)
                        module.VALUE = "from a class"
                    spec.loader.exec_module = exec_module
                    return spec

        installed = ["not yet"]
        import django
        import django.core.wsgi, django.core.asgi, django.core.handlers.wsgi, django.core.handlers.asgi
        import django.test.client, django.core.management
        from django.conf import settings

        assert not settings.configured
        sys.meta_path.insert(0, Importer())
        installed.clear()
        django.core.wsgi.get_wsgi_application()
        print(settings.configured, settings.VALUE)
        """
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "True from a class\n", ""), run


def test_a_live_server_of_the_test_framework_is_traced_once_for_each_request(traced: Traced) -> None:
    run = traced(
        BEGINNING
        + """
import unittest
configure(STATIC_URL="/static/", DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
from urllib.request import urlopen
from django.test import LiveServerTestCase

urlpatterns = [path("work", view)]

class Test(LiveServerTestCase):
    def test(self):
        assert urlopen(self.live_server_url + "/work").read() == b"fine"

unittest.main(verbosity=0)
""",
    )
    assert (run.returncode, run.stdout) == (0, ""), run
    (span,) = [span for span in run.spans if span.kind == "SERVER"]
    assert (span.name, span.parent_id) == ("GET /work", "")


def test_contribs_instrumentor_takes_over_where_others_have_wrapped_ours(traced: Traced) -> None:
    run = traced(
        BEGINNING
        + """
from django.test import Client
urlpatterns = [path("work", view)]
configure()
wsgi.WSGIHandler()

def wrapped(owner, name):
    original = getattr(owner, name)
    def call(self, *args):
        return original(self, *args)
    setattr(owner, name, call)

wrapped(wsgi.WSGIHandler, "__call__")
wrapped(base.BaseHandler, "get_response")

def ask():
    call(wsgi.WSGIHandler(), "/work")
    Client().get("/work")

ask()
from opentelemetry.instrumentation.django import DjangoInstrumentor
DjangoInstrumentor().instrument()
ask()
"""
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [(span.kind, span.scope) for span in run.spans] == [
        *2 * [("SERVER", "otel_run.instrumentors.django")],
        *2 * [("SERVER", "opentelemetry.instrumentation.django")],
    ], run


def test_what_is_patched_looks_as_before_and_can_be_taken_away(traced: Traced) -> None:
    run = traced(
        BEGINNING
        + """
import inspect, pickle
from otel_run.instrumentors.django import DjangoInstrumentor

def patched():
    methods = [*vars(base.BaseHandler).values(), *vars(exception).values()]
    methods += [wsgi.WSGIHandler.__call__, asgi.ASGIHandler.__call__]
    return [one for one in methods if "otel_run" in getattr(getattr(one, "__code__", None), "co_filename", "")]

configure()
before = len(patched())
wsgi.WSGIHandler(), asgi.ASGIHandler()
print(before, len(patched()))
for one in patched():
    assert inspect.signature(one) == inspect.signature(one.__wrapped__)
    assert inspect.iscoroutinefunction(one) == inspect.iscoroutinefunction(one.__wrapped__)
    assert pickle.loads(pickle.dumps(one)) is one
DjangoInstrumentor().uninstrument()
wsgi.WSGIHandler()
print(len(patched()))
"""
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "6 8\n0\n", ""), run

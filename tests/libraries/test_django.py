"""Django's routes and errors, in process; its handlers see test_django_handlers.py, servers tests/gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libraries.django_programs import BEGINNING, ERRORS, assert_alike_without_us, told

if TYPE_CHECKING:
    from servers.program import Traced


def test_a_route_is_what_the_resolver_has_matched(traced: Traced) -> None:
    run = traced(
        BEGINNING
        + '''
configure(MIDDLEWARE=["__main__.other_urls"], USE_I18N=True)
from django.conf.urls.i18n import i18n_patterns
from django.utils.translation import gettext_lazy

class Routeless(URLPattern):
    def resolve(self, path):
        return ResolverMatch(view, (), {}, captured_kwargs={}, extra_kwargs={}) if path == "routeless" else None

def other_urls(get_response):
    def middleware(request):
        if request.path == "/elsewhere":
            request.urlconf = (path("elsewhere", view),)
        if request.path == "/early":
            return HttpResponse("early")
        return get_response(request)
    return middleware

class Even:
    regex = "[0-9]+"
    def to_python(self, value):
        if int(value) % 2:
            raise ValueError
        return int(value)
    def to_url(self, value):
        return str(value)

register_converter(Even, "even")
inner = [path("<slug:name>/", view, name="one"), re_path(r"^by/(?P<year>[0-9]{4})/?$", view), path("", view)]
urlpatterns = [
    path("", view),
    path("items/<int:pk>/<path:rest>", view),
    path("even/<even:number>", view),
    re_path(r"^regex/([a-z]+)/$", view),
    path("plain/", include(inner)),
    path("named/<int:user>/", include((inner, "app"), namespace="ns")),
    re_path("^both/", include([re_path("^deep/", include(inner))])),
    Routeless(RoutePattern("routeless"), view),
    *i18n_patterns(path(gettext_lazy("about/"), view)),
]
paths = """
/ /items/3/a/b /even/2 /even/3 /regex/abc/ /plain/x/ /plain/by/2024/ /plain/ /named/7/y/ /both/deep/by/1999
/en-us/about/ /routeless /elsewhere /early /nowhere
""".split()
from django.test import Client
client = Client()
for one in paths:
    client.get(one)
client.get("/plain/x/", SCRIPT_NAME="/mounted")
handler = wsgi.WSGIHandler()
call(handler, "/plain/x/", SCRIPT_NAME="/mounted")
call(handler, "", SCRIPT_NAME="/mounted")
'''
    )
    assert (run.returncode, run.stderr) == (0, ""), run
    assert [(span.attributes["url.path"], span.name) for span in run.spans] == [
        ("/", "GET /"),
        ("/items/3/a/b", "GET /items/<int:pk>/<path:rest>"),
        ("/even/2", "GET /even/<even:number>"),
        ("/even/3", "GET"),
        ("/regex/abc/", "GET /regex/([a-z]+)/$"),
        ("/plain/x/", "GET /plain/<slug:name>/"),
        ("/plain/by/2024/", "GET /plain/by/(?P<year>[0-9]{4})/?$"),
        ("/plain/", "GET /plain/"),
        ("/named/7/y/", "GET /named/<int:user>/<slug:name>/"),
        ("/both/deep/by/1999", "GET /both/deep/by/(?P<year>[0-9]{4})/?$"),
        ("/en-us/about/", "GET /en-us/about/"),
        ("/routeless", "GET"),
        ("/elsewhere", "GET /elsewhere"),
        ("/early", "GET"),
        ("/nowhere", "GET"),
        ("/mounted/plain/x/", "GET /mounted/plain/<slug:name>/"),
        ("/mounted/plain/x/", "GET /mounted/plain/<slug:name>/"),
        ("/mounted", "GET /mounted/"),
    ]
    for span in run.spans:
        assert span.attributes.get("http.route", "") == span.name.removeprefix("GET").strip()
        assert (span.kind, span.scope, span.parent_id) == ("SERVER", "otel_run.instrumentors.django", "")


def test_an_error_is_the_exception_of_which_django_has_made_a_page(traced: Traced) -> None:
    run = traced(BEGINNING + ERRORS)
    assert_alike_without_us(traced, run)
    assert [(path, status, (error, messages)) for path, _, status, error, messages in map(told, run.spans)] == [
        ("/view", 500, ("ValueError", ["in a view"])),
        (
            "/none",
            500,
            (
                "ValueError",
                ["The view __main__.<lambda> didn't return an HttpResponse object. It returned None instead."],
            ),
        ),
        ("/render", 500, ("ValueError", ["while rendering"])),
        ("/missing", 404, (None, [])),
        ("/missing-404", 500, ("TypeError", ["in the page for 404"])),
        ("/denied", 403, (None, [])),
        ("/suspicious", 400, (None, [])),
        ("/bad", 400, (None, [])),
        ("/call", 500, ("LookupError", ["in __call__"])),
        ("/outer", 500, ("KeyError", ["'after the view'"])),
        ("/mended", 200, (None, [])),
        ("/taken-503", 503, ("ValueError", ["taken by a middleware"])),
        ("/taken-404", 404, (None, [])),
        ("/taken-outer-200", 500, ("KeyError", ["'after the view'"])),
        ("/text", 500, ("AttributeError", ["'str' object has no attribute '_resource_closers'"])),
        ("/worse", 500, ("OSError", ["in process_exception"])),
        ("/status", 504, ("504", [])),
        # The exception in the view is its context.
        ("/page", 500, ("TypeError", ["in the page for 500"])),
        ("/exit", None, ("SystemExit", ["3"])),
    ], run
    (_, page) = next(span.events[0] for span in run.spans if span.name == "GET /page")
    assert "ValueError: in a view" in page["exception.stacktrace"]


def test_pages_for_developers_show_no_frame_of_ours(traced: Traced) -> None:
    run = traced(
        BEGINNING
        + """
import re
class Inner:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        return self.get_response(request)
    def process_exception(self, request, exception):
        if "worse" in request.path:
            raise OSError("in process_exception")

def raising(request):
    raise ValueError

class Fickle(URLPattern):
    # Fails at the request, and not when the page that is made of it asks again.
    failing = True
    def resolve(self, path):
        if path == "import":
            self.failing = not self.failing
            if not self.failing:
                import no_such_module

urlpatterns = [
    path("view", raising),
    path("worse", raising),
    Fickle(RoutePattern("fickle"), view),
]
configure(DEBUG=True, MIDDLEWARE=["__main__.Inner"])

def show(path, body):
    text = b"".join(body).decode()
    frames = r'<li class="frame.*?<code class="fname">(.*?)</code>, line (\\d+), in (\\w+)'
    print(path, re.findall(frames, text, re.S))

handler = wsgi.WSGIHandler()
for one in ("/view", "/worse", "/import", "/nowhere"):
    show(one, call(handler, one)[1])

async def main():
    handler = asgi.ASGIHandler()
    never = asyncio.Event()
    for one in ("/view", "/worse", "/import", "/nowhere"):
        messages = [{"type": "http.request"}]
        body = []
        async def receive():
            if messages:
                return messages.pop()
            await never.wait()
        async def send(message):
            body.append(message.get("body", b""))
        await handler({"type": "http", "method": "GET", "path": one, "headers": []}, receive, send)
        show(one, body)
asyncio.run(main())
"""
    )
    assert_alike_without_us(traced, run)
    assert run.stdout.count("base.py") > 10, run
    assert [told(span)[:4] for span in run.spans] == 2 * [
        ("/view", "GET /view", 500, "ValueError"),
        ("/worse", "GET /worse", 500, "OSError"),
        ("/import", "GET", 500, "ModuleNotFoundError"),
        ("/nowhere", "GET", 404, None),
    ]

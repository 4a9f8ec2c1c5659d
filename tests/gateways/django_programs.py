"""A Django project in one file, which is its own settings, URLs and applications."""

from __future__ import annotations

SITE = """
import asyncio, os

SECRET_KEY = "not one"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
STATIC_URL = "/static/"
STATICFILES_DIRS = [os.path.dirname(__file__)]
INSTALLED_APPS = ["django.contrib.staticfiles", "django.contrib.contenttypes"]
DEBUG = "DEBUG" in os.environ
MIDDLEWARE = ["app.Sync", "app.Async"]
LOGGING_CONFIG = None
if "DSN" in os.environ:
    from urllib.parse import urlsplit
    dsn = urlsplit(os.environ["DSN"])
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": dsn.path[1:], "USER": dsn.username,
        "PASSWORD": dsn.password or "", "HOST": dsn.hostname, "PORT": dsn.port, "ATOMIC_REQUESTS": True,
    }}

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db.transaction import non_atomic_requests
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path, re_path
from django.utils.decorators import sync_only_middleware
from opentelemetry import trace

tracer = trace.get_tracer("app")

def child(name):
    with tracer.start_as_current_span(name):
        return name.encode()

def __getattr__(name):
    if name == "wsgi":
        from django.core.wsgi import get_wsgi_application
        return get_wsgi_application()
    if name == "asgi":
        from django.core.asgi import get_asgi_application
        return get_asgi_application()
    raise AttributeError(name)

@sync_only_middleware
def Sync(get_response):
    def middleware(request):
        if request.path == "/middleware/raises":
            raise LookupError("in a middleware")
        if "bridges" in request.path:
            child("a sync middleware")
        return get_response(request)
    return middleware

class Async:
    sync_capable, async_capable = True, True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        if iscoroutinefunction(self.get_response):
            return self.call(request)
        return self.get_response(request)

    async def call(self, request):
        if "bridges" in request.path:
            child("an async middleware")
        return await self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        if request.path == "/view-middleware/raises":
            raise LookupError("before a view")

def plain(request, **kwargs):
    response = HttpResponse(child("a view"), headers={"X-One": "1"})
    response.set_cookie("c", "d")
    return response

async def asynchronous(request):
    await asyncio.sleep(0)
    return HttpResponse(child("an async view"))

async def bridges(request):
    def there():
        async def back():
            return child("and back")
        return child("there") + async_to_sync(back)()
    return HttpResponse(await sync_to_async(there)())

def sync_bridges(request):
    async def there():
        def back():
            return child("and back")
        return child("there") + await sync_to_async(back)()
    return HttpResponse(async_to_sync(there)())

def raises(request):
    raise ValueError("in a view")

async def async_raises(request):
    raise ValueError("in a view")

def missing(request):
    raise Http404("no such thing")

def denied(request):
    raise PermissionDenied

def suspicious(request):
    raise SuspiciousOperation("who are you")

def unavailable(request):
    return HttpResponse("later", status=503)

def pieces():
    for number in range(3):
        yield child(f"piece {number}")

async def async_pieces():
    for number in range(3):
        await asyncio.sleep(0)
        yield child(f"piece {number}")

def stream(request):
    return closing(StreamingHttpResponse(pieces()))

async def async_stream(request):
    return closing(StreamingHttpResponse(async_pieces()))

def closing(response):
    class Resource:
        def close(self):
            child("closing")
    response._resource_closers.append(Resource().close)
    return response

def broken(request):
    def body():
        yield b"first"
        raise ValueError("in a body")
    return StreamingHttpResponse(body())

def file(request):
    return closing(FileResponse(open(__file__, "rb")))

async def endless(request):
    async def body():
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.01)
    return StreamingHttpResponse(body())

begun = []

def has_begun(request):
    return HttpResponse(str(begun))

async def slow(request):
    begun.append("slow")
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        print("the view is cancelled", flush=True)
        raise

def echo(request):
    return JsonResponse({"body": request.body.decode(), "path": request.path, "query": request.GET.dict()})

@non_atomic_requests
async def orm(request):
    from django.contrib.contenttypes.models import ContentType
    number = request.GET["number"]
    with tracer.start_as_current_span(number):
        found = [one.model async for one in ContentType.objects.filter(app_label=number)]
    return JsonResponse({"models": found})

def query(request):
    from django.db import connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return HttpResponse(str(cursor.fetchone()[0]))

def insert(request):
    from django.contrib.contenttypes.models import ContentType
    ContentType.objects.create(app_label="1", model="one")
    raise ValueError("after an INSERT")

def handler500(request):
    return HttpResponse("we are sorry", status=500)

urlpatterns = [
    path("", plain),
    path("plain/<int:number>/", plain),
    path("shop/", include(([re_path(r"^(?P<year>[0-9]{4})/$", plain, name="y")], "shop"), namespace="old")),
    path("async", asynchronous),
    path("bridges", bridges),
    path("sync-bridges", sync_bridges),
    path("raises", raises),
    path("async-raises", async_raises),
    path("missing", missing),
    path("denied", denied),
    path("suspicious", suspicious),
    path("unavailable", unavailable),
    path("stream", stream),
    path("async-stream", async_stream),
    path("broken", broken),
    path("file", file),
    path("endless", endless),
    path("slow", slow),
    path("begun", has_begun),
    path("echo", echo),
    path("query", query),
    path("insert", insert),
    path("orm", orm),
    path("middleware/raises", plain),
    path("view-middleware/raises", plain),
]
"""

MANAGE = """
import sys
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""

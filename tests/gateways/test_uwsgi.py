"""uWSGI, which finds its applications by itself: in modules by their names, in files, in many processes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from otel_run.instrumentors.uwsgi import applications

if TYPE_CHECKING:
    from servers.serving import Serving

UWSGI = ("uwsgi", "--http-socket", "127.0.0.1:{port}", "--need-app", "--master")

APPLICATIONS = """
import sys

def _found():
    # What others would import, as they would find it.
    module = sys.modules.get("app")
    return b"a file" if module is None else ",".join(type(vars(module)[name]).__name__ for name in NAMES).encode()

def function(environ, start_response):
    start_response("200 OK", [])
    return [_found()]

class Application:
    # What is called for a request, and for much else.
    def __call__(self, environ=None, start_response=None, /, **more):
        if start_response is None or environ == "no request":
            return environ, more
        assert [self(), other(1), other("no request", 2), self(a=1)] == [
            (None, {}), (1, {}), ("no request", {}), (None, {"a": 1})]
        start_response("200 OK", [])
        return [_found()]

class Each:
    def __init__(self, environ, start_response):
        start_response("200 OK", [])

    def __iter__(self):
        yield _found()

instance, other = Application(), Application()
application = function

def make():
    return function

NAMES = ("function", "instance", "Each", "make")
"""
FLASK = """
from flask import Flask

application = Flask("app")

@application.get("/user/<name>")
def user(name):
    return name
"""


@pytest.mark.parametrize(
    "options",
    [
        ("--module", "app", "--callable", "function", "--processes", "2", "--lazy-apps"),
        ("--module", "app:instance", "--enable-threads"),
        ("--wsgi", "app:Each"),
        ("--module", "app:make()"),
        ("--mount", "/=app:function", "--manage-script-name"),
    ],
    ids=" ".join,
)
def test_an_application_in_a_module_has_a_span_for_each_request_and_the_module_keeps_it(
    serving: Serving, options: tuple[str, ...]
) -> None:
    with serving(APPLICATIONS, *UWSGI, *options, ending=signal.SIGKILL) as server:
        for path in ("/a", "/b/c", "/a"):
            assert server.ask(path).endswith(b"function,Application,type,function"), path
        server.wait_for(3)
    assert [(span.name, span.kind, span.attributes["url.path"], span.scope) for span in server.spans] == [
        ("GET", "SERVER", path, "otel_run.instrumentors.uwsgi") for path in ("/a", "/b/c", "/a")
    ], server


@pytest.mark.parametrize(
    ("options", "scope"), [(("--module", "app"), "uwsgi"), (("--wsgi-file", "app.py"), "flask")], ids=["module", "file"]
)
def test_a_framework_s_application_has_its_route_and_one_span_wherever_it_is(
    serving: Serving, options: tuple[str, ...], scope: str
) -> None:
    with serving(FLASK, *UWSGI, *options, ending=signal.SIGKILL) as server:
        assert server.ask("/user/one").endswith(b"one")
        server.wait_for(1)
    assert [(span.name, span.scope) for span in server.spans] == [
        ("GET /user/<name>", f"otel_run.instrumentors.{scope}")
    ], server
    assert "otel-run" not in server.output


def test_a_bare_application_in_a_file_is_served_and_why_it_has_no_span_is_noted(serving: Serving) -> None:
    # Some library is needed for us to look at all.
    source = "import requests\n" + APPLICATIONS
    with serving(
        source, *UWSGI, "--wsgi-file", "app.py", env={"OTEL_RUN_DEBUG": "true"}, ending=signal.SIGKILL
    ) as server:
        assert server.ask("/").endswith(b"a file")
    assert server.spans == []
    assert "otel-run: uwsgi: not traced (app.py is executed without an import" in server.output


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"module": b"app:application"}, [("app", "application")]),
        ({"wsgi": b"package.app", "callable": b"server"}, [("package.app", "server")]),
        ({"module": [b"one", b"two:make()"]}, [("one", "application"), ("two", "make()")]),
        ({"mount": [b"/a=one:x", b"/b=two.py"], "master": True}, [("one", "x"), ("two.py", "")]),
        ({"wsgi-file": b"/srv/app.wsgi"}, [("/srv/app.wsgi", "")]),
        ({"module": b"app.wsgi"}, [("app.wsgi", "application")]),
        ({"mount": b"/a=app.wsgi:x"}, [("app.wsgi:x", "")]),
        ({"http-socket": b":8000"}, []),
    ],
)
def test_options_name_applications(options: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert list(applications(options)) == expected

"""Flask: the route of each request, and all that it does below its span."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.program import Traced
    from servers.receiver import Span

ROUTES = """
from flask import Blueprint, Flask, views
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

app = Flask(__name__)
inner, outer = Blueprint("inner", __name__, url_prefix="/v1"), Blueprint("outer", __name__, url_prefix="/api")

@app.route("/")
@inner.route("/items/<int:number>")
@app.route("/users/<uuid:id>/<path:rest>")
@app.route("/folder/")
@app.route("/twice/<string(length=2):code>/")
def show(**values):
    return "shown"

class Things(views.MethodView):
    def post(self):
        return "made"

outer.register_blueprint(inner)
app.register_blueprint(outer)
app.add_url_rule("/things", view_func=Things.as_view("things"))
app.add_url_rule("/added", "added", show)

def ask(path, method="GET", client=app.test_client(), **more):
    with client.open(path, method=method, **more) as answer:
        print(answer.status_code)

uuid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
paths = ("/", "/api/v1/items/3?a=1", f"/users/{uuid}/a/b%20c", "/folder/", "/twice/ab/", "/static/app.py", "/added")
for path in paths:
    ask(path)
ask("/folder/", "HEAD")
ask("/things", "OPTIONS")
ask("/things", "POST")
ask("/added", "BREW")
ask("/folder")
ask("/nowhere")
ask("/things")

hosts = Flask("hosts", host_matching=True, static_folder=None)
hosts.add_url_rule("/by-host/<name>", "show", show, host="<tenant>.test")
ask("/by-host/x", client=hosts.test_client(), base_url="http://a.test")

subdomains = Flask("subdomains", subdomain_matching=True)
subdomains.config["SERVER_NAME"] = "host.test"
subdomains.add_url_rule("/by-subdomain", "show", show, subdomain="<tenant>")
ask("/by-subdomain", client=subdomains.test_client(), base_url="http://a.host.test")

# It is for cookies and for URLs that are built without a request.
app.config["APPLICATION_ROOT"] = "/unused"
both = Client(DispatcherMiddleware(app, {"/caf\\u00c3\\u00a9": hosts, "/mounted/at": app}))
ask("/mounted/at/api/v1/items/4", client=both)
ask("/caf\\u00e9/by-host/y", client=both, base_url="http://b.test")
app.config["APPLICATION_ROOT"] = "/"

app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)
ask("/added", headers={"X-Forwarded-Prefix": "/proxied/"})
"""


def test_each_request_is_named_after_its_rule_below_the_root_of_the_application(traced: Traced) -> None:
    (traced.folder / "static").mkdir()
    (traced.folder / "static" / "app.py").write_text("")
    run = traced(ROUTES)
    assert run.stdout.split() == [str(_status(span)) for span in run.spans], run
    assert all(span.kind == "SERVER" and not span.parent_id for span in run.spans), run
    routes = [
        (span.attributes["url.path"], span.name, span.attributes.get("http.route"), _status(span)) for span in run.spans
    ]
    uuid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    assert routes == [
        ("/", "GET /", "/", 200),
        ("/api/v1/items/3", "GET /api/v1/items/<int:number>", "/api/v1/items/<int:number>", 200),
        (f"/users/{uuid}/a/b%20c", "GET /users/<uuid:id>/<path:rest>", "/users/<uuid:id>/<path:rest>", 200),
        ("/folder/", "GET /folder/", "/folder/", 200),
        ("/twice/ab/", "GET /twice/<string(length=2):code>/", "/twice/<string(length=2):code>/", 200),
        ("/static/app.py", "GET /static/<path:filename>", "/static/<path:filename>", 200),
        ("/added", "GET /added", "/added", 200),
        ("/folder/", "HEAD /folder/", "/folder/", 200),
        ("/things", "OPTIONS /things", "/things", 200),
        ("/things", "POST /things", "/things", 200),
        ("/added", "HTTP", None, 405),
        ("/folder", "GET", None, 308),
        ("/nowhere", "GET", None, 404),
        ("/things", "GET", None, 405),
        ("/by-host/x", "GET /by-host/<name>", "/by-host/<name>", 200),
        ("/by-subdomain", "GET /by-subdomain", "/by-subdomain", 200),
        ("/mounted/at/api/v1/items/4", *_named("/mounted/at/api/v1/items/<int:number>"), 200),
        ("/caf%C3%A9/by-host/y", *_named("/caf\u00e9/by-host/<name>"), 200),
        ("/added", *_named("/proxied/added"), 200),
    ]
    assert {span.status for span in run.spans} == {"UNSET"}, run


def _named(route: str) -> tuple[str, str]:
    return f"GET {route}", route


def _status(span: Span) -> object:
    return span.attributes.get("http.response.status_code")


CONTEXT = """
import threading
from flask import Flask, copy_current_request_context, stream_with_context, request, Response
from opentelemetry import trace
app = Flask(__name__)
def work(name):
    with trace.get_tracer("program").start_as_current_span(name):
        pass

@app.before_request
def before():
    work("before")

@app.after_request
def after(response):
    work("after")
    return response

@app.teardown_request
def teardown(error):
    work("teardown")

@app.route("/async")
async def asynchronous():
    work("asynchronous")
    return "a"

@app.route("/thread")
def thread():
    @copy_current_request_context
    def go_on(word, more):
        work("in a thread")
        assert (request.path, word, more) == ("/thread", "w", 2)
        return word
    assert go_on.__name__ == "go_on" and go_on.__wrapped__
    started = threading.Thread(target=go_on, args=("w",), kwargs={"more": 2})
    started.start()
    started.join()
    return "t"

@app.route("/stream")
def stream():
    def pieces():
        work("first piece")
        yield "1"
        work("second piece" + request.path)
        yield "2"
    response = Response(stream_with_context(pieces()))
    response.call_on_close(lambda: work("closing"))
    return response

client = app.test_client()
with client.get("/stream") as answer:
    assert answer.data == b"12"
assert client.get("/async").data == b"a"
assert client.get("/thread").data == b"t"
assert not trace.get_current_span().get_span_context().is_valid
"""


def test_all_that_a_request_does_is_below_its_span(traced: Traced) -> None:
    run = traced(CONTEXT)
    assert run.returncode == 0, run
    below: dict[str, set[str]] = {}
    names = {span.span_id: span.name for span in run.spans}
    for span in run.spans:
        if span.kind != "SERVER":
            below.setdefault(names[span.parent_id], set()).add(span.name)
    assert below == {
        "GET /async": {"before", "asynchronous", "after", "teardown"},
        "GET /thread": {"before", "in a thread", "after", "teardown"},
        "GET /stream": {"before", "first piece", "after", "second piece/stream", "teardown", "closing"},
    }, run


INSIDE = """
from flask import Flask, request, url_for
app, other = Flask("one"), Flask("other")

@app.route("/outer/<name>")
def outer(name):
    with app.test_request_context("/else/5"):
        assert request.endpoint == "elsewhere" and url_for("outer", name="x") == "/outer/x"
    with other.test_client().get("/inner/3") as answer:
        return answer.data

@app.route("/else/<int:number>")
def elsewhere(number):
    return "e"

@other.route("/inner/<int:number>")
def inner(number):
    raise ValueError(number)

with app.test_request_context("/outer/1"):
    assert request.endpoint == "outer"
with app.app_context():
    pass
with app.test_client().get("/outer/1") as answer:
    assert answer.status_code == 200 and b"Server Error" in answer.data
"""


def test_only_what_is_asked_is_a_request_and_an_application_inside_has_its_own(traced: Traced) -> None:
    run = traced(INSIDE)
    outer, inner = run.span("GET /outer/<name>"), run.span("GET /inner/<int:number>")
    assert len(run.spans) == 2, run
    assert (inner.kind, inner.parent_id, inner.status) == ("SERVER", outer.span_id, "ERROR"), run
    assert (outer.kind, outer.parent_id, outer.status, outer.events) == ("SERVER", "", "UNSET", []), run


FILES = """
import io
from flask import Flask, send_file
app = Flask(__name__)

@app.route("/file")
def file():
    return send_file(io.BytesIO(b"content"), mimetype="text/plain")

class Wrapper:
    def __init__(self, file, size=8192):
        self.file = file
        self.close = file.close
    def __iter__(self):
        return iter(lambda: self.file.read(3), b"")

from werkzeug.test import EnvironBuilder
for wrapper in (None, Wrapper):
    environ = EnvironBuilder(path="/file").get_environ()
    if wrapper:
        environ["wsgi.file_wrapper"] = wrapper
    body = app(environ, lambda status, headers: None)
    # A server knows its own by their kind.
    assert wrapper is None or type(body) is Wrapper
    assert b"".join(body) == b"content"
    print(type(body).__name__)
    import time; time.sleep(0.02)
    body.close()
# Middleware that puts another body in its place, and forgets to close this one.
import gc
body = app(environ, lambda status, headers: None)
time.sleep(0.02)
del body
gc.collect()
"""


def test_a_file_is_sent_by_the_means_of_the_server_until_that_closes_it(traced: Traced) -> None:
    run = traced(FILES)
    assert run.returncode == 0, run
    assert [span.name for span in run.spans] == ["GET /file"] * 3, run
    assert all(span.duration_ms >= 20 for span in run.spans), run


ELSEWHERE = """
import contextvars, greenlet, threading
from flask import Flask
from werkzeug.test import create_environ
app = Flask(__name__)

def go_on_in_another_context():
    greenlet.getcurrent().gr_context = contextvars.copy_context()

def answer(environ, start_response):
    go_on_in_another_context()
    start_response("200 OK", [])
    def pieces():
        yield b"a"
        go_on_in_another_context()
        yield b"b"
        yield b"c"
    return pieces()

app.wsgi_app = answer
assert b"".join(app(create_environ("/greenlet"), lambda *args: None)) == b"abc"

body, taken = app(create_environ("/threads"), lambda *args: None), []
for _ in range(3):
    thread = threading.Thread(target=lambda: taken.append(next(body)))
    thread.start()
    thread.join()
body.close()
assert taken == [b"a", b"b", b"c"], taken
"""


def test_an_answer_may_be_made_in_another_context_than_it_was_asked_for(traced: Traced) -> None:
    run = traced(ELSEWHERE)
    assert run.returncode == 0, run
    assert [(span.attributes["url.path"], span.status) for span in run.spans] == [
        ("/greenlet", "UNSET"),
        ("/threads", "UNSET"),
    ], run

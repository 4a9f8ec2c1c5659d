"""Flask: the exception behind each error page, and nothing of ours in what a program logs of it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from servers.program import clean_environment

if TYPE_CHECKING:
    from servers.program import Traced

ERRORS = """
import logging
import sys
logging.basicConfig(format="%(message)s", stream=sys.stderr)
from flask import Flask, Response, abort, g
from werkzeug.exceptions import HTTPException, InternalServerError

class Known(Exception): pass
class Handled(Exception): pass
class Badly(Exception): pass
class Teapot(HTTPException):
    code = 418
class Gone(HTTPException):
    code = 507

def build(**config):
    app = Flask(__name__)
    app.config.update(config)

    @app.route("/<what>")
    def view(what):
        raise {
            "error": ValueError("https://u:secret@host/"), "known": Known("k"), "handled": Handled(), "badly": Badly(),
            "teapot": Teapot(), "gone": Gone(), "key": KeyError("x"),
        }[what]

    @app.route("/abort/<int:code>")
    def abort_with(code):
        abort(code)

    @app.route("/answer/503")
    def answer():
        abort(Response("later", status=503))

    @app.route("/returned/502")
    def returned():
        return "bad gateway", 502

    @app.route("/after/<how>")
    def fine(how):
        g.how = how
        if how == "handled":
            raise Handled()
        return "fine"

    @app.before_request
    def before():
        from flask import request
        if request.args.get("before"):
            raise RuntimeError("before")

    @app.after_request
    def after(response):
        if "how" in g:
            raise ArithmeticError("after")
        return response

    @app.teardown_request
    def teardown(error):
        from flask import request
        if request.args.get("teardown"):
            raise LookupError("teardown")

    @app.errorhandler(Known)
    def make_page(error):
        return "a page", 500

    @app.errorhandler(Handled)
    def make_answer(error):
        return "not found", 404

    @app.errorhandler(Badly)
    def fail(error):
        raise OSError("while handling")

    @app.errorhandler(404)
    def fail_too(error):
        raise OSError("no page for it")
    return app

def ask(app, *paths):
    for path in paths:
        try:
            with app.test_client().get(path) as answer:
                print(path, answer.status, len(answer.data))
        except Exception as error:
            frames, at = [], error.__traceback__
            while at:
                frames.append(at.tb_frame.f_code.co_filename)
                at = at.tb_next
            print(path, repr(error), frames[-1].endswith("app.py"))
"""

ASKED = """
ask(build(), "/error", "/known", "/handled", "/badly", "/teapot", "/gone", "/key", "/abort/503", "/abort/500",
    "/abort/400", "/abort/404", "/answer/503", "/returned/502", "/after/x", "/after/handled", "/error?before=1",
    "/teapot?teardown=1")
ask(build(TRAP_HTTP_EXCEPTIONS=True), "/teapot", "/nowhere/at/all")
ask(build(PROPAGATE_EXCEPTIONS=True), "/error", "/after/x")
app = build()
app.debug = True
ask(app, "/known", "/error")
"""


def test_the_exception_behind_an_error_page_is_told_and_none_of_an_answer_that_is_no_error(traced: Traced) -> None:
    run = traced(ERRORS + ASKED)
    assert run.returncode == 0, run
    told = [
        (
            span.attributes["url.path"],
            span.attributes["http.response.status_code"],
            span.attributes.get("error.type", ""),
            ",".join(event["exception.type"] for _, event in span.events),
        )
        for span in run.spans
    ]
    ours = "__main__."
    assert told == [
        ("/error", 500, *["ValueError"] * 2),
        ("/known", 500, *[ours + "Known"] * 2),
        ("/handled", 404, "", ""),
        # What the handler raised, with what it was handling as its context.
        ("/badly", 500, *["OSError"] * 2),
        ("/teapot", 418, "", ""),
        ("/gone", 507, *[ours + "Gone"] * 2),
        ("/key", 500, *["KeyError"] * 2),
        ("/abort/503", 503, *["werkzeug.exceptions.ServiceUnavailable"] * 2),
        ("/abort/500", 500, *["werkzeug.exceptions.InternalServerError"] * 2),
        ("/abort/400", 400, "", ""),
        ("/abort/404", 500, *["OSError"] * 2),
        ("/answer/503", 503, "503", ""),
        ("/returned/502", 502, "502", ""),
        ("/after/x", 500, *["ArithmeticError"] * 2),
        ("/after/handled", 500, *["ArithmeticError"] * 2),
        ("/error", 500, *["RuntimeError"] * 2),
        # No byte of the answer was sent yet, and servers answer 500 then.
        ("/teapot", 500, *["LookupError"] * 2),
        ("/teapot", 500, *[ours + "Teapot"] * 2),
        # Trapped, it goes to its handler, which fails.
        ("/nowhere/at/all", 500, *["OSError"] * 2),
        ("/error", 500, *["ValueError"] * 2),
        ("/after/x", 500, *["ArithmeticError"] * 2),
        ("/known", 500, *[ours + "Known"] * 2),
        ("/error", 500, *["ValueError"] * 2),
    ]
    for span in run.spans:
        assert span.status == ("ERROR" if span.attributes["http.response.status_code"] >= 500 else "UNSET"), run
        assert not span.status_message, run
    # Nor may the text of the exception give a secret away.
    assert "secret" not in str([span.events for span in run.spans]), run


def test_what_flask_logs_and_raises_is_as_without_us(traced: Traced) -> None:
    run = traced(ERRORS + ASKED)
    bare = subprocess.run(
        [sys.executable, "app.py"],
        cwd=traced.folder,
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert (run.stdout, run.stderr) == (bare.stdout, bare.stderr)
    assert bare.stderr.count("Traceback") > 8


SENT_BY_HAND = """
from flask import Flask, got_request_exception
app = Flask(__name__)

@app.route("/")
def view():
    seen = []
    def see(sender, **details):
        seen.append(details)
    with got_request_exception.connected_to(see, app):
        for details in ({}, {}, {}, {"exception": "a text"}, {"error": ValueError()}):
            got_request_exception.send(app, **details)
    return f"{len(seen)}", 503

@app.route("/boom")
def fail():
    raise LookupError

print(app.test_client().get("/").text, app.test_client().get("/boom").status_code)
"""


def test_a_program_may_send_the_signal_for_errors_by_itself_with_anything_or_nothing(traced: Traced) -> None:
    run = traced(SENT_BY_HAND)
    assert run.stdout == "5 500\n", run
    assert [(span.name, span.attributes["error.type"], len(span.events)) for span in run.spans] == [
        ("GET /", "503", 0),
        ("GET /boom", "LookupError", 1),
    ], run
    assert "otel-run" not in run.stderr, run


DEBUGGED = """
from flask import Flask
from werkzeug.debug import DebuggedApplication
from werkzeug.test import Client
app = Flask(__name__)
app.debug = app.config["PROPAGATE_EXCEPTIONS"] = True

@app.route("/boom")
def fail():
    raise ValueError("boom")

@app.route("/stream")
def stream():
    def pieces():
        yield ""
        raise ValueError("boom")
    return app.response_class(pieces())

for path in ("/boom", "/stream"):
    page = Client(DebuggedApplication(app)).get(path).text
    assert "ValueError: boom" in page and "app.py" in page, page
    assert "otel_run" not in page, page
"""


def test_the_page_of_a_debugger_shows_no_frames_of_ours(traced: Traced) -> None:
    run = traced(DEBUGGED)
    assert run.returncode == 0, run
    assert [span.name for span in run.spans] == ["GET /boom", "GET /stream"], run

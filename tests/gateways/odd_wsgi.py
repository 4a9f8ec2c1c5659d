"""A WSGI application that answers in every way that PEP 3333 allows, and in some that it does not.

Run with and without us behind one server, its answers have to be the same to the byte, but for the date, and so have
the calls that it has seen: it writes them to a file, a line for each request.
"""

from __future__ import annotations

SOURCE = '''
import inspect, io, os, sys, time
from wsgiref.validate import validator
LOG = os.environ.get("ODD_LOG", "odd.log")
PLAIN = [("Content-Type", "text/plain")]
ROUTES = {}

def tell(*words):
    with open(LOG, "a") as log:
        print(*words, file=log)

def route(function):
    ROUTES["/" + function.__name__] = function
    return function

def validated_as(name):
    def decorate(function):
        # Werkzeug's is a number, which is not valid.
        ROUTES["/" + name] = lambda environ, start: validator(function)({**environ, "REMOTE_PORT": "1"}, start)
    return decorate

class Told:
    """A body that tells which of its methods are called."""
    def __init__(self, name, pieces, error=None, closing=None):
        self.name, self.pieces, self.error, self.closing = name, iter(pieces), error, closing
    def __iter__(self):
        tell(self.name, "iter")
        return self
    def __next__(self):
        tell(self.name, "next")
        try:
            return next(self.pieces)
        except StopIteration:
            if self.error is not None:
                raise self.error
            raise
    def close(self):
        tell(self.name, "close")
        if self.closing is not None:
            raise self.closing

class Sized(Told):
    def __init__(self, name, pieces):
        super().__init__(name, pieces)
        self.count = len(pieces)
    def __len__(self):
        return self.count

class Asked:
    """A body that tells what is asked of it that it does not have, but for what servers ask."""
    def __iter__(self):
        return iter([b"asked"])
    def __getattr__(self, name):
        if name not in ("close", "read"):
            tell("asked for", name)
        raise AttributeError(name)

class Indexed:
    def __getitem__(self, at):
        tell("indexed", at)
        return [b"a", b"b"][at]

class Listed(list):
    def close(self):
        tell("listed close")

@route
def one(environ, start):
    start("200 OK", PLAIN)
    return [b"one piece"]

@route
def several(environ, start):
    start("200 OK", PLAIN)
    return [b"a", b"", b"bc"]

@route
def length(environ, start):
    start("200 OK", [("Content-Length", "3"), *PLAIN])
    return [b"a", b"bc"]

@route
def listed(environ, start):
    start("200 OK", PLAIN)
    return Listed([b"one"])

@route
def pieces(environ, start):
    start("200 OK", PLAIN)
    return (str(number).encode() for number in range(3))

@route
def written(environ, start):
    write = start("200 OK", PLAIN)
    write(b"written, ")
    write(b"and again, ")
    return [b"and returned"]

@route
def only_written(environ, start):
    start("200 OK", PLAIN)(b"written")
    return []

@route
def twice(environ, start):
    start("200 OK", PLAIN)
    try:
        raise LookupError("before the first byte")
    except LookupError:
        start("503 Sorry", PLAIN + [("X-Again", "yes")], sys.exc_info())
    return [b"sorry"]

@route
def twice_too_late(environ, start):
    start("200 OK", PLAIN)
    yield b"under way"
    try:
        raise LookupError("too late")
    except LookupError:
        start("503 Sorry", PLAIN, sys.exc_info())
    yield b"sorry"

@route
def twice_without_reason(environ, start):
    start("200 OK", PLAIN)
    start("201 Created", PLAIN)
    return [b"never"]

@route
def late(environ, start):
    tell("late begins")
    start("202 Accepted", PLAIN)
    yield b"late"
    yield b"r"

@route
def empty(environ, start):
    start("200 OK", PLAIN)
    return []

@route
def empty_pieces(environ, start):
    start("200 OK", PLAIN)
    return iter([b"", b""])

@route
def none_there(environ, start):
    start("204 No Content", [])
    return []

@route
def unchanged(environ, start):
    start("304 Not Modified", [("ETag", '"1"')])
    return [b""]

@route
def file(environ, start):
    opened = open(__file__, "rb")
    start("200 OK", PLAIN)
    wrap = environ.get("wsgi.file_wrapper")
    return wrap(opened, 1000) if wrap is not None else iter(lambda: opened.read(1000), b"")

@route
def memory_file(environ, start):
    start("200 OK", PLAIN)
    wrap = environ.get("wsgi.file_wrapper")
    return wrap(io.BytesIO(b"x" * 3000)) if wrap is not None else [b"x" * 3000]

@route
def closed(environ, start):
    start("200 OK", PLAIN)
    return Told("closed", [b"a", b"b"])

@route
def closed_empty(environ, start):
    start("200 OK", PLAIN)
    return Told("closed_empty", [])

@route
def sized(environ, start):
    start("200 OK", PLAIN)
    return Sized("sized", [b"one"])

@route
def sized_two(environ, start):
    start("200 OK", PLAIN)
    return Sized("sized_two", [b"one", b"two"])

@route
def indexed(environ, start):
    start("200 OK", PLAIN)
    return Indexed()

@route
def fails_half_way(environ, start):
    start("200 OK", PLAIN)
    return Told("fails_half_way", [b"a"], ValueError("half way"))

@route
def fails_at_once(environ, start):
    start("200 OK", PLAIN)
    return Told("fails_at_once", [], ValueError("at once"))

@route
def fails_before(environ, start):
    raise ValueError("before start_response")

@route
def fails_after(environ, start):
    start("200 OK", PLAIN)
    raise ValueError("after start_response")

@route
def fails_closing(environ, start):
    start("200 OK", PLAIN)
    return Told("fails_closing", [b"a"], closing=ValueError("closing"))

@route
def odd_status(environ, start):
    start("OK", PLAIN)
    return [b"never"]

@route
def silent(environ, start):
    return [b"no start"]

@route
def nothing(environ, start):
    start("200 OK", PLAIN)

@route
def echo(environ, start):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    start("200 OK", PLAIN)
    return [environ["wsgi.input"].read(length) if length else b"nothing sent"]

@route
def by_name(environ, start):
    try:
        raise LookupError
    except LookupError:
        start("200 OK", PLAIN, exc_info=sys.exc_info())
    return [b"by name"]

@route
def start_itself(environ, start):
    start("200 OK", PLAIN)
    return [f"{inspect.signature(start)} {start.__name__} {sys.exc_info()}".encode()]

@route
def asked(environ, start):
    start("200 OK", PLAIN)
    return Asked()

@validated_as("validated")
def _(environ, start):
    start("200 OK", PLAIN)
    return [b"one piece"]

@validated_as("validated_pieces")
def _(environ, start):
    start("200 OK", PLAIN)
    yield b"a"
    yield b"b"

@route
def surroundings(environ, start):
    start("200 OK", PLAIN)
    kinds = [f"{key}={type(value).__name__}" for key, value in sorted(environ.items()) if key not in os.environ]
    return ["\\\\n".join([type(environ).__name__, *kinds]).encode()]

@route
def slow(environ, start):
    start("200 OK", PLAIN)
    def pieces():
        yield b"a"
        time.sleep(0.3)
        yield b"b"
    return pieces()

@route
def endless(environ, start):
    start("200 OK", PLAIN)
    def pieces():
        try:
            while True:
                yield b"x" * 65536
                time.sleep(0.001)
        finally:
            tell("endless ends")
    return pieces()

def application(environ, start_response):
    return ROUTES[environ["PATH_INFO"]](environ, start_response)
'''.replace("\\\\n", "\\n")

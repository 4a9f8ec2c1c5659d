"""WSGI (PEP 3333): a request from the call of the application to the `close()` of what it returned.

Every gateway and framework that speaks it is observed here, in one way: `start_response` is watched, and so is the
body, unless the server looks at what kind of object it is. The application sees its own environment and its own
`start_response`'s results; the server sees the same status, headers, pieces and calls as without us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import http_application
from otel_run.instrumentors.http_arrival import Arrival, path_of
from otel_run.instrumentors.http_request import current
from otel_run.instrumentors.wsgi_body import Body, Pieces, Sized, end_with_close, is_for_sendfile
from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_request import Request
    from otel_run.instrumentors.http_server import HttpServer
    from otel_run.patching.wrap import Contained

    Environment = dict[str, Any]
    Application = Callable[[Environment, Callable[..., Any]], Iterable[bytes]]


class WsgiArrival(Arrival):
    """A request as a WSGI environment has it."""

    __slots__ = ("environ", "mark", "method")

    def __init__(self, environ: Environment) -> None:
        self.environ = environ
        # A copy of the environment still reads the body from the same place.
        mark = environ.get("wsgi.input")
        self.mark = environ if mark is None else mark
        self.method: str = environ.get("REQUEST_METHOD", "")

    # What follows is asked for once, and only of a request that is recorded.

    @property
    def scheme(self) -> str:
        """The scheme."""
        scheme: str = self.environ.get("wsgi.url_scheme", "http")
        return scheme

    @property
    def query(self) -> str:
        """The query string."""
        query: str = self.environ.get("QUERY_STRING", "")
        return query

    @property
    def version(self) -> str:
        """The HTTP version."""
        protocol: str = self.environ.get("SERVER_PROTOCOL", "")
        return protocol[5:] if protocol.startswith("HTTP/") else ""

    @property
    def peer(self) -> Any:
        """The other end of the socket."""
        return self._end("REMOTE_ADDR", "REMOTE_PORT")

    @property
    def local(self) -> Any:
        """Our end of it."""
        return self._end("SERVER_NAME", "SERVER_PORT")

    def _end(self, address: str, port: str) -> Any:
        found = self.environ.get(address)
        return (found, _number(self.environ.get(port))) if found else None

    def path(self) -> str:
        """Return the path below the root of the server, decoded."""
        return "".join(self.parts())

    def parts(self) -> tuple[str, str]:
        """Return what the application is mounted at, and the path below that."""
        get = self.environ.get
        return decoded(get("SCRIPT_NAME", "")), decoded(get("PATH_INFO", ""))

    def raw_path(self) -> str:
        """Return the path as it came, where the server tells."""
        # gunicorn and werkzeug; uWSGI, mod_wsgi, werkzeug.
        uri = self.environ.get("RAW_URI") or self.environ.get("REQUEST_URI")
        return path_of(uri) if uri else super().raw_path()

    def header(self, name: str) -> str | None:
        """Return a header's value; the server has joined several by commas."""
        value: str | None = self.environ.get(_KEYS[name])
        return value

    def headers(self) -> Iterable[tuple[str, str]]:
        """Return all headers."""
        for key, value in self.environ.items():
            if key.startswith("HTTP_"):
                yield key[5:].replace("_", "-").lower(), value
            elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
                yield key.replace("_", "-").lower(), value


def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


class _Keys(dict[str, str]):
    """Names of headers that we ask for -> of variables: a handful, and those that the user's propagators want."""

    def __missing__(self, name: str) -> str:
        self[name] = key = _key(name)
        return key


_KEYS = _Keys()


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, (str, int)) and str(text).isascii() and str(text).isdigit() else None


def decoded(text: str) -> str:
    """Return the text of a variable of the environment: PEP 3333 has bytes there, each as a character."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")


class StartResponse:
    """The server's `start_response`, which tells the request what the application answers."""

    __slots__ = ("__wrapped__", "_gateway", "_request")

    def __init__(self, theirs: Callable[..., Any], request: Request, gateway: Gateway) -> None:
        self.__wrapped__ = theirs
        self._request = request
        self._gateway = gateway

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the server's."""
        __traceback_hide__ = True
        gateway, request = self._gateway, self._request
        if gateway.tells_client:
            args = gateway.contained(gateway.with_more_headers, request, args) or args
        # Theirs first: it refuses what comes after the first byte, or a second time.
        write = self.__wrapped__(*args, **kwargs)
        gateway.contained(_keep_status, request, args, kwargs)
        return write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)


class Gateway:
    """Where requests come in by WSGI: one server's or framework's layer."""

    def __init__(self, server: HttpServer, contained: Contained) -> None:
        self._server = server
        self.contained = contained
        self.tells_client = server.tells_client

    def call(self, application: Application, environ: Environment, start_response: Callable[..., Any]) -> Any:
        """Call the application as the server would, with its request's span around it."""
        # For the debuggers of Werkzeug and Paste: their pages, which show each frame, are answers as well.
        __traceback_hide__ = True
        contained = self.contained
        request: Request | None = contained(self._begin, environ)
        if request is None:
            try:
                return application(environ, start_response)
            except BaseException as error:
                contained(_note_above, error)
                raise
        if request.is_recording or self.tells_client:
            start_response = StartResponse(start_response, request, self)
        token = enter(request.context)
        try:
            body = application(environ, start_response)
        except BaseException as error:
            leave(token)
            contained(_end_unanswered, request, error)
            raise
        left = now()
        leave(token)
        watched = contained(self._watch_body, request, body, environ, left)
        if watched is None:
            contained(request.end)
            return body
        return watched

    def _begin(self, environ: Environment) -> Request | None:
        return self._server.begin(WsgiArrival(environ))

    def with_more_headers(self, request: Request, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of `start_response` with the headers that the user wants answers to have."""
        # PEP 3333 wants a list; what else an application gives, or gives by name, is the server's to refuse.
        if request.is_excluded or len(args) < 2 or not isinstance(args[1], list):
            return args
        return (args[0], [*args[1], *self._server.headers_for_client(request)], *args[2:])

    def _watch_body(self, request: Request, body: Any, environ: Environment, left: Context) -> Any:
        """Return what is handed to the server in place of `body`, which may be that itself.

        `left` is the context that the application has left behind.
        """
        if isinstance(body, _COMPLETE):
            # Servers look at its length.
            request.answer_silence()
            request.end()
            return body
        if not _is_iterable(body):
            request.end()
            return body
        if "wsgi.file_wrapper" in environ and is_for_sendfile(body, environ):
            if not end_with_close(request, body, self.contained):
                request.end()
            return body
        if request.is_recording:
            watched: Pieces = Body(request, body, self.contained, left)
        else:
            request.end()
            watched = Pieces(body, left)
        return Sized(watched, body) if hasattr(type(body), "__len__") else watched


# uWSGI sends bytes as they are.
_COMPLETE = (list, tuple, bytes)


def _is_iterable(body: Any) -> bool:
    # What is not is a mistake of the application, None mostly, or a sign between it and its server:
    # gunicorn.workers.base_async.ALREADY_HANDLED.
    return body is None or hasattr(type(body), "__iter__") or hasattr(type(body), "__getitem__")


def _note_above(error: BaseException) -> None:
    # Middleware outside of this layer, such as a debugger, may make a page of it.
    request = current()
    if request is not None:
        request.note(error, instead=True)


def _end_unanswered(request: Request, error: BaseException) -> None:
    request.take_back()
    request.end(error)


def _keep_status(request: Request, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # PEP 3333 gives the arguments no names; these are most servers'.
    status = args[0] if args else kwargs.get("status")
    headers = args[1] if len(args) > 1 else kwargs.get("headers", ())
    code = status[:3] if isinstance(status, str) else ""
    request.respond(int(code) if code.isascii() and code.isdigit() else None, headers)


def around_method(server: HttpServer) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    """Return what makes of `__call__(self, environ, start_response)` of a framework's class one with a span around."""

    def make(original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
        gateway = Gateway(server, contained)

        def call(self: Any, environ: Environment, start_response: Callable[..., Any]) -> Any:
            __traceback_hide__ = True
            return gateway.call(original.__get__(self), environ, start_response)

        return call

    return make


class WatchedApplication(http_application.WatchedApplication):
    """A WSGI application that a server was given."""

    __slots__ = ()

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Any:
        """Call it, with its request's span around."""
        return self._gateway.call(self.__wrapped__, environ, start_response)


def watching(instrumentor: http_application.ServerInstrumentor, tracer: Tracer) -> Callable[[Any], WatchedApplication]:
    """Return what makes of an application that `instrumentor` has found in its server one that is watched."""
    gateway = Gateway(instrumentor.layer(tracer), instrumentor.fuse().contained)
    return lambda application: WatchedApplication(application, gateway)

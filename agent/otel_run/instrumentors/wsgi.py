"""WSGI (PEP 3333): a request from the call of the application to the `close()` of what it returned.

Every gateway and framework that speaks it is observed here, in one way: `start_response` is watched, and so is the
body, unless the server looks at what kind of object it is. The application sees its own environment and its own
`start_response`'s results; the server sees the same status, headers, pieces and calls as without us.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from otel_run.instrumentors import http_application
from otel_run.instrumentors.http_arrival import Arrival, is_plain, path_of, quoted
from otel_run.instrumentors.http_request import current
from otel_run.instrumentors.wsgi_body import Body, Pieces, Sized, end_with_close, is_for_sendfile
from otel_run.tracing.entering import enter, leave, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from otel_run.instrumentors.http_arrival import Told
    from otel_run.instrumentors.http_request import Passing, Request
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
    def local(self) -> Any:
        """Our end of it."""
        found = self.environ.get("SERVER_NAME")
        return (found, _number(self.environ.get("SERVER_PORT"))) if found else None

    def path(self) -> str:
        """Return the path below the root of the server, decoded."""
        get = self.environ.get
        return decoded(get("SCRIPT_NAME", "") + get("PATH_INFO", ""))

    def parts(self) -> tuple[str, str]:
        """Return what the application is mounted at, and the path below that."""
        get = self.environ.get
        return decoded(get("SCRIPT_NAME", "")), decoded(get("PATH_INFO", ""))

    def raw_path(self) -> str:
        """Return the path as it came, where the server tells."""
        # gunicorn and werkzeug; uWSGI, mod_wsgi, werkzeug.
        uri = self.environ.get("RAW_URI") or self.environ.get("REQUEST_URI")
        return path_of(uri) if uri else super().raw_path()

    def brings_context(self) -> bool:
        """Tell whether there is something for the propagators of W3C in it."""
        return "HTTP_TRACEPARENT" in self.environ or "HTTP_BAGGAGE" in self.environ

    def told(self) -> Told:
        """Return all that is told of each request."""
        get = self.environ.get
        uri = get("RAW_URI") or get("REQUEST_URI")
        path = path_of(uri) if uri else get("SCRIPT_NAME", "") + get("PATH_INFO", "")
        protocol: str = get("SERVER_PROTOCOL", "")
        peer = get("REMOTE_ADDR")
        proxied = (
            get("HTTP_FORWARDED"), get("HTTP_X_FORWARDED_PROTO"), get("HTTP_X_FORWARDED_HOST"),
            get("HTTP_X_FORWARDED_FOR"),
        )  # fmt: skip
        return (
            get("wsgi.url_scheme", "http"),
            path if uri or is_plain(path) else quoted(decoded(path)),
            get("QUERY_STRING", ""),
            protocol[5:] if protocol.startswith("HTTP/") else "",
            peer,
            _number(get("REMOTE_PORT")) if peer else None,
            get("HTTP_HOST"),
            get("HTTP_USER_AGENT"),
            proxied if any(proxied) else None,
        )

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
    if isinstance(text, int):
        text = str(text)
    # Short: middleware such as ProxyFix takes a port from the client, and Python refuses to read a very long number.
    return int(text) if isinstance(text, str) and len(text) < 6 and text.isascii() and text.isdigit() else None


def decoded(text: str) -> str:
    """Return the text of a variable of the environment: PEP 3333 has bytes there, each as a character."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")


class StartResponse:
    """The server's `start_response`, which tells the request what the application answers."""

    __slots__ = ("__wrapped__", "_contained", "_request", "_server")

    def __init__(self, theirs: Callable[..., Any], request: Passing, server: HttpServer, contained: Contained) -> None:
        self.__wrapped__ = theirs
        self._request = request
        self._server = server
        self._contained = contained

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the server's."""
        __traceback_hide__ = True
        request: Any = self._request
        if self._server.tells_client:
            args = self._contained(self._with_more_headers, args) or args
        # Theirs first: it refuses what comes after the first byte, or a second time.
        write = self.__wrapped__(*args, **kwargs)
        if request.is_recording:
            # PEP 3333 gives the arguments no names; these are most servers'.
            request.status = args[0] if args else kwargs.get("status")
            request.headers = args[1] if len(args) > 1 else kwargs.get("headers", ())
        return write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def _with_more_headers(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments with the headers that the user wants answers to have."""
        # PEP 3333 wants a list; what else an application gives, or gives by name, is the server's to refuse.
        if len(args) < 2 or not isinstance(args[1], list) or self._request.is_excluded:
            return args
        return (args[0], [*args[1], *self._server.headers_for_client(self._request)], *args[2:])


def observed(server: HttpServer, original: Callable[..., Any], contained: Contained) -> Callable[..., Any]:
    """Return what calls `original(application, environ, start_response)` with a request's span around it.

    It is one function, where several would be plainer: each call of one more costs all requests.
    """
    begin, tells_client = server.begin, server.tells_client

    def call(self: Any, environ: Environment, start_response: Callable[..., Any]) -> Any:
        # For the debuggers of Werkzeug and Paste: their pages, which show each frame, are answers as well.
        __traceback_hide__ = True
        request: Any = contained(begin, WsgiArrival, environ)
        if request is None:
            try:
                return original(self, environ, start_response)
            except BaseException as error:
                contained(_note_above, error)
                raise
        is_recording = request.is_recording
        if is_recording or tells_client:
            start_response = StartResponse(start_response, request, server, contained)
        token = enter(request.context)
        try:
            body = original(self, environ, start_response)
        except BaseException as error:
            leave(token)
            if is_recording:
                contained(_end_unanswered, request, error)
            raise
        left = now()
        leave(token)
        if not is_recording and isinstance(body, _COMPLETE):
            return body
        watched = contained(_watch_body, request, body, environ, left, contained)
        if watched is None:
            contained(request.end)
            return body
        return watched

    return call


def _watch_body(request: Any, body: Any, environ: Environment, left: Context, contained: Contained) -> Any:
    """Return what is handed to the server in place of `body`, which may be that itself.

    `left` is the context that the application has left behind.
    """
    if isinstance(body, _COMPLETE):
        # Servers look at its length.
        request.answer_silence()
        request.end()
        return body
    cls = type(body)
    if not hasattr(cls, "__iter__") and not _is_iterable(cls):
        request.end()
        return body
    if "wsgi.file_wrapper" in environ and is_for_sendfile(body, environ):
        if not end_with_close(request, body, contained):
            request.end()
        return body
    watched = Body(request, body, contained, left) if request.is_recording else Pieces(request, body, left)
    return Sized(watched, body) if hasattr(cls, "__len__") else watched


# uWSGI sends bytes as they are.
_COMPLETE = (list, tuple, bytes)


def _is_iterable(body: type) -> bool:
    # What is not is a mistake of the application, None mostly, or a sign between it and its server:
    # gunicorn.workers.base_async.ALREADY_HANDLED.
    return hasattr(body, "__getitem__") or body is type(None)


def _note_above(error: BaseException) -> None:
    # Middleware outside of this layer, such as a debugger, may make a page of it.
    request = current()
    if request is not None:
        request.note(error, instead=True)


def _end_unanswered(request: Request, error: BaseException) -> None:
    request.take_back()
    request.end(error)


def around_method(server: HttpServer) -> Callable[[Callable[..., Any], Contained], Callable[..., Any]]:
    """Return what makes of `__call__(self, environ, start_response)` of a framework's class one with a span around."""
    return partial(observed, server)


class WatchedApplication(http_application.WatchedApplication):
    """A WSGI application that a server was given."""

    __slots__ = ()

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Any:
        """Call it, with its request's span around."""
        return self._observed(self.__wrapped__, environ, start_response)


def watching(instrumentor: http_application.ServerInstrumentor, tracer: Tracer) -> Callable[[Any], WatchedApplication]:
    """Return what makes of an application that `instrumentor` has found in its server one that is watched."""
    call = observed(instrumentor.layer(tracer), http_application.call, instrumentor.fuse().contained)
    return lambda application: WatchedApplication(application, call)

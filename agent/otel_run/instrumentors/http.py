"""What all HTTP clients share: one CLIENT span for each request on the wire, and its attributes.

A library's file says where one request goes out and how to read it; names, attributes and status stand here
once. Source: OpenTelemetry semantic conventions, "HTTP client span" (stable), and for the old names "HTTP" as
of 1.20. Nothing here imports an HTTP library.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from opentelemetry.trace import Status, StatusCode

from otel_run import settings
from otel_run.boundary import contained
from otel_run.instrumentors.http_exchange import Exchange
from otel_run.instrumentors.http_headers import HeaderCapture, mask_message
from otel_run.instrumentors.http_silence import Excluded, is_silenced
from otel_run.instrumentors.url_template import DEFAULT_PORTS, UrlTemplates
from otel_run.masking.url import mask
from otel_run.tracing.call import HTTP, is_suppressed
from otel_run.tracing.entering import now
from otel_run.tracing.propagation import inject_unsampled
from otel_run.tracing.tracer import dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from otel_run.instrumentors.http_headers import Attributes
    from otel_run.tracing.span import Unsampled


class Answer(NamedTuple):
    """What a library tells of a response; None where it does not."""

    status: int | None
    version: str | None
    headers: Mapping[str, str]
    peer: Any = None  # the address of the socket's other end, as `getpeername` gives it
    body: object = None  # what is going to be read, if the library may still read it


class HttpClient:
    """One client library: its settings, compiled once, and how to read its responses."""

    def __init__(self, tracer: Tracer, excluded_urls: Iterable[str], read: Callable[[Any], Answer]) -> None:
        current = settings.current()
        self.tracer = tracer
        self.read = read
        self.mask: Callable[[str], str] = mask if current.masks() else str
        self.mask_message: Callable[[str], str] = mask_message if current.masks() else str
        # Each by itself: joined into one, an inline flag such as (?i) would be an error.
        self._excluded = [re.compile(pattern) for pattern in excluded_urls]
        self._methods = frozenset(current.http_known_methods)
        self._all_methods = current.http_capture_all_methods
        self._old_names = "http/dup" in current.semconv_opt_in
        self.resend_names = ("http.request.resend_count", *(("http.resend_count",) if self._old_names else ()))
        self._headers = HeaderCapture(
            current, current.capture_client_request_headers, current.capture_client_response_headers
        )
        self._templates = UrlTemplates(current.url_templates) if current.url_templates else None

    def lets_pass(self, around: Context, url: Any, headers: MutableMapping[str, str] | None) -> bool:
        """Tell whether a request in the context `around` needs no look, since nobody will see it, nor what is below.

        Its `headers` then tell the server so. `url` is a text, or what knows its `scheme`: a text may be dear.
        """
        # What is excluded is told nothing, and to know that takes the URL.
        unsampled = None if self._excluded else dropped(self.tracer, around)
        if unsampled is None or (around and is_suppressed(HTTP, around)):
            return False
        if not _is_http(getattr(url, "scheme", url)):
            return False
        _tell(unsampled, around, headers)
        return True

    def begin(
        self,
        method: str,
        url: str,
        headers: MutableMapping[str, str] | None,
        request: object = None,
        around: Context | None = None,
    ) -> Exchange | Excluded | None:
        """Start the span of one request and put its context into `headers`; return what takes the outcome.

        `around` is the current context, for whoever has it at hand.
        `request` is the library's object, which tells a resend. None is returned if it has a span already, or if
        none is wanted; it is left as it is then, and so is a request whose URL the user has excluded. That one gets
        no span from an instrumentor below either, and no `traceparent` but what the program itself gave it:
        who excludes a URL wants the server there to be told nothing.
        """
        if around is None:
            around = now()
        if around and is_suppressed(HTTP, around) and is_silenced(around, method, url, request):
            return None
        if not _is_http(url):
            return None
        if self._excluded:
            if any(pattern.search(url) for pattern in self._excluded):
                return Excluded(around, method, url, request)
            unsampled = dropped(self.tracer, around)
            if unsampled is not None:
                _tell(unsampled, around, headers)
                return None
        attributes = self._describe_request(method, url)
        if headers is not None and self._headers.of_requests:
            attributes.update(self._headers.of_request(headers))
        name = "HTTP" if "http.request.method_original" in attributes else method
        if self._templates is not None:
            template = self._templates.of(url)
            if template is not None:
                attributes["url.template"] = template
                name = f"{name} {template}"
        return Exchange(self, around, request, (method, url), name, attributes, headers)

    def _describe_request(self, method: str, url: str) -> Attributes:
        known = method if self._all_methods or method in self._methods else "_OTHER"
        shown = self.mask(url)
        address, port = server_of(url)
        attributes: Attributes = {"http.request.method": known, "url.full": shown}
        if known != method:
            attributes["http.request.method_original"] = method
        if address:
            attributes["server.address"] = address
        if port:
            attributes["server.port"] = port
        if self._old_names:
            attributes.update({"http.method": known, "http.url": shown, "http.scheme": url.partition(":")[0].lower()})
            if address:
                attributes.update({"http.host": address, "net.peer.name": address})
            if port:
                attributes["net.peer.port"] = port
        return attributes

    def describe_response(self, span: Span, answer: Answer, peer: Any = None) -> None:
        """Tell `span` what came back, and from where."""
        attributes: Attributes = {}
        if answer.status is not None:
            attributes["http.response.status_code"] = answer.status
            if self._old_names:
                attributes["http.status_code"] = answer.status
            if answer.status >= 400:
                attributes["error.type"] = str(answer.status)
                # The conventions want no description: the status code says it.
                span.set_status(Status(StatusCode.ERROR))
        if answer.version:
            attributes["network.protocol.version"] = answer.version
            if self._old_names:
                attributes["http.flavor"] = attributes["net.protocol.version"] = answer.version
        peer = answer.peer or peer
        if peer:
            self._add_peer(attributes, peer)
        if self._headers.of_responses:
            attributes.update(self._headers.of_response(answer.headers))
        span.set_attributes(attributes)

    def describe_peer(self, peer: Any) -> Attributes:
        """Return the attributes of a socket's address: a host and a port, or the path of a Unix socket."""
        attributes: Attributes = {}
        self._add_peer(attributes, peer)
        return attributes

    def _add_peer(self, attributes: Attributes, peer: Any) -> None:
        if isinstance(peer, (tuple, list)):
            address, port = peer[:2]
        else:
            address, port = (peer.decode("utf-8", "replace") if isinstance(peer, bytes) else str(peer)), None
        attributes["network.peer.address"] = address
        if port is not None:
            attributes["network.peer.port"] = port
        if self._old_names:
            attributes["net.sock.peer.addr"] = address
            if port is not None:
                attributes["net.sock.peer.port"] = port


def _is_http(url: str) -> bool:
    # "http+unix" and "http+docker" are HTTP too; an adapter for "file" or "s3" is not.
    return url[:4].lower() == "http"


def _tell(unsampled: Unsampled, around: Context, headers: MutableMapping[str, str] | None) -> None:
    if headers is not None:
        # Contained by itself: headers that take nothing are no reason to watch no request any more.
        contained("propagators", inject_unsampled, unsampled, around, headers)


def server_of(url: str) -> tuple[str | None, int | None]:
    """Return the host and port that `url` names, with the scheme's own port where it names none."""
    end = url.find("/", url.find("://") + 3)
    origin = url if end < 0 else url[:end]
    # A program asks few servers many times. What may hold a password or a token is not kept.
    return _server_of(origin) if "@" in origin or "?" in origin else _server_of_known(origin)


def _server_of(origin: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(origin)
        if "%2f" in parts.netloc.lower():
            # http+unix://%2Frun%2Fdocker.sock: the host is the path of a socket, and its case counts.
            return unquote(parts.netloc.rpartition("@")[2]), None
        return parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None, None


_server_of_known = lru_cache(maxsize=256)(_server_of)

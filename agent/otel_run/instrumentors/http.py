"""What all HTTP clients share: one CLIENT span for each request on the wire, and its attributes.

A library's file says where one request goes out and how to read it; names, attributes, status and
propagation stand here once. Source: OpenTelemetry semantic conventions, "HTTP client span" (stable),
and for the old names "HTTP" as of 1.20. Nothing here imports an HTTP library.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from opentelemetry import propagate
from opentelemetry.trace import Status, StatusCode

from otel_run import settings
from otel_run.boundary import contained
from otel_run.masking.url import is_secret, mask
from otel_run.tracing.call import HTTP, Call, is_suppressed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

    Attributes = dict[str, AttributeValue]
    Finish = Callable[[Any, "BaseException | None"], None]

DEFAULT_PORTS = {"http": 80, "https": 443}


class Answer(NamedTuple):
    """What a library tells of a response; None where it does not."""

    status: int | None
    version: str | None
    headers: Mapping[str, str]


class HttpClient:
    """One client library: its settings, compiled once, and how to read its responses."""

    def __init__(self, tracer: Tracer, excluded_urls: Iterable[str], read: Callable[[Any], Answer]) -> None:
        current = settings.current()
        self._tracer = tracer
        self._read = read
        # Each by itself: joined into one, an inline flag such as (?i) would be an error.
        self._excluded = [re.compile(pattern) for pattern in excluded_urls]
        self._methods = frozenset(current.http_known_methods)
        self._all_methods = current.http_capture_all_methods
        self._old_names = "http/dup" in current.semconv_opt_in
        self._request_headers = _ignoring_case(current.capture_client_request_headers)
        self._response_headers = _ignoring_case(current.capture_client_response_headers)
        self._masked_headers = _ignoring_case(current.sanitize_header_fields)

    def begin(self, method: str, url: str, headers: MutableMapping[str, str] | None) -> Finish | None:
        """Start the span of one request, put its context into `headers`; return what is to be called with the outcome.

        None: no span is wanted, and the request is left as it is.
        """
        # "http+unix" and "http+docker" are HTTP too; an adapter for "file" or "s3" is not.
        if is_suppressed(HTTP) or url[:4].lower() != "http":
            return None
        if any(pattern.search(url) for pattern in self._excluded):
            return None
        attributes = self._describe_request(method, url)
        if self._request_headers and headers is not None:
            attributes.update(self._capture("http.request.header.", self._request_headers, headers))
        known = attributes["http.request.method"]
        call = Call(self._tracer, "HTTP" if known == "_OTHER" else method, attributes, suppress=HTTP)
        if headers is not None:
            # Contained by itself: after the span has become current, `finish` must be returned.
            contained("propagators", propagate.inject, headers)

        def finish(response: Any, error: BaseException | None) -> None:
            self._end(call, response, error)

        return finish

    def _describe_request(self, method: str, url: str) -> Attributes:
        known = method if self._all_methods or method in self._methods else "_OTHER"
        shown = mask(url)
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

    def _end(self, call: Call, response: Any, error: BaseException | None) -> None:
        message = None
        try:
            if call.span.is_recording():
                if error is not None:
                    message = mask(str(error))
                elif response is not None:
                    self._describe_response(call, self._read(response))
        finally:
            # Whatever a strange response or exception did to us, the context must be what it was before.
            call.end(error, message)

    def _describe_response(self, call: Call, answer: Answer) -> None:
        attributes: Attributes = {}
        if answer.status is not None:
            attributes["http.response.status_code"] = answer.status
            if self._old_names:
                attributes["http.status_code"] = answer.status
            if answer.status >= 400:
                attributes["error.type"] = str(answer.status)
                # The conventions want no description: the status code says it.
                call.span.set_status(Status(StatusCode.ERROR))
        if answer.version:
            attributes["network.protocol.version"] = answer.version
            if self._old_names:
                attributes["http.flavor"] = answer.version
        if self._response_headers:
            attributes.update(self._capture("http.response.header.", self._response_headers, answer.headers))
        call.span.set_attributes(attributes)

    def _capture(self, prefix: str, wanted: list[re.Pattern[str]], headers: Mapping[str, str]) -> Attributes:
        found: dict[str, list[str]] = {}
        # httpx keeps a header that came twice apart only there.
        pairs = getattr(headers, "multi_items", headers.items)
        for name, value in pairs():
            key = _text(name).lower()
            if any(pattern.fullmatch(key) for pattern in wanted):
                found.setdefault(prefix + key, []).append(self._mask_header(key, _text(value)))
        return dict(found)

    def _mask_header(self, name: str, value: str) -> str:
        if is_secret(name, value) or any(pattern.search(name) for pattern in self._masked_headers):
            return "[REDACTED]"
        # `location` and `referer` hold URLs, with whatever URLs hold.
        return mask(value)


def _ignoring_case(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def server_of(url: str) -> tuple[str | None, int | None]:
    """Return the host and port that `url` names, with the scheme's own port where it names none."""
    try:
        parts = urlsplit(url)
        if "%2f" in parts.netloc.lower():
            # http+unix://%2Frun%2Fdocker.sock: the host is the path of a socket, and its case counts.
            return unquote(parts.netloc.rpartition("@")[2]), None
        return parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None, None

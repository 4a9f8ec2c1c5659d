"""Headers that the user asked for: the attributes that hold them, with secrets masked.

Source: OpenTelemetry semantic conventions, `http.request.header.<key>`, and the specification's variables
OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_*.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from otel_run.masking.url import is_secret_header, mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.util.types import AttributeValue

    from otel_run.settings import Settings

    Attributes = dict[str, AttributeValue]
    # What clients call headers, or names and values one by one.
    Headers = Mapping[str, str] | Iterable[tuple[object, object]]


class HeaderCapture:
    """The headers that are told, by patterns for whole names: `of_requests` and `of_responses`, empty for none."""

    def __init__(self, settings: Settings, requests: Iterable[str], responses: Iterable[str]) -> None:
        self.of_requests = _ignoring_case(requests)
        self.of_responses = _ignoring_case(responses)
        self._masked = _ignoring_case(settings.sanitize_header_fields)
        self._masks = settings.masks()

    def of_request(self, headers: Headers) -> Attributes:
        """Return the attributes of a request's headers."""
        return self._capture("http.request.header.", self.of_requests, headers)

    def of_response(self, headers: Headers) -> Attributes:
        """Return the attributes of a response's headers."""
        return self._capture("http.response.header.", self.of_responses, headers)

    def _capture(self, prefix: str, wanted: list[re.Pattern[str]], headers: Headers) -> Attributes:
        found: dict[str, list[str]] = {}
        for name, value in _pairs(headers):
            key = _text(name).lower()
            if any(pattern.fullmatch(key) for pattern in wanted):
                found.setdefault(prefix + key, []).append(self._mask(key, _text(value)))
        return dict(found)

    def _mask(self, name: str, value: str) -> str:
        if not self._masks:
            return value
        if is_secret_header(name, value) or any(pattern.search(name) for pattern in self._masked):
            return "[REDACTED]"
        # `location` and `referer` hold URLs, with whatever URLs hold.
        return mask(value)


def _pairs(headers: Any) -> Iterable[tuple[object, object]]:
    # httpx keeps a header that came twice apart only in `multi_items`.
    items = getattr(headers, "multi_items", None) or getattr(headers, "items", None)
    pairs: Iterable[tuple[object, object]] = headers if items is None else items()
    return pairs


def _ignoring_case(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]


def _text(value: object) -> str:
    # A header that was put into a prepared request may be anything; http.client sends numbers too.
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


# "Invalid header value b'Bearer ...\n'" (http.client), "Illegal header value ..." (h11): a token that was read from
# a file with the end of its line is the usual cause.
_QUOTED_VALUE = re.compile("(header value).*", re.IGNORECASE | re.DOTALL)


def mask_message(text: str) -> str:
    """Return what an error says without the secrets of URLs, nor the header that it complains of."""
    return _QUOTED_VALUE.sub(r"\1 [REDACTED]", mask(text))

"""One request on its way: the span from its begin to its headers, or to its body where the library reads that.

Below a library's call the request may go out more than once (urllib3 retries by itself). Each attempt is then a
span of its own, and what lies between two of them, the waiting, belongs to none.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from otel_run.boundary import contained
from otel_run.instrumentors import http_chain
from otel_run.instrumentors.http_silence import RequestSilence
from otel_run.tracing.call import HTTP, Call
from otel_run.tracing.entering import now
from otel_run.tracing.propagation import inject

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from opentelemetry.context import Context

    from otel_run.instrumentors.http import HttpClient
    from otel_run.instrumentors.http_headers import Attributes


class Exchange:
    """The open span of one request, and what is known of its end."""

    # Not set in __init__, since most exchanges need none of them.
    has_attempts = False  # the library tells of each time that the request goes out
    awaited: object = None  # the response whose body the library is going to read
    _peer: Any = None  # the address of the socket's other end
    _is_trying = False  # an attempt is running
    _was_tried = False  # an attempt has ended
    _answer: Any = None  # with this response,
    _error: BaseException | None = None  # or so; or reading the body did
    _at: int | None = None  # when the headers were in, or it failed

    def __init__(
        self,
        client: HttpClient,
        around: Context,
        request: object,
        target: tuple[str, str],
        name: str,
        attributes: Attributes,
        headers: MutableMapping[str, str] | None,
    ) -> None:
        """Start the span in the context `around`; `target` are the method and the URL as they are."""
        self._client = client
        self._name = name
        self._attributes = attributes
        method, url = target
        self._chain = chain = http_chain.current()
        # The chain that it is counted in: not that of a call which it is no part of.
        self._counted = counted = chain if chain is not None and chain.holds(request) else None
        self._silence = RequestSilence(method, url, request, counted)
        self._resent = counted.sent if counted is not None else 0
        if chain is not None and chain.exchange is not None:
            chain.exchange.settle(None)
        self._start(around, headers)
        if chain is not None:
            chain.exchange = self

    def _start(self, around: Context, headers: MutableMapping[str, str] | None) -> None:
        if self._counted is not None:
            self._counted.sent += 1
        if self._resent:
            self._attributes.update(dict.fromkeys(self._client.resend_names, self._resent))
        self._call = Call(
            self._client.tracer, self._name, self._attributes, suppress=HTTP, silence=self._silence, parent=around
        )
        if headers is not None:
            # Contained by itself: after the span has become current, `finish` must be returned.
            contained("propagators", inject, self._call.span, around, headers)

    @property
    def is_recording(self) -> bool:
        """Tell whether anybody will see what is told of it."""
        return self._call.span.is_recording()

    def begin_attempt(self, headers: MutableMapping[str, str] | None) -> bool:
        """Go out: the first time by the span that is open already, then by one of its own.

        False is returned if the attempt is not one of this request.
        """
        if not self.has_attempts or self.awaited is not None or self._is_trying:
            return False
        if now().get(HTTP) is not self._silence:
            return False  # asked for in between, in a context of its own, and unsampled there: it has no chain
        if self._was_tried:
            answer, error, at = self._answer, self._error, self._at
            self._answer = self._error = self._at = None
            self._was_tried = False
            self._close(answer, error, at)
            self._peer = None
            self._resent += 1
            self._start(now(), headers)
        self._is_trying = True
        return True

    def end_attempt(self, response: Any, error: BaseException | None, peer: Any) -> None:
        """Keep how an attempt ended, for the span that ends with it if there is another."""
        self._is_trying, self._was_tried = False, True
        self._answer, self._error, self._peer, self._at = response, error, peer, time_ns()

    def finish(self, response: Any, error: BaseException | None) -> None:
        """Take the outcome of the library's call: end the span, or leave it to the body."""
        body = None
        self._silence.end()
        call = self._call
        if error is None and not call.span.is_recording():
            self._end(None, None)
            return
        try:
            if error is None and response is not None:
                answer = self._client.read(response)
                # The chain has one exchange only: where tasks send one request together, the others end here.
                chain = self._chain
                if chain is not None and chain.reads_body and chain.exchange is self:
                    body = answer.body
                if body is not None:
                    self._client.describe_response(call.span, answer, self._peer)
                    self.awaited, self._error, self._peer = body, None, None
                    self._at = self._at or time_ns()
                    call.leave()
        finally:
            if body is None:
                # With an error there may be a response as well: of the last retry that was allowed.
                # Where there were attempts, with the last: a wait for the next that was interrupted is none of it.
                self._end(self._answer if error is not None else response, error, self._at)

    def end_of_body(self, _result: object, error: BaseException | None) -> None:
        """End the span with the body. Failed: keep it for the exception that the library makes of this one."""
        if self.awaited is None:
            return
        if error is None:
            # It is not current any more, and all is told.
            self._forget()
            self._call.end()
        elif self._error is None:
            self._error, self._at = error, time_ns()

    def settle(self, error: BaseException | None) -> None:
        """End the span whose body is awaited no longer: with `error` if reading it failed, else with its headers."""
        if self.awaited is not None:
            self._end(None, self._error and (error or self._error), self._at)

    def _end(self, response: Any, error: BaseException | None, at: int | None = None) -> None:
        self._forget()
        self._close(response, error, at)

    def _forget(self) -> None:
        chain = self._chain
        if chain is not None and chain.exchange is self:
            chain.exchange = None
        # Frames of the program hang on the exception.
        self.awaited = self._answer = self._error = None

    def _close(self, response: Any, error: BaseException | None, at: int | None) -> None:
        message = None
        try:
            told = response is not None or error is not None or self._peer is not None
            if told and self.is_recording:
                if response is not None:
                    self._client.describe_response(self._call.span, self._client.read(response), self._peer)
                elif self._peer is not None:
                    self._call.span.set_attributes(self._client.describe_peer(self._peer))
                if error is not None:
                    message = self._client.mask_message(str(error))
        finally:
            # Whatever a strange response or exception did to us, the context must be what it was before.
            self._call.end(error, message, at)

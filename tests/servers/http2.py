"""A small real HTTP/2 server, in cleartext with prior knowledge, for the clients that speak it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events

from servers.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def serve_http2() -> Iterator[Web]:
    """Serve cleartext HTTP/2 until the block is left: /status/N answers N, /reset resets the stream, the rest 200.

    A client must know that it is HTTP/2 (`httpx.Client(http1=False, http2=True)`).
    """
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_accept, args=(listener,), daemon=True)
    thread.start()
    try:
        yield Web("127.0.0.1", listener.getsockname()[1])
    finally:
        # Closing alone does not wake who waits in accept().
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=_converse, args=(listener.accept()[0],), daemon=True).start()


def _converse(sock: socket.socket) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    with sock, contextlib.suppress(OSError):
        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    _answer(connection, event)
            sock.sendall(connection.data_to_send())


def _answer(connection: h2.connection.H2Connection, event: h2.events.RequestReceived) -> None:
    headers = dict(event.headers)
    kind, _, rest = headers[":path"].strip("/").partition("/")
    if kind == "reset":
        connection.reset_stream(event.stream_id)
        return
    body = json.dumps({"headers": headers}).encode()
    answer = [(":status", rest if kind == "status" else "200"), ("content-type", "application/json")]
    connection.send_headers(event.stream_id, answer)
    connection.send_data(event.stream_id, body, end_stream=True)

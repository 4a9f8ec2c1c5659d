"""The service behind the application: answers every GET with the same few bytes, over kept connections."""

from __future__ import annotations

import json
import socketserver
import sys
import threading

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"value": 1.5}'


class Handler(socketserver.BaseRequestHandler):
    """Knows just enough of HTTP: requests have no bodies and come one after the other."""

    def handle(self) -> None:
        """Answer until the client hangs up."""
        waiting = b""
        while received := self.request.recv(65536):
            *requests, waiting = (waiting + received).split(b"\r\n\r\n")
            for _ in requests:
                self.request.sendall(ANSWER)


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}"}), flush=True)
        sys.stdin.read()

"""The sandbox over real HTTP, on the loopback interface."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ._transport import Answer

__all__ = ["serving"]

_HOST = "127.0.0.1"


@contextmanager
def serving(answer: Answer, port: int, clock: Callable[[], float]) -> Iterator[str]:
    """Serve in daemon threads for the length of the block; yields the base URL.

    On leaving, open connections are cut and their threads have ended.

    Args:
        port: 0 for any free one.
        clock: the time that answers name, epoch seconds.
    """
    server = _Server(answer, port, clock)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.cut_connections()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, answer: Answer, port: int, clock: Callable[[], float]) -> None:
        self.answer = answer
        self.clock = clock
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__((_HOST, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def cut_connections(self) -> None:
        """Wake the threads that wait for another request on a kept-alive connection, and let them end."""
        with self._changed:
            for connection in self._open:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout=5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a client that went away unmentioned."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # one write, hence one packet, per reply
    server: _Server

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.answer(self.command, path, query, headers, self.rfile.read(int(length)))
        if reply is None:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Date", self.date_time_string(self.server.clock()))
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - http.server's names

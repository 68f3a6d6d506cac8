"""The sandbox over real HTTP, on the loopback interface alone.

It answers only requests that were sent to a name of the loopback interface: a page of another site whose name was
pointed to 127.0.0.1 (DNS rebinding) sends its own name as `Host`, and is not answered.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from ._transport import Answer
from ._wire import Reply, text_reply

__all__ = ["loopback_names", "serving"]

_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
# With any port: a tunnel or a proxy on this machine may have another one.
_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[1-9][0-9]{0,4})?")
_LONGEST_BODY: Final = 16 * 1024 * 1024
_TRIES: Final = 20
# What a system says that has no IPv6, or none on its loopback interface.
_NO_IPV6: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


def loopback_names(url: str) -> tuple[str, ...]:
    """A served base URL under each name that it answers to; any other URL as it is."""
    parts = urlsplit(url)
    if parts.hostname != "127.0.0.1":
        return (url,)
    return tuple(f"{parts.scheme}://{name}:{parts.port}" for name in _NAMES)


@contextmanager
def serving(answer: Answer, port: int, clock: Callable[[], float]) -> Iterator[str]:
    """Serve in daemon threads for the length of the block, IPv6 included where there is any; yields the base URL.

    On leaving, open connections are cut and their threads have ended.

    Args:
        port: 0 for any free one.
        clock: the time that answers name, epoch seconds.

    Raises:
        OSError: the port is taken.
    """
    with ExitStack() as stack:
        servers = _bind(answer, port, clock)
        for server in servers:
            stack.enter_context(_running(server))
        yield f"http://127.0.0.1:{servers[0].server_address[1]}"


def _bind(answer: Answer, port: int, clock: Callable[[], float]) -> list[_Server]:
    """Servers that listen on the same port of 127.0.0.1 and, where there is IPv6, of ::1."""
    for _ in range(_TRIES - 1 if port == 0 else 0):  # a port may be free for one family only
        with suppress(OSError):
            return _bind_once(answer, 0, clock)
    return _bind_once(answer, port, clock)


def _bind_once(answer: Answer, port: int, clock: Callable[[], float]) -> list[_Server]:
    servers = [_Server(answer, "127.0.0.1", port, clock)]
    if socket.has_ipv6:
        try:
            servers.append(_IPv6Server(answer, "::1", servers[0].server_address[1], clock))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                servers[0].server_close()
                raise
    return servers


@contextmanager
def _running(server: _Server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.cut_connections()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    allow_reuse_address = os.name == "posix"  # elsewhere it lets two servers share a port

    def __init__(self, answer: Answer, host: str, port: int, clock: Callable[[], float]) -> None:
        self.answer = answer
        self.clock = clock
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server what this host is called, which may take seconds."""
        socketserver.TCPServer.server_bind(self)

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


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # one write, hence one packet, per reply
    server: _Server

    def _serve(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True  # what follows on it may be the body that was not read
            self._send(refusal)
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        reply = self.server.answer(self.command, path, query, headers, body)
        if reply is None:
            self.close_connection = True
            return
        self._send(reply)

    def _refusal(self) -> Reply | None:
        """The answer to a request that goes no further, or None."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].strip().lower()):
            text = (
                "This sandbox answers on localhost, 127.0.0.1 and [::1] only: the header Host has to name one of them."
            )
            return text_reply(text, 421)
        lengths = self.headers.get_all("Content-Length", ["0"])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1 or not lengths[0].isascii():
            return text_reply("A body is announced by one Content-Length.", 411)
        if not lengths[0].isdigit():
            return text_reply("Content-Length is no number.", 400)
        return text_reply("The body is too long.", 413) if int(lengths[0][:20]) > _LONGEST_BODY else None

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Date", self.date_time_string(self.server.clock()))
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - http.server's names

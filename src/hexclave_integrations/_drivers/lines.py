"""Connections of threads: each carries one exchange at a time, and can be ended by the thread that waits for it."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from .._base.fork import ForkAware
from .._wire.messages import Reply, Request
from .http import Body, borrowed, failed, failures, headers

if TYPE_CHECKING:
    import httpx

__all__ = ["Line", "Lines"]

# As httpx does: a connection is kept for some seconds, and not more of them than a busy server needs.
_MAX_IDLE: Final = 20
_IDLE_SECONDS: Final = 5.0


class Line:
    """An `httpx.Client` with a connection of its own.

    httpx bounds each step of an exchange, not the whole, and offers no way to end one from outside: headers that
    arrive byte by byte keep a thread and a connection for as long as the server likes. So the socket is taken from
    httpx's `trace` extension, which is called with each stream that is opened, and shut down. That ends the exchange
    at once, in its own thread, which then closes everything. Closing the socket here instead would be wrong: its
    number may be given to another connection while the thread still reads from it.

    What cannot be ended is a look-up of the host's name. Its thread ends after it.

    Args:
        client: what sends.
        epoch: the age of the pool that the line belongs to.
        is_own: whether the connections are the client's own. Those of a caller's transport may serve others too, so
            they are left to its time-outs.
    """

    def __init__(self, client: httpx.Client, epoch: int, *, is_own: bool) -> None:
        self.epoch = epoch
        self.idle_since: float = 0.0
        self._client = client
        self._extensions: dict[str, Any] = {"trace": self._note_socket} if is_own else {}
        self._socket: socket.socket | None = None
        self._is_given_up = False

    def exchange(self, request: Request, timeout: float) -> Reply:
        """Make a request.

        Args:
            timeout: for each step, and for an answer that comes in pieces, seconds.

        Raises:
            TransportError: no usable answer came.
        """
        deadline = time.monotonic() + timeout
        try:
            with self._client.stream(
                request.method,
                request.url,
                headers=headers(request),
                content=request.body,
                extensions=self._extensions,
            ) as response:
                body = Body(response, deadline)
                for chunk in response.iter_bytes():
                    body.feed(chunk)
                return body.reply()
        except failures() as error:
            raise failed(error) from None

    def give_up(self) -> None:
        """End the exchange under way, from another thread."""
        self._is_given_up = True
        self._shut_down()

    def close(self) -> None:
        """Close the connection; nothing may be under way."""
        self._client.close()

    def _note_socket(self, event: str, info: dict[str, Any]) -> None:
        find = getattr(info.get("return_value"), "get_extra_info", None)
        found = None if find is None else find("socket")
        if found is not None:
            self._socket = found
            if self._is_given_up:  # while it was connecting
                self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not the method of a TLS socket, which forgets the encryption that the other thread is using.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Lines(ForkAware):
    """The idle lines of a driver.

    Args:
        timeout: for each step of an exchange, seconds.
        transport: an httpx transport instead of real HTTP.
    """

    def __init__(self, timeout: float, transport: Any) -> None:
        self._timeout = timeout
        self._transport = transport
        self._epoch = 0
        self._idle: list[Line] = []
        self._inherited: list[list[Line]] = []
        self._closer: weakref.finalize[..., Lines] | None = None
        super().__init__()

    @functools.cached_property
    def tls(self) -> ssl.SSLContext:
        """The certificates that are trusted; to read them takes as long as a hundred requests."""
        import httpx

        return httpx.create_ssl_context()

    def reset_after_fork(self) -> None:
        super().reset_after_fork()
        # The parent's connections are left to the parent, and kept: collecting them would close and complain.
        self._inherited.append(self._idle)
        self._idle = []
        if self._closer is not None:
            self._closer.detach()
        # An application that is dropped without closing it, as tests do, leaves no open connections.
        self._closer = weakref.finalize(self, _close_all, self._idle)
        self._closer.atexit = False

    def take(self) -> Line:
        """A line for one exchange."""
        with self._lock:
            if self._idle:
                return self._idle.pop()  # the one used last: the others get old and are closed
            epoch = self._epoch
        import httpx

        if self._transport is not None:
            client = httpx.Client(transport=borrowed(self._transport), timeout=self._timeout)
        else:
            client = httpx.Client(verify=self.tls, timeout=self._timeout, follow_redirects=False)
        return Line(client, epoch, is_own=self._transport is None)

    def give_back(self, line: Line) -> None:
        """Keep the line of an exchange that ended well; close it if the lines were closed meanwhile."""
        now = time.monotonic()
        surplus = []
        with self._lock:
            if line.epoch == self._epoch:
                line.idle_since = now
                self._idle.append(line)
                while len(self._idle) > _MAX_IDLE or now - self._idle[0].idle_since > _IDLE_SECONDS:
                    surplus.append(self._idle.pop(0))
            else:
                surplus.append(line)
        _close_all(surplus)

    def close(self) -> None:
        """Close connections, those in use at the end of their exchange; a later exchange opens new ones."""
        with self._lock:
            self._epoch += 1
            idle = self._idle.copy()
            self._idle.clear()  # not replaced: `_closer` has it
        _close_all(idle)


def _close_all(lines: list[Line]) -> None:
    for line in lines:
        line.close()

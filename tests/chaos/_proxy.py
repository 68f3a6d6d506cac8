"""What stands between the applications and the sandbox: it forwards, or misbehaves as it is told."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from .._server import GARBAGE, LIMIT, Behaviour, Exchange, Server, _read_request, fixed, response
from ._phases import Phase

__all__ = ["Arrival", "Proxy"]

_FORGER: Final = "/forged-keys"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that came to the proxy: when (epoch seconds), from which process, and for what."""

    at: float
    process: str
    what: str


class Proxy(Server):
    """An HTTP proxy on 127.0.0.1, with connections that stay open while it forwards.

    Each process of the fleet names itself as the proxy's user (`environ_for`), which tells whose request it is. The
    address of the API is the same for all of them, or they would be no fleet.

    Args:
        upstream: base URL of the sandbox.
        foreign_keys: a valid key set of another project.
        forged_keys: one with which a forger signs; only a client that follows a redirect gets it.
    """

    def __init__(self, upstream: str, foreign_keys: bytes, forged_keys: bytes) -> None:
        super().__init__(self._choose)
        self._upstream = urlsplit(upstream).netloc
        self._port = self._listener.getsockname()[1]
        self._held: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._forged_keys = fixed(200, forged_keys)
        self._behaviours: Mapping[str, Behaviour] = {
            **GARBAGE,
            "another project's": fixed(200, foreign_keys),
            "redirect to a forger's": fixed(302, b"", {"location": f"{self.url}{_FORGER}"}),
            "busy": fixed(429, b"Too Many Requests", {"retry-after": "1"}),
            "busy, not saying for how long": fixed(429, b"Too Many Requests"),
            "slow": self._forward_late,
        }
        self._turns: dict[str, Iterator[str]] = {}
        self.arrivals: list[Arrival] = []

    def environ_for(self, process: str) -> dict[str, str]:
        """What makes one process use this proxy."""
        return {"HTTP_PROXY": f"http://{process}:x@127.0.0.1:{self._port}", "NO_PROXY": ""}

    def play(self, phase: Phase) -> None:
        """Do from now on what the phase says."""
        for names in (phase.keys, phase.api):
            assert set(names) <= self._behaviours.keys(), names
        with self._lock:
            self._turns = {what: itertools.cycle(n) for what, n in (("keys", phase.keys), ("api", phase.api)) if n}
        if phase.refused and self._held is None:
            self._refuse()
        elif not phase.refused and self._held is not None:
            self._listen_again()

    def _refuse(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        # Nobody else gets the port meanwhile: it is bound, and nobody listens.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", self._port))
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # it was closed at the other end
                    connection.shutdown(socket.SHUT_RDWR)

    def _listen_again(self) -> None:
        assert self._held is not None
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._held.close()
        self._held = None
        thread = threading.Thread(target=self._accept)
        self._threads.append(thread)
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client had enough
            connection.settimeout(LIMIT)
            with self._lock:
                self._open.add(connection)
            try:
                while request := _read_request(connection):
                    exchange = Exchange(self, connection, request)
                    behaviour = self._choose_for(exchange)
                    behaviour(exchange)
                    if behaviour not in (self._forward, self._forward_late):
                        return
            finally:
                with self._lock:
                    self._open.discard(connection)

    def _choose(self, exchange: Exchange) -> None:
        self._choose_for(exchange)(exchange)

    def _choose_for(self, exchange: Exchange) -> Behaviour:
        path = exchange.target.removeprefix(self.url)
        if path.startswith(_FORGER):
            return self._forged_keys
        user = base64.b64decode(exchange.headers["proxy-authorization"].removeprefix("Basic ")).decode()
        process = user.partition(":")[0]
        exchange.target = path
        what = _what(path)
        with self._lock:
            self.arrivals.append(Arrival(time.time(), process, what))
            turns = self._turns.get("keys" if what == "keys" else "api")
            name = None if turns is None else next(turns)
        return self._forward if name is None else self._behaviours[name]

    def _forward(self, exchange: Exchange) -> None:
        with contextlib.closing(http.client.HTTPConnection(self._upstream, timeout=LIMIT)) as upstream:
            headers = exchange.headers | {"host": self._upstream}  # the sandbox answers to its own name alone
            upstream.request(exchange.method, exchange.target, exchange.body or None, headers)
            answer = upstream.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            exchange.send(response(answer.status, answer.read(), headers | {"connection": "keep-alive"}))

    def _forward_late(self, exchange: Exchange) -> None:
        self.gate.wait(0.4)
        self._forward(exchange)


def _what(path: str) -> str:
    path = path.partition("?")[0]
    if path.endswith("/jwks.json"):
        return "keys"
    if "permissions" in path:
        return "permissions"
    return "API keys" if path.endswith("-api-keys/check") else "users"

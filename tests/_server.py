"""A server that misbehaves on real sockets, and one way to drive the clients of both colours."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx

from hexclave_integrations import AsyncHexclaveClient, HexclaveClient, HexclaveConfig
from hexclave_integrations._policy.state import Core
from hexclave_integrations.testing import Sandbox

LIMIT = 20.0
"""Seconds after which a test stops waiting: only a broken one gets there."""

CROWD = 40


class Clock:
    """Epoch seconds that start at the real time and pass only when told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


# --- a server -------------------------------------------------------------------------------------------------


class Exchange:
    """One request on one connection, for a behaviour to answer."""

    def __init__(self, server: Server, connection: socket.socket, request: bytes) -> None:
        self.server = server
        self.connection = connection
        head, _, self.body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)


Behaviour: TypeAlias = Callable[[Exchange], None]


class Server:
    """Takes HTTP/1.1 requests on 127.0.0.1, one a connection, and does to each what `behaviour` says.

    Args:
        behaviour: what it does first.
        tls: for HTTPS instead of HTTP.

    Attributes:
        behaviour: may be replaced at any time.
        targets: the request targets so far.
        arrived: set by the next request; clear it to wait for another.
        gate: behaviours that wait, wait for it; leaving the block opens it.
    """

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.behaviour = behaviour
        self._tls = tls
        self.targets: list[str] = []
        self.sent = 0
        self.arrived = threading.Event()
        self.gate = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
        self._listener.close()

    def count(self, part: str) -> int:
        """How many requests had `part` in their target."""
        return sum(part in target for target in list(self.targets))

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(LIMIT)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        with connection:
            try:
                request = _read_request(connection)
                if request:
                    exchange = Exchange(self, connection, request)
                    self.targets.append(exchange.target)
                    self.arrived.set()
                    self.behaviour(exchange)
            except OSError:
                pass  # the client had enough


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def response(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """An answer that ends its connection."""
    fields = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    lines = [f"{name}: {value}" for name, value in (fields | dict(headers or {})).items()]
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode() + body


def fixed(status: int, body: bytes | object, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Always the same answer; what is no bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda exchange: exchange.send(response(status, raw, headers))


def relay(sandbox: Sandbox) -> Behaviour:
    """What the sandbox answers."""
    transport: Any = sandbox.config.transport

    def behave(exchange: Exchange) -> None:
        url = f"https://sandbox.hexclave.invalid{exchange.target}"
        request = httpx.Request(exchange.method, url, headers=exchange.headers, content=exchange.body)
        answer = transport.handle_request(request)
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        exchange.send(response(answer.status_code, answer.read(), headers))

    return behave


def gated(behaviour: Behaviour) -> Behaviour:
    """The same, once the gate is open."""

    def behave(exchange: Exchange) -> None:
        exchange.server.gate.wait(LIMIT)
        behaviour(exchange)

    return behave


def hang(exchange: Exchange) -> None:
    """Nothing, for as long as the test lasts."""
    exchange.server.gate.wait(LIMIT)


def drip_body(exchange: Exchange) -> None:
    """A body that arrives one byte at a time, each in time."""
    exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not exchange.server.gate.wait(0.02):
        exchange.send(b" ")


def drip_head(exchange: Exchange) -> None:
    """Headers without an end."""
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while not exchange.server.gate.wait(0.02):
        exchange.send(b"x: y\r\n")


def close(exchange: Exchange) -> None:
    """No answer."""


def reset(exchange: Exchange) -> None:
    """A connection that breaks."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def oversized(exchange: Exchange) -> None:
    """40 MB."""
    exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n")
    for _ in range(400):
        exchange.send(b" " * 100_000)
        exchange.server.sent += 100_000


_BOMB = gzip.compress(b" " * 50_000_000)
_LOCATION = {"location": "/elsewhere"}
_OTHER_KEYS = {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "x"}, {"kty": "EC", "crv": "P-384"}, 7, None]}

GARBAGE: dict[str, Behaviour] = {
    "html": fixed(200, b"<!doctype html><title>Hi</title>", {"content-type": "text/html"}),
    "empty": fixed(200, b""),
    "no content": fixed(204, b""),
    "list": fixed(200, []),
    "no keys": fixed(200, {"keys": []}),
    "keys of other kinds": fixed(200, _OTHER_KEYS),
    "truncated JSON": fixed(200, b'{"keys":[{"kty":"EC","crv":"P-2'),
    "deep JSON": fixed(200, b'{"keys":' + b"[" * 100_000),
    "invalid UTF-8": fixed(200, b'{"keys":"\xff"}'),
    "error": fixed(500, b"Internal Server Error"),
    "not found": fixed(404, b"Project not found"),
    "rate limit": fixed(429, b"Too Many Requests", {"retry-after": "5"}),
    "redirect": fixed(302, b"", _LOCATION),
    "permanent redirect": fixed(308, b"", _LOCATION),
    "redirect to nonsense": fixed(302, b"", {"location": "http://[::1"}),
    "gzip bomb": fixed(200, _BOMB, {"content-encoding": "gzip"}),
    "unannounced gzip": fixed(200, gzip.compress(b'{"keys":[]}')),
    "body too short": lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}"),
    "junk content-length": lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}"),
    "not HTTP": lambda exchange: exchange.send(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "closed": close,
    "reset": reset,
    "40 MB": oversized,
    "hanging": hang,
    "dripping body": drip_body,
}


def settings(sandbox: Sandbox, server: Server, **changes: Any) -> HexclaveConfig:
    """The sandbox's settings, with the server in its place."""
    options: dict[str, Any] = {"http_timeout": 5, **changes}
    return replace(sandbox.config, api_url=server.url, issuer_urls=(sandbox.config.api_url,), transport=None, **options)


# --- both colours ---------------------------------------------------------------------------------------------

Call: TypeAlias = tuple[str, tuple[Any, ...]]


def wait_for_refresh() -> None:
    """Wait for refreshes on threads to end."""
    for thread in threading.enumerate():
        if thread.name == "hexclave-refresh":
            thread.join(LIMIT)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class SyncDrive:
    """Runs scenarios with `HexclaveClient`, crowds on threads."""

    is_async = False

    def __init__(self) -> None:
        self._clients: list[Any] = []

    def client(self, config: HexclaveConfig | None, **options: Any) -> Any:
        """A client that ends with the test."""
        client = HexclaveClient(config, **options)
        self._clients.append(client)
        return client

    def run(self, client: Any, method: str, *args: Any, **options: Any) -> Any:
        """Call a method."""
        return getattr(client, method)(*args, **options)

    def crowd(self, client: Any, calls: Iterable[Call]) -> list[Any]:
        """Make all calls at once; the outcomes, errors included, in their order."""
        calls = list(calls)
        outcomes: list[Any] = [TimeoutError()] * len(calls)
        barrier = threading.Barrier(len(calls))

        def work(index: int, method: str, args: tuple[Any, ...]) -> None:
            barrier.wait(LIMIT)
            try:
                outcomes[index] = getattr(client, method)(*args)
            except Exception as error:  # noqa: BLE001  # the outcome, for the test to judge
                outcomes[index] = error

        threads = [threading.Thread(target=work, args=(index, *call), daemon=True) for index, call in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        return outcomes

    def end(self) -> None:
        wait_for_refresh()
        for client in self._clients:
            client.close()


class AsyncDrive:
    """Runs scenarios with `AsyncHexclaveClient` on one event loop, crowds as tasks."""

    is_async = True

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._clients: list[Any] = []

    def client(self, config: HexclaveConfig | None, **options: Any) -> Any:
        """A client that ends with the test."""
        client = AsyncHexclaveClient(config, **options)
        self._runner.run(client.__aenter__())
        self._clients.append(client)
        return client

    def run(self, client: Any, method: str, *args: Any, **options: Any) -> Any:
        """Call a method."""

        async def work() -> Any:
            async with asyncio.timeout(LIMIT):
                return await getattr(client, method)(*args, **options)

        return self._runner.run(work())

    def crowd(self, client: Any, calls: Iterable[Call]) -> list[Any]:
        """Make all calls at once; the outcomes, errors included, in their order."""

        async def work() -> list[Any]:
            async with asyncio.timeout(LIMIT):
                pending = [getattr(client, method)(*args) for method, args in calls]
                return await asyncio.gather(*pending, return_exceptions=True)

        return self._runner.run(work())

    def end(self) -> None:
        wait_for_refresh()
        while self._clients:
            self._runner.run(self._clients.pop().close())
        self._runner.close()


Drive: TypeAlias = SyncDrive | AsyncDrive


def core_of(client: HexclaveClient | AsyncHexclaveClient) -> Core:
    """The state behind a client: where tests look at what is remembered."""
    return client._core


DRIVES = [SyncDrive, AsyncDrive]
DRIVE_IDS = ["sync", "async"]


def error_of(drive: Drive, client: Any, method: str, *args: Any, **options: Any) -> Exception | None:
    """The error a call ends with, or None."""
    try:
        drive.run(client, method, *args, **options)
    except Exception as error:  # noqa: BLE001  # the outcome, for the test to judge
        return error
    return None

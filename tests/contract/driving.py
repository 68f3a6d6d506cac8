"""Drive an application by its protocol alone, ASGI or WSGI: no test client that would be kinder than a server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from wsgiref.util import setup_testing_defaults

__all__ = ["AsgiServer", "Garbage", "Reply", "Server", "StartRefused", "WsgiServer", "listening"]

LIMIT = 20.0
"""Seconds after which an application that does not answer fails its test."""

Headers = Mapping[str, str]


class StartRefused(Exception):
    """The application said that it cannot start."""


@dataclass(frozen=True)
class Reply:
    """What came back: the headers by lower-case name, repeated ones joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Reply:
        joined: dict[str, str] = {}
        for name, value in headers:
            lowered = name.lower()
            joined[lowered] = f"{joined[lowered]}, {value}" if lowered in joined else value
        return cls(status, joined, body)


class Garbage(NamedTuple):
    """What a request leaves to the garbage collector, as a mean.

    Attributes:
        objects: all objects that it frees.
        in_cycles: those of them that keep themselves alive; the rest only hangs from them.
    """

    objects: float
    in_cycles: float


class Server:
    """An application, and a way to send it requests.

    Args:
        app: the application.
        begin: what a deployment runs before it starts; raises what stops it.
    """

    def __init__(self, app: Any, begin: Callable[[], None] = lambda: None) -> None:
        self.app = app
        self._begin = begin

    def __enter__(self) -> Self:
        """Start the application.

        Raises:
            StartRefused: it says that it cannot.
            ConfigurationError: the same, as an exception.
        """
        self._begin()
        return self

    def __exit__(self, *error: object) -> None:
        """End it."""

    def send(self, method: str, path: str, headers: Headers = {}, body: Iterable[bytes] = ()) -> Reply:  # noqa: B006
        """One request; a chunk of the body is taken when the application asks for it.

        A WSGI application learns the length of a list of chunks. Of others it learns what the header says.
        """
        raise NotImplementedError

    def garbage(self, path: str, headers: Headers, number: int) -> Garbage:
        """What a GET leaves to the garbage collector, as the mean of so many."""
        raise NotImplementedError


class AsgiServer(Server):
    """An ASGI application on an event loop of its own."""

    def __init__(self, app: Any, begin: Callable[[], None] = lambda: None) -> None:
        super().__init__(app, begin)
        self._runner = asyncio.Runner()
        self._to_lifespan: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_lifespan: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._lifespan: asyncio.Task[None] | None = None
        self._is_ended = False

    def __enter__(self) -> Self:
        try:
            super().__enter__()
            self._runner.run(self._start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop()
        finally:
            self._runner.close()

    async def _start(self) -> None:
        self._lifespan = asyncio.create_task(self._live())
        self._to_lifespan.put_nowait({"type": "lifespan.startup"})
        answer = await self._answer_of_lifespan()
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            raise StartRefused(answer.get("message", ""))

    def stop(self) -> None:
        """End the application's lifespan; the event loop stays, as a server's may."""
        self._runner.run(self._stop())

    async def _stop(self) -> None:
        if self._lifespan is not None and not self._lifespan.done() and not self._is_ended:
            self._to_lifespan.put_nowait({"type": "lifespan.shutdown"})
            await self._answer_of_lifespan()
        self._is_ended = True

    async def _live(self) -> None:
        # As a server does: an application that raises has no lifespan, and is served all the same.
        with contextlib.suppress(Exception):
            await self.app(
                {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}},
                self._to_lifespan.get,
                self._from_lifespan.put,
            )

    async def _answer_of_lifespan(self) -> dict[str, Any] | None:
        assert self._lifespan is not None
        answer = asyncio.create_task(self._from_lifespan.get())
        async with asyncio.timeout(LIMIT):
            await asyncio.wait({answer, self._lifespan}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return None

    def send(self, method: str, path: str, headers: Headers = {}, body: Iterable[bytes] = ()) -> Reply:  # noqa: B006
        return self._runner.run(self._request(method, path, headers, body))

    async def _request(self, method: str, path: str, headers: Headers, body: Iterable[bytes] = ()) -> Reply:
        chunks, is_sent = iter(body), False
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            nonlocal is_sent
            if is_sent:
                await asyncio.get_running_loop().create_future()  # the client stays, and says nothing more
            chunk = next(chunks, None)
            is_sent = chunk is None
            return {"type": "http.request", "body": chunk or b"", "more_body": not is_sent}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        async with asyncio.timeout(LIMIT):
            await self.app(_scope("http", path, headers, method=method, scheme="http"), receive, send)
        return _reply(said)

    def connect(self, path: str, headers: Headers = {}, *, can_deny: bool = False) -> list[dict[str, Any]]:  # noqa: B006
        """Open a websocket; returns what the application said.

        Args:
            can_deny: whether the server offers the extension for denials.
        """
        extensions: dict[str, Any] = {"websocket.http.response": {}} if can_deny else {}
        scope = _scope("websocket", path, headers, scheme="ws", subprotocols=[], extensions=extensions)
        heard: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return heard.pop() if heard else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        async def run() -> None:
            async with asyncio.timeout(LIMIT):
                await self.app(scope, receive, send)

        self._runner.run(run())
        return said

    def garbage(self, path: str, headers: Headers, number: int) -> Garbage:
        async def several(times: int) -> None:
            for _ in range(times):
                await self._request("GET", path, headers)

        return _garbage(lambda times: self._runner.run(several(times)), number)


def denial(said: list[dict[str, Any]]) -> Reply:
    """The answer to a websocket that was denied with the extension."""
    return _reply([{**message, "type": message["type"].replace("websocket.http", "http")} for message in said])


class WsgiServer(Server):
    """A WSGI application."""

    def send(self, method: str, path: str, headers: Headers = {}, body: Iterable[bytes] = ()) -> Reply:  # noqa: B006
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path}
        setup_testing_defaults(environ)
        if isinstance(body, list):
            environ["CONTENT_LENGTH"] = str(sum(map(len, body)))
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
        environ["wsgi.input"] = _Stream(iter(body))
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [(status, headers)]

        answer = self.app(environ, start_response)
        try:
            content = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        ((status, fields),) = started
        return Reply.of(int(status[:3]), fields, content)

    def garbage(self, path: str, headers: Headers, number: int) -> Garbage:
        def several(times: int) -> None:
            for _ in range(times):
                self.send("GET", path, headers)

        return _garbage(several, number)


class _Stream(io.RawIOBase):
    """`wsgi.input` that takes a chunk when it is read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        number = min(len(buffer), len(self._rest))
        buffer[:number], self._rest = self._rest[:number], self._rest[number:]
        return number


def _scope(kind: str, path: str, headers: Headers, **more: Any) -> dict[str, Any]:
    lowered = {"host": "testserver"} | {name.lower(): value for name, value in headers.items()}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lowered.items()]
    place = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "state": {}}
    peers = {"client": ("127.0.0.1", 40000), "server": ("testserver", 80)}
    base = {"type": kind, "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"}
    return {**base, **place, **peers, "headers": raw, **more}


def _reply(said: list[dict[str, Any]]) -> Reply:
    head, *rest = said
    assert head["type"] == "http.response.start"
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.get("headers", ())]
    return Reply.of(head["status"], fields, b"".join(message.get("body", b"") for message in rest))


def _garbage(run: Callable[[int], None], number: int) -> Garbage:
    def left_by(times: int) -> tuple[int, int]:
        while gc.collect():  # what has a finalizer needs several rounds
            pass
        gc.set_debug(gc.DEBUG_SAVEALL)  # what is found is kept in `gc.garbage`
        try:
            run(times)
            gc.collect()
            return len(gc.garbage), _number_in_cycles(gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    logging.disable()  # pytest keeps what is logged, and Django's records of refusals hold their requests
    try:
        run(3)  # what is made once
        gc.disable()
        gc.freeze()  # what is there already need not be looked through again
        fixed = left_by(0)  # of an event loop, for instance
        return Garbage(*((left - without) / number for left, without in zip(left_by(number), fixed, strict=True)))
    finally:
        gc.unfreeze()
        gc.enable()
        logging.disable(logging.NOTSET)


def _number_in_cycles(objects: list[Any]) -> int:
    """How many objects refer to themselves, directly or through others; one between two such objects counts too."""
    known = {id(one) for one in objects}
    referred = {id(one): known.intersection(map(id, gc.get_referents(one))) for one in objects}
    while ends := [one for one, others in referred.items() if not others & referred.keys()]:
        for one in ends:
            del referred[one]
    attributes = set()  # do not count: CPython makes this dictionary for some instances, and for some it does not
    for one in objects:
        with contextlib.suppress(AttributeError):
            attributes.add(id(object.__getattribute__(one, "__dict__")))
    return len(referred.keys() - attributes)


class _Notes(logging.Handler):
    """Keeps the texts of what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """The texts that the kit logs, at any level, by its own handler: Litestar replaces the root logger."""
    logger, notes = logging.getLogger("hexclave_integrations"), _Notes()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(notes)
    try:
        yield notes.texts
    finally:
        logger.removeHandler(notes)
        logger.setLevel(level)

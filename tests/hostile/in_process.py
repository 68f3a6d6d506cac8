"""Applications called in this process, with a request as it stands on the wire: no test client smooths it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote, unquote_to_bytes

__all__ = ["Answer", "Pairs", "call_asgi", "call_websocket", "call_wsgi"]

Pairs: TypeAlias = list[tuple[str, str]]
"""Header names in lower case with their values, repeats allowed."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: 101 for a websocket that was accepted.
        text: headers and body.
        body: by itself; of a websocket the first message.
    """

    status: int
    text: str
    body: str


async def call_asgi(app: Any, method: str, target: str, headers: Pairs, body: bytes = b"") -> Answer:
    """One request, in a scope as uvicorn makes it."""
    status, lines, parts, is_read = 0, list[bytes](), list[bytes](), False

    async def receive() -> dict[str, Any]:
        nonlocal is_read
        if is_read:
            await asyncio.Event().wait()  # nobody hangs up
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            lines.extend(b": ".join(pair) for pair in message["headers"])
        else:
            parts.append(message.get("body", b""))

    await app({**_scope("http", target, headers), "method": method}, receive, send)
    return _answer(status, lines, parts)


async def call_websocket(app: Any, target: str, headers: Pairs) -> Answer:
    """A handshake, and the first message after it."""
    offered = [name.strip() for key, value in headers if key == "sec-websocket-protocol" for name in value.split(",")]
    scope = _scope("websocket", target, headers) | {"scheme": "ws", "subprotocols": offered}
    status, parts = 0, list[bytes]()
    events = iter([{"type": "websocket.connect"}])

    async def receive() -> dict[str, Any]:
        return next(events, {"type": "websocket.disconnect", "code": 1000})

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "websocket.accept":
            status = 101
        elif message["type"] == "websocket.send":
            parts.append(message["text"].encode())
        elif message["type"] == "websocket.close" and not status:
            status = 403  # what a server makes of it
            parts.append(message.get("reason", "").encode())

    await app(scope, receive, send)
    return _answer(status, [], parts)


def call_wsgi(app: Any, method: str, target: str, headers: Pairs, body: bytes = b"") -> Answer:
    """One request, in an environ as gunicorn makes it."""
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "test",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers:
        variable = name.upper().replace("-", "_")
        variable = variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"
        separator = "; " if variable == "HTTP_COOKIE" else ","
        environ[variable] = f"{environ[variable]}{separator}{value}" if variable in environ else value
    status, lines = 0, list[bytes]()

    def start_response(line: str, headers: Iterable[tuple[str, str]], error: Any = None) -> Any:
        nonlocal status
        status = int(line.split(" ")[0])
        lines.extend(f"{name}: {value}".encode("latin-1") for name, value in headers)

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)  # a generator calls start_response with its first part
        return _answer(status, lines, [body])
    finally:
        if hasattr(parts, "close"):
            parts.close()


def _scope(kind: str, target: str, headers: Pairs) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"test"), *((name.encode(), value.encode("latin-1")) for name, value in headers)],
        "client": ("127.0.0.1", 1234),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def _answer(status: int, lines: list[bytes], parts: Iterable[bytes]) -> Answer:
    body = b"".join(parts)
    return Answer(status, b"\n".join([*lines, body]).decode("latin-1"), body.decode("latin-1"))

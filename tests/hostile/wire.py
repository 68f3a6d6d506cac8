"""Requests as bytes on a socket, what came back, and whether any of what was sent is in what came back."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .cast import EXPIRED, INVALID, NOBODY, OTHER_PROJECT, USER

__all__ = ["Answer", "exchange", "leaks", "request"]

_PATIENCE: Final = 10.0
_LINGER: Final = 0.1
_SLICE: Final = 12
_CHALLENGES: Final = {
    NOBODY: 'Bearer realm="hexclave"',
    INVALID: 'Bearer realm="hexclave", error="invalid_token"',
    EXPIRED: 'Bearer realm="hexclave", error="invalid_token"',
    OTHER_PROJECT: 'Bearer realm="hexclave", error="invalid_token"',
}
_SERVER_REFUSALS: Final = {400, 404, 405, 408, 411, 413, 414, 417, 431, 501, 505}


@dataclass(frozen=True)
class Answer:
    """All that came back on one connection.

    Attributes:
        raw: the bytes.
        seconds: from the last byte sent to the first byte received.
        is_head: whether the request was a HEAD, so that there is no body.
    """

    raw: bytes
    seconds: float
    is_head: bool

    def verdicts(self) -> list[str]:
        """What each response on the connection says.

        `genuine` is the honest user, `switched` the same on a websocket, a code our refusal with everything that
        belongs to it, `server` a refusal of the server before the application, a closed connection included. Anything
        else is told in full.
        """
        if not self.raw:
            return ["server"]
        starts = [found.start() for found in re.finditer(rb"HTTP/1\.\d \d\d\d", self.raw)]
        if not starts and b"Error response" in self.raw:  # http.server, to whom it takes for HTTP/0.9
            return ["server"]
        if not starts:
            return [f"not HTTP: {self.raw[:80]!r}"]
        pieces = [self.raw[start:end] for start, end in zip(starts, [*starts[1:], len(self.raw)], strict=True)]
        return [self._verdict(piece) for piece in pieces]

    def _verdict(self, piece: bytes) -> str:
        top, _, body = piece.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if headers.get("transfer-encoding") == "chunked":
            body = re.sub(rb"(?:^|\r\n)[0-9a-fA-F]+\r\n", b"", body).removesuffix(b"\r\n")
        if status == 401:
            return self._refusal(headers, body)
        if status == 200:
            expected = b"" if self.is_head else b'{"id":"%s"}' % USER.encode()
            return "genuine" if body.replace(b" ", b"").rstrip(b"\n") == expected else f"200 {body[:80]!r}"
        if status == 101:
            return "switched" if b'{"id":"%s"}' % USER.encode() in body.replace(b" ", b"") else f"101 {body[:80]!r}"
        if status == 500 and body.startswith(b"Failed to open a WebSocket connection"):
            return "server"  # the websockets library, which stumbles over 8-bit headers before any application
        return "server" if status in _SERVER_REFUSALS else f"{status} {body[:80]!r}"

    def _refusal(self, headers: dict[str, str], body: bytes) -> str:
        challenge = headers.get("www-authenticate", "")
        if self.is_head:
            code = next((code for code, text in _CHALLENGES.items() if text == challenge), None) if not body else None
        else:
            said = json.loads(body)
            code = said["code"] if said.keys() == {"code", "error"} else None
        if code is None or _CHALLENGES.get(code) != challenge:
            return f"401 {challenge} {body[:80]!r}"
        if headers.get("cache-control") != "private, no-store" or headers.get("content-type") != "application/json":
            return f"401 without its headers: {headers}"
        return str(code)


def request(
    *lines: bytes,
    method: bytes = b"GET",
    target: bytes = b"/me",
    version: bytes = b"HTTP/1.1",
    body: bytes = b"",
    close: bool = True,
) -> bytes:
    """A request with these header lines as they are."""
    # Last, so that no line before it is bent into it.
    end = [b"Connection: close"] if close else []
    return b"\r\n".join([b" ".join([method, target, version]), b"Host: test", *lines, *end, b"", body])


def exchange(port: int, data: bytes) -> Answer:
    """Send bytes on a connection of their own, and read what the server has to say."""
    raw, first = b"", 0.0
    head = data.partition(b"\r\n\r\n")[0]
    is_head, closes = data.startswith(b"HEAD "), b"Connection: close" in head
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = time.perf_counter()
        try:
            connection.sendall(data)
            sent = time.perf_counter()
            while chunk := connection.recv(65536):
                first = first or time.perf_counter()
                raw += chunk
                if closes and _is_whole(raw, is_head=is_head):
                    break
                # A server that was not told to close may wait for more, or have another answer under way.
                connection.settimeout(_PATIENCE if closes else _LINGER)
        except TimeoutError:
            if not raw:
                return Answer(b"HTTP/1.1 000 nothing came\r\n\r\n", _PATIENCE, is_head)
        except OSError:
            pass  # refused in the middle of it: what was read until then is the answer
    return Answer(raw, (first or time.perf_counter()) - sent, is_head)


def _is_whole(raw: bytes, *, is_head: bool) -> bool:
    top, end, body = raw.partition(b"\r\n\r\n")
    if not end or is_head:
        return bool(end)
    length = re.search(rb"\r\ncontent-length: *(\d+)", top, re.IGNORECASE)
    return len(body) >= int(length[1]) if length else body.endswith(b"\r\n0\r\n\r\n")


def leaks(sent: Iterable[str], said: str) -> set[str]:
    """The credentials of which 12 characters in a row are in what a server said.

    Args:
        sent: the credentials; of a compact token the public header is left out.
        said: responses or logs.
    """
    lines = set(said.splitlines())
    slices = {line[start : start + _SLICE] for line in lines for start in range(len(line) - _SLICE + 1)}
    found = set()
    for text in set(sent):
        secret = text.split(".", 1)[1] if text.count(".") == 2 else text
        if any(secret[start : start + _SLICE] in slices for start in range(min(len(secret), 20_000) - _SLICE + 1)):
            found.add(text)
    return found

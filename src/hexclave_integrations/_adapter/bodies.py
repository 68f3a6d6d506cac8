"""The body of a delivery: how long it says that it is, and as much of it as may be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

__all__ = ["Readable", "is_short", "read_body"]


class Readable(Protocol):
    """What Starlette's and Litestar's requests have in common."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def body(self) -> bytes: ...

    def stream(self) -> AsyncIterator[bytes]: ...


def is_short(content_length: str | None, limit: int) -> bool:
    """Whether a body declares a length up to a limit: servers hand over no more than was declared.

    Args:
        content_length: the header, None without one.
        limit: in bytes.
    """
    text = content_length or ""
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= limit


async def read_body(request: Readable, limit: int) -> bytes:
    """The body, or enough of it to show that it is longer than it may be.

    Args:
        request: whose body it is.
        limit: in bytes.

    Raises:
        Exception: the framework's own, where the sender has gone.
    """
    if is_short(request.headers.get("content-length"), limit):
        return await request.body()  # which is kept for whoever reads it afterwards
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)

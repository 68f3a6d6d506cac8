"""How a request ended, as the messages of an ASGI application tell it: what decides whether it has to be paid for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from .._policy.attempt import Attempt
from ..client import AsyncHexclaveClient

__all__ = ["Ending", "is_last", "status_after"]

M = TypeVar("M", bound=Mapping[str, Any])

_STARTS = ("http.response.start", "websocket.http.response.start")
_BODIES = ("http.response.body", "websocket.http.response.body")
_INTERNAL_ERROR = 1011  # RFC 6455 section 7.4.1
_STATUS_5XX = range(4500, 4600)


def status_after(message: Mapping[str, Any], before: int | None, attempt: Attempt) -> int | None:
    """The status of the answer, once a message has told it; None before.

    A websocket counts as served when it is accepted, whatever happens on it afterwards. One that is closed before that
    counts as refused with 403, or as failed where the code says so: 1011, or the 4500 and up in which Litestar writes a
    status. One that is accepted after a refusal is accepted only so that it can be closed with a code.

    Args:
        message: what the application sends.
        before: what was known so far.
        attempt: whose request it is.
    """
    kind = message["type"]
    if before is not None:
        return before
    if kind in _STARTS:
        status: int = message["status"]
        return status
    if kind == "websocket.accept":
        return 403 if attempt.was_refused else 101
    if kind != "websocket.close":
        return None
    code = message.get("code", 1000)
    return 500 if code == _INTERNAL_ERROR or code in _STATUS_5XX else 403


def is_last(message: Mapping[str, Any]) -> bool:
    """Whether a message ends an answer, or the part of a websocket that decides."""
    kind = message["type"]
    if kind in _BODIES:
        return not message.get("more_body", False)
    return kind in ("websocket.accept", "websocket.close")


class Ending:
    """Sees how one request ends, and says so.

    It is asked only where `attempt.spending` is not None, for most requests spend nothing.

    Args:
        client: is told.
        attempt: whose request it is.
    """

    __slots__ = ("_attempt", "_client", "_status")

    def __init__(self, client: AsyncHexclaveClient, attempt: Attempt) -> None:
        self._client = client
        self._attempt = attempt
        self._status: int | None = None

    async def forward(self, message: M, send: Callable[[M], Awaitable[None]]) -> None:
        """Send a message of the application, and conclude with the last one: before background work begins.

        Args:
            message: what the application sends.
            send: sends it.
        """
        self._status = status_after(message, self._status, self._attempt)
        await send(message)
        if is_last(message):
            await self._client.conclude(self._attempt, self._status)

    async def conclude(self) -> None:
        """The application has returned, or raised: what was spent for no answer is given back."""
        await self._client.conclude(self._attempt, self._status)

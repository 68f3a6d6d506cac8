"""HTTP as both drivers do it: what is sent, what is read of an answer, and when an answer is given up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .. import _reasons as reasons
from .._wire.messages import Reply, Request, TransportError

if TYPE_CHECKING:
    import httpx

__all__ = ["MAX_BODY", "Body", "borrowed", "failed", "failures", "headers"]

MAX_BODY: Final = 1024 * 1024


class Body:
    """Collects an answer and gives up on one that is too large, too slow or encoded against our wish."""

    def __init__(self, response: httpx.Response, deadline: float) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise TransportError("an encoded answer", reasons.UNUSABLE_TRANSFER)
        self._data = bytearray()
        self._deadline = deadline
        self._response = response

    def feed(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > MAX_BODY:
            raise TransportError("too much data", reasons.UNUSABLE_TRANSFER)
        if time.monotonic() > self._deadline:
            raise TransportError("too slow", reasons.TIMED_OUT)

    def reply(self) -> Reply:
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Reply(self._response.status_code, headers, bytes(self._data))


def headers(request: Request) -> Mapping[str, str]:
    """The headers to send: without compression the size limit is one on what arrives."""
    return {**request.headers, "accept-encoding": "identity"}


def failures() -> tuple[type[Exception], ...]:
    """What httpx and transports raise for the network's sake; `TimeoutError` is an `OSError`."""
    import httpx

    return httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError


def failed(error: Exception) -> TransportError:
    """What a flow is told of one of `failures`: its name alone, since its text may hold a URL with ids."""
    import httpx

    is_timeout = isinstance(error, httpx.TimeoutException | TimeoutError)
    return TransportError(type(error).__name__, reasons.TIMED_OUT if is_timeout else reasons.NO_ANSWER)


def borrowed(transport: Any) -> Any:
    """An httpx transport that sends through another one and never closes it."""
    import httpx

    class Borrowed(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response: httpx.Response = transport.handle_request(request)
            return response

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response: httpx.Response = await transport.handle_async_request(request)
            return response

    return Borrowed()

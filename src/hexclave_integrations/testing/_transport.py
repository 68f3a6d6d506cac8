"""The way into a sandbox without a socket: an httpx transport, sync and async."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping

import httpx

from ._wire import Reply

__all__ = ["Answer", "SandboxTransport"]

# (method, path, query, headers with lower-case names, body) -> the reply, or None for no answer.
Answer = Callable[[str, str, str, Mapping[str, str], bytes], Reply | None]


class SandboxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Hands requests to a function. Whatever host they name, they reach this sandbox."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._told: list[weakref.WeakMethod[Callable[[], None]]] = []

    def on_change(self, forget: Callable[[], None]) -> None:
        """Let a client know of changes as long as it lives.

        Args:
            forget: a method of what the client remembers with.
        """
        self._told.append(weakref.WeakMethod(forget))

    def tell_clients(self) -> None:
        """Let every client forget what it was answered."""
        self._told = [reference for reference in self._told if reference() is not None]
        for forget in filter(None, (reference() for reference in self._told)):
            forget()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request.

        Raises:
            httpx.ConnectError: the sandbox gives no answer.
        """
        return self._respond(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request; raises as `handle_request` does."""
        return self._respond(request, await request.aread())

    def _respond(self, request: httpx.Request, body: bytes) -> httpx.Response:
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        reply = self._answer(request.method, path, query, dict(request.headers), body)
        if reply is None:
            raise httpx.ConnectError("The sandbox is out of order.", request=request)
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body, request=request)

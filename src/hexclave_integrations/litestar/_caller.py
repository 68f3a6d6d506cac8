"""Who makes this request, kept in its ASGI scope; and what goes out because of it: cache headers, denied websockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from .._adapter.cache_headers import HeaderGuard
from .._adapter.outcome import is_last, status_after
from .._token.find import read_cookies
from ..client import AsyncHexclaveClient
from ..errors import ConfigurationError, RequestRefused, Unavailable

__all__ = ["SCOPE_KEY", "Caller", "CallerMiddleware", "caller_of"]

SCOPE_KEY: Final = "hexclave_integrations.caller"


class Caller:
    """The caller of one request or websocket.

    Attributes:
        client: verifies and authorizes.
        attempt: the credentials, and what came of them.
        refusal: what a guard said to a websocket, which the framework would close with a code of its own.
    """

    __slots__ = ("attempt", "client", "refusal")

    def __init__(self, client: AsyncHexclaveClient, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.client = client
        self.attempt = client.attempt(headers, lambda: _cookies(headers))
        self.refusal: RequestRefused | None = None


def _cookies(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    return read_cookies(value.decode("latin-1") for name, value in headers if name == b"cookie")


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """The caller that the plugin's middleware put into the scope.

    Raises:
        ConfigurationError: the application has no `HexclavePlugin`.
    """
    caller: Any = connection.scope.get(SCOPE_KEY)
    if not isinstance(caller, Caller):
        raise ConfigurationError("A requirement is used without Hexclave: Litestar(plugins=[HexclavePlugin()]).")
    return caller


class CallerMiddleware:
    """Gives each request its caller; guards caches where the answer depends on them.

    Args:
        app: the rest of the application.
        client: verifies and authorizes.
    """

    def __init__(self, app: ASGIApp, client: AsyncHexclaveClient) -> None:
        self._app = app
        self._client = client
        self._guard_caches = HeaderGuard(client.config, bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = Caller(self._client, scope["headers"])
        scope[SCOPE_KEY] = caller  # type: ignore[typeddict-unknown-key]  # a scope is open to what middleware adds
        is_accepted, attempt = False, caller.attempt
        status: int | None = None

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if attempt.spending is None:
                await answer(message)
                return
            status = status_after(message, status, attempt)
            await answer(message)
            if is_last(message):  # before background work begins
                await caller.client.conclude(attempt, status)

        async def answer(message: Message) -> None:
            nonlocal is_accepted
            if message["type"] == "websocket.accept":
                is_accepted = True
            if message["type"] == "http.response.start" and caller.attempt.asked:
                headers = self._guard_caches(message["headers"])
                await send({**message, "headers": headers})
            elif message["type"] == "websocket.close" and caller.refusal is not None:
                can_deny = not is_accepted and "websocket.http.response" in (scope.get("extensions") or {})
                for refused in self._refuse_websocket(caller.refusal, can_deny=can_deny):
                    await send(refused)
            else:
                await send(message)

        try:
            await self._app(scope, receive, guarded_send)
        finally:
            if attempt.spending is not None:
                await caller.client.conclude(attempt, status)

    def _refuse_websocket(self, error: RequestRefused, *, can_deny: bool) -> Iterator[Any]:
        """An answer as over HTTP where the server can send one, else a close with the code that browsers see."""
        if can_deny:
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers()]
            headers = self._guard_caches(raw)
            yield {"type": "websocket.http.response.start", "status": error.status, "headers": headers}
            yield {"type": "websocket.http.response.body", "body": error.body()}
        else:
            # 1008 policy violation, 1013 try again later (RFC 6455 section 7.4 and its registry)
            code = 1013 if isinstance(error, Unavailable) else 1008
            yield {"type": "websocket.close", "code": code, "reason": error.code}

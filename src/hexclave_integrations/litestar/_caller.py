"""Who makes this request, kept in its ASGI scope; and what goes out because of it: cache headers, denied websockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from .._adapter.cache_headers import HeaderGuard
from .._adapter.close_codes import close_code
from .._adapter.outcome import Ending
from .._token.find import read_cookies
from ..client import AsyncHexclaveClient
from ..errors import ConfigurationError, RequestRefused

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

    def __init__(self, client: AsyncHexclaveClient, scope: Scope) -> None:
        self.client = client
        headers = scope["headers"]
        method: Any = scope.get("method")  # None for a websocket
        self.attempt = client.attempt(headers, lambda: _cookies(headers), method, is_websocket=method is None)
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


class Installed(Protocol):
    """What the middleware needs of the plugin."""

    has_close_codes: bool

    @property
    def client(self) -> AsyncHexclaveClient: ...


class CallerMiddleware:
    """Gives each request its caller; guards caches where the answer depends on them.

    Args:
        app: the rest of the application.
        plugin: gives the client that verifies and authorizes.
    """

    def __init__(self, app: ASGIApp, plugin: Installed) -> None:
        self._app = app
        self._plugin = plugin
        self._client: AsyncHexclaveClient | None = None
        self._guard_caches: HeaderGuard[bytes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._plugin.client
        if client is not self._client:
            self._client, self._guard_caches = client, HeaderGuard(client.config, bytes)
        caller = Caller(client, scope)
        scope[SCOPE_KEY] = caller  # type: ignore[typeddict-unknown-key]  # a scope is open to what middleware adds
        is_accepted, attempt = False, caller.attempt
        ending = Ending(client, attempt)

        async def guarded_send(message: Message) -> None:
            if attempt.spending is None:
                await answer(message)
            else:
                await ending.forward(message, answer)

        async def answer(message: Message) -> None:
            nonlocal is_accepted
            if message["type"] == "websocket.accept":
                is_accepted = True
            if message["type"] == "http.response.start" and caller.attempt.asked:
                headers = self._guard_caches(message["headers"])
                await send({**message, "headers": headers})
            elif message["type"] == "websocket.close" and caller.refusal is not None:
                can_deny = "websocket.http.response" in (scope.get("extensions") or {})
                offered: Any = None if is_accepted else scope.get("subprotocols", [])
                for refused in self._refuse_websocket(caller.refusal, offered, can_deny=can_deny):
                    await send(refused)
            else:
                await send(message)

        try:
            await self._app(scope, receive, guarded_send)
        finally:
            if attempt.spending is not None:
                await ending.conclude()

    def _refuse_websocket(
        self, error: RequestRefused, offered: Sequence[str] | None, *, can_deny: bool
    ) -> Iterator[Any]:
        """An answer as over HTTP where the server can send one, else a close with a code.

        Args:
            error: the refusal.
            offered: the subprotocols that the client offers; None where the websocket was accepted.
            can_deny: whether the server can send an answer.
        """
        if self._plugin.has_close_codes:
            if offered is not None:
                # A browser drops a connection that selects none of the subprotocols it offered.
                yield {"type": "websocket.accept", "subprotocol": next(iter(offered), None), "headers": []}
            yield {"type": "websocket.close", "code": close_code(error, is_readable=True), "reason": error.code}
        elif can_deny and offered is not None:
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers()]
            headers = self._guard_caches(raw)
            yield {"type": "websocket.http.response.start", "status": error.status, "headers": headers}
            yield {"type": "websocket.http.response.body", "body": error.body()}
        else:
            yield {"type": "websocket.close", "code": close_code(error), "reason": error.code}

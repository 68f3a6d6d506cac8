"""The ASGI middleware: puts the caller into the scope, guards caches, and lives with the application's lifespan."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .._adapter.client_source import ALREADY_INSTALLED, ClientSource
from .._adapter.default import check_default_settings
from .._adapter.outcome import Ending
from ..client import AsyncHexclaveClient
from ..errors import ConfigurationError, RequestRefused
from ..requirements import Requirement
from .caches import CacheGuard
from .caller import SCOPE_KEY, SUBPROTOCOL, Caller, refuse
from .default import arm, ask_default, router_behind
from .lazy_user import show_user
from .private import NAMES
from .startup import check_routes

__all__ = ["CallerMiddleware", "layers_of"]

logger = logging.getLogger("hexclave_integrations")


class CallerMiddleware:
    """Makes requirements work in the application it wraps. The caller is identified only when a requirement asks.

    A missing or wrong setting stops the start. Starlette makes its middleware in the first call, which is the
    lifespan's: an exception there would only tell the server that there is no lifespan.

    Args:
        app: the ASGI application.
        source: gives the client that verifies and authorizes. It is closed when the application's lifespan ends.
        websocket_close_codes: accept a websocket that is refused, and close it with a code that its page can read.
        default: what every route asks that has no requirement of its own and is not marked public.

    Attributes:
        source: the same.
        default: the same.
    """

    # Whether answers may differ between callers even if no requirement was checked.
    _identifies_everybody = False

    def __init__(
        self,
        app: ASGIApp,
        source: ClientSource,
        *,
        websocket_close_codes: bool = False,
        default: Requirement | None = None,
    ) -> None:
        self._app = app
        self.source = source
        self.default = default
        self._has_close_codes = websocket_close_codes
        self._client: AsyncHexclaveClient | None = None
        self._caches: CacheGuard | None = None
        self._guards_error_handler = False
        self._is_checked = False
        self._problem: ConfigurationError | None = None
        self._entered: AsyncHexclaveClient | None = None

    def _current(self) -> tuple[AsyncHexclaveClient, CacheGuard]:
        """The client of the moment, which `override_config` replaces, and what guards caches with its settings.

        Raises:
            ConfigurationError: a setting is missing or wrong, the default included.
        """
        if self._problem is not None:
            raise self._problem
        client = self.source.client
        if client is not self._client or self._caches is None:
            if self._caches is None:
                self._caches = CacheGuard(client.config, identifies_everybody=self._identifies_everybody)
            else:
                self._caches.configure(client.config)
            self._client, self._is_checked = client, False
        return client, self._caches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        client, caches = self._current()
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._is_checked:  # a mounted application gets no lifespan, and some servers leave it out
            self._check(scope)
        caller = Caller(
            client,
            scope,
            has_close_codes=self._has_close_codes,
            default=self.default,
            sets_user=self._identifies_everybody,
        )
        scope[SCOPE_KEY] = caller
        if self._identifies_everybody:
            await self._identify(caller, scope)
        else:
            show_user(caller, scope)
        started = False
        attempt = caller.attempt
        ending = Ending(client, attempt)

        async def guarded_send(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                if caller.begun:
                    caller.expect_awaited()
                caller.begun = None
                message = caches.message(message, asked=caller.attempt.asked)
            elif message["type"] == "websocket.accept":
                if caller.begun:
                    caller.expect_awaited()
                caller.begun = None
                caller.is_accepted = True
                if caller.answers_subprotocol and not message.get("subprotocol"):
                    # A browser drops a connection that selects none of the subprotocols it offered.
                    message = {**message, "subprotocol": SUBPROTOCOL}
            if attempt.spending is None:
                await send(message)
            else:
                await ending.forward(message, send)

        try:
            if caller.default is not None:
                await self._guard(caller, scope, receive, guarded_send)
            await self._app(scope, receive, guarded_send)
        except RequestRefused as error:  # from an application without exception handlers
            if started:
                raise
            await self._answer(scope, receive, guarded_send, error)
        finally:
            if caller.begun:
                caller.close()
            if attempt.spending is not None:
                await ending.conclude()

    async def _guard(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the router ask the default, or ask it here where there is no router that could.

        Raises:
            RequestRefused: the caller does not meet the default, or it cannot be told now.
        """
        router = router_behind(self._app, scope.get("app"))
        if router is not None:
            arm(router)
        elif caller.default is not None:
            await ask_default(caller, caller.default, scope, receive, send)
            caller.default = None
            if caller.sets_user:
                scope["user"] = caller.principal

    async def _identify(self, caller: Caller, scope: Scope) -> None:
        """Identify the caller before the application runs; only called with `_identifies_everybody`."""

    async def _answer(self, scope: Scope, receive: Receive, send: Send, error: RequestRefused) -> None:
        connection = WebSocket(scope, receive, send) if scope["type"] == "websocket" else HTTPConnection(scope)
        response: Response | None = await refuse(connection, error)
        if response is not None:
            await response(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._current()
        except ConfigurationError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise

        async def guarded_receive() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start(scope, send)
            return message

        async def guarded_send(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"):
                entered, self._entered = self._entered, None
                if entered is not None:
                    await entered.close()
            await send(message)

        await self._app(scope, guarded_receive, guarded_send)

    async def _start(self, scope: Scope, send: Send) -> None:
        client, _ = self._current()
        try:
            self._check(scope)
            await client.__aenter__()
        except Exception as error:
            # A server that sees only the exception believes that there is no lifespan, and starts all the same.
            # Any exception counts: FastAPI looks at the dependencies of an included router only now.
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        self._entered = client
        if not await client.warm():
            logger.warning("Hexclave's keys are not there yet: the first request will ask for them again")

    def _check(self, scope: Scope) -> None:
        """Check the routes of the application around this middleware, or in it.

        Raises:
            ConfigurationError: one of them cannot work as it is written, or a Hexclave with other settings is in this.
        """
        client, caches = self._current()
        around = scope.get("app")
        for layer in layers_of(self._app):
            if isinstance(layer, CallerMiddleware) and not layer.source.is_like(self.source):
                raise ConfigurationError(ALREADY_INSTALLED)
        app = self._app if hasattr(self._app, "routes") else around
        check_default_settings(self.default, client.config)
        check_routes(app, client.config, scope.get("path_params", ()))
        if not self._guards_error_handler:  # a lifespan may begin more than once
            caches.guard_error_handler(around)
        self._guards_error_handler = self._is_checked = True


def layers_of(app: Any) -> Iterator[Any]:
    """An application and its middleware, the outermost first, without what is mounted in it."""
    layer = app.middleware_stack if isinstance(app, Starlette) else app
    while layer is not None and not isinstance(layer, Starlette):
        yield layer
        layer = getattr(layer, NAMES["wrapped"], None) or getattr(layer, "_app", None)

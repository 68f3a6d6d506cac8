"""The ASGI middleware: puts the caller into the scope, guards caches, and lives with the application's lifespan."""

from __future__ import annotations

import logging

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .._adapter.outcome import is_last, status_after
from ..client import AsyncHexclaveClient
from ..errors import ConfigurationError, RequestRefused
from .caches import CacheGuard
from .caller import SCOPE_KEY, SUBPROTOCOL, Caller, refuse
from .startup import check_routes

__all__ = ["CallerMiddleware"]

logger = logging.getLogger("hexclave_integrations")


class CallerMiddleware:
    """Makes requirements work in the application it wraps. The caller is identified only when a requirement asks.

    Args:
        app: the ASGI application.
        client: verifies and authorizes. It is closed when the application's lifespan ends.
    """

    # Whether answers may differ between callers even if no requirement was checked.
    _identifies_everybody = False
    # What is wrong with the configuration; anything here stops the start.
    _problem = ""

    def __init__(self, app: ASGIApp, client: AsyncHexclaveClient) -> None:
        self._app = app
        self._client = client
        self._caches = CacheGuard(client.config, identifies_everybody=self._identifies_everybody)
        self._is_checked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._problem:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.failed", "message": self._problem})
            raise ConfigurationError(self._problem)
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._is_checked:  # a mounted application gets no lifespan, and some servers leave it out
            self._check(scope)
        caller = Caller(self._client, scope)
        scope[SCOPE_KEY] = caller
        if self._identifies_everybody:
            await self._identify(caller, scope)
        started, attempt = False, caller.attempt
        status: int | None = None

        async def guarded_send(message: Message) -> None:
            nonlocal started, status
            started = True
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                caller.expect_awaited()
                message = self._caches.message(message, asked=caller.attempt.asked)
            elif message["type"] == "websocket.accept":
                caller.expect_awaited()
                caller.is_accepted = True
                if caller.answers_subprotocol and not message.get("subprotocol"):
                    # A browser drops a connection that selects none of the subprotocols it offered.
                    message = {**message, "subprotocol": SUBPROTOCOL}
            if attempt.spending is None:
                await send(message)
                return
            status = status_after(message, status, attempt)
            await send(message)
            if is_last(message):  # before background work begins
                await caller.client.conclude(attempt, status)

        try:
            await self._app(scope, receive, guarded_send)
        except RequestRefused as error:  # from an application without exception handlers
            if started:
                raise
            await self._answer(scope, receive, guarded_send, error)
        finally:
            caller.close()
            if attempt.spending is not None:
                await caller.client.conclude(attempt, status)

    async def _identify(self, caller: Caller, scope: Scope) -> None:
        """Identify the caller before the application runs; only called with `_identifies_everybody`."""

    async def _answer(self, scope: Scope, receive: Receive, send: Send, error: RequestRefused) -> None:
        connection = WebSocket(scope, receive, send) if scope["type"] == "websocket" else HTTPConnection(scope)
        response: Response | None = await refuse(connection, error)
        if response is not None:
            await response(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded_receive() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start(scope, send)
            return message

        async def guarded_send(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"):
                await self._client.close()
            await send(message)

        await self._app(scope, guarded_receive, guarded_send)

    async def _start(self, scope: Scope, send: Send) -> None:
        try:
            self._check(scope)
        except Exception as error:
            # A server that sees only the exception believes that there is no lifespan, and starts all the same.
            # Any exception counts: FastAPI looks at the dependencies of an included router only now.
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await self._client.__aenter__()
        if not await self._client.warm():
            logger.warning("Hexclave's keys are not there yet: the first request will ask for them again")

    def _check(self, scope: Scope) -> None:
        """Check the routes of the application around this middleware, or in it.

        Raises:
            ConfigurationError: one of them cannot work as it is written.
        """
        around = scope.get("app")
        app = self._app if hasattr(self._app, "routes") else around
        check_routes(app, self._client.config, scope.get("path_params", ()))
        if not self._is_checked:  # a lifespan may begin more than once
            self._caches.guard_error_handler(around)
        self._is_checked = True

"""Cache headers for answers that depend on the caller, including those of an application's handler for errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._adapter.cache_headers import HeaderGuard
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from .caller import SCOPE_KEY
from .private import NAMES

__all__ = ["CacheGuard"]


class CacheGuard:
    """Names the credentials in `Vary`, and keeps shared caches out.

    Args:
        config: says which headers credentials are read from.
        identifies_everybody: whether answers may differ between callers even if no requirement was checked.
    """

    def __init__(self, config: HexclaveConfig, *, identifies_everybody: bool) -> None:
        self.configure(config)
        self._identifies_everybody = identifies_everybody

    def configure(self, config: HexclaveConfig) -> None:
        """Take other settings.

        Args:
            config: says which headers credentials are read from.
        """
        self._headers = HeaderGuard(config, bytes)

    def message(self, message: Message, *, asked: bool) -> Message:
        """The first message of an answer, with the headers it needs.

        The message itself is not changed: an application may send one and the same many times.

        Args:
            message: as the application sends it.
            asked: whether the answer depends on who the caller is.
        """
        if not asked and not self._identifies_everybody:
            return message
        return {**message, "headers": self._headers(message.get("headers", ()), private=asked)}

    def guard_error_handler(self, app: Any) -> None:
        """Add the headers to the answers of an application's handler for `Exception`.

        Starlette runs this handler outside of all middleware, so these answers do not pass through ours.

        Args:
            app: an application whose middleware is in place. One that is not Starlette's or FastAPI's is left alone.

        Raises:
            ConfigurationError: there is such a handler, and it is not where Starlette keeps it.
        """
        if not isinstance(app, Starlette) or not {500, Exception} & set(app.exception_handlers):
            return
        layer: Any = app.middleware_stack
        found = False
        while layer is not None:  # instrumentation may have wrapped Starlette's own layer
            handler: Any = None
            if isinstance(layer, ServerErrorMiddleware):
                handler = getattr(layer, NAMES["error handler"], None)
            if handler is not None:
                setattr(layer, NAMES["error handler"], self._guarded(handler))
                found = True
            layer = getattr(layer, NAMES["wrapped"], None)
        if not found:
            raise ConfigurationError(
                "The application's handler for Exception cannot be found, and what it answers would not be kept out of "
                "shared caches: put HexclaveMiddleware around the application, or handle narrower exceptions."
            )

    def _guarded(self, handler: Callable[..., Any]) -> Callable[[Any, Exception], Awaitable[ASGIApp]]:
        @functools.wraps(handler)
        async def guarded(request: Any, error: Exception) -> ASGIApp:
            is_async = inspect.iscoroutinefunction(handler)
            found = handler(request, error) if is_async else await run_in_threadpool(handler, request, error)
            response: ASGIApp = await found if inspect.isawaitable(found) else found
            caller = request.scope.get(SCOPE_KEY)
            asked = caller is None or caller.attempt.asked  # it cannot be told if a middleware copied the scope

            async def answer(scope: Scope, receive: Receive, send: Send) -> None:
                async def guarded_send(message: Message) -> None:
                    is_start = message["type"] == "http.response.start"
                    await send(self.message(message, asked=asked) if is_start else message)

                await response(scope, receive, guarded_send)

            return answer

        return guarded

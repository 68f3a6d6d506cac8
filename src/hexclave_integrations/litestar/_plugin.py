"""`HexclavePlugin`: client, middleware, answers to refusals, lifespan and the check of routes of an application."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute

from .._adapter.startup import unmet
from .._base.guards import Unapplied
from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError, RequestRefused
from ..requirements import Requirement
from ._caller import CallerMiddleware

__all__ = ["HexclavePlugin"]

logger = logging.getLogger("hexclave_integrations")


class HexclavePlugin(InitPlugin, ReceiveRoutePlugin):
    """Puts Hexclave in front of an application: `Litestar([...], plugins=[HexclavePlugin()])`.

    Args:
        config: the project's settings; read from the environment when None.

    Attributes:
        client: the `AsyncHexclaveClient` behind the guards, for use in your own code.

    Raises:
        ConfigurationError: a setting is missing or wrong. `Litestar(...)` raises it for a guard that cannot work.
    """

    __slots__ = ("client",)

    def __init__(self, config: HexclaveConfig | None = None) -> None:
        self.client = AsyncHexclaveClient(config)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Install on an application; the framework calls this."""
        # Outermost: what other middleware answers from its memory is guarded as well.
        app_config.middleware.insert(0, functools.partial(CallerMiddleware, client=self.client))
        handlers: Any = app_config.exception_handlers
        handlers.setdefault(RequestRefused, refuse)  # an application may have its own answer already
        app_config.lifespan.append(self._live)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Check a route; the framework calls this for each.

        Raises:
            ConfigurationError: one of its guards cannot work as it is written.
        """
        for handler in _handlers(route):
            for guard in (guard for layer in handler.ownership_layers for guard in layer.guards or ()):
                self._check_guard(guard, handler, route)

    def _check_guard(self, guard: object, handler: BaseRouteHandler, route: BaseRoute) -> None:
        if isinstance(guard, Unapplied) or (isinstance(guard, type) and issubclass(guard, Requirement)):
            raise ConfigurationError(f"A guard of {route.path} is a requirement that was not called.")
        if not isinstance(guard, Requirement):
            return
        for found in unmet([guard], route.path, route.path_parameters, self.client.config):
            raise ConfigurationError(found.text)
        # Without a default: a Litestar that calls them something else does not start, and no page is cached unseen.
        if isinstance(handler, HTTPRouteHandler) and handler.cache and handler.cache_key_builder is None:
            raise ConfigurationError(
                f"The route {route.path} is cached inside its guard, where one caller's answer is for all others: "
                "take cache away, or give it a cache_key_builder that tells callers apart."
            )

    @contextlib.asynccontextmanager
    async def _live(self, app: Litestar) -> AsyncIterator[None]:
        async with self.client:
            if not await self.client.warm():
                logger.warning("Hexclave's keys are not there yet: the first request will ask for them again")
            yield


def refuse(request: Request[Any, Any, Any], error: RequestRefused) -> Response[bytes]:
    """The exception handler for refusals."""
    headers = dict(error.headers())
    return Response(error.body(), status_code=error.status, media_type=headers.pop("Content-Type"), headers=headers)


def _handlers(route: BaseRoute) -> list[BaseRouteHandler]:
    if isinstance(route, HTTPRoute):
        return list(route.route_handlers)
    only: BaseRouteHandler = getattr(route, "route_handler")  # noqa: B009  # of a websocket or ASGI route
    return [only]

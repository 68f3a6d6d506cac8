"""`HexclavePlugin`: client, middleware, answers to refusals, lifespan and the check of routes of an application."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Message, Scope

from .._adapter.cache_headers import HeaderGuard
from .._adapter.client_source import ALREADY_INSTALLED, NOT_INSTALLED, ClientSource
from .._adapter.default import asked_by_default, checked_default
from .._adapter.startup import unmet
from .._base.guards import Unapplied
from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError, RequestRefused
from ..requirements import Requirement
from ..user import HexclaveUser
from ._caller import SCOPE_KEY, CallerMiddleware, caller_of
from ._default import DefaultGuard, standing_of
from ._guards import CALLED, LitestarRequirement

__all__ = ["HexclavePlugin", "handlers_of", "override_config"]

logger = logging.getLogger("hexclave_integrations")


class HexclavePlugin(InitPlugin, ReceiveRoutePlugin):
    """Puts Hexclave in front of an application: `Litestar([...], plugins=[HexclavePlugin()])`.

    Args:
        config: the project's settings; read from the environment when None, and then not before the application
            starts, so that its OpenAPI description can be written where there are none.
        websocket_close_codes: accept a websocket that is refused and close it with a code that its page can read: 4401
            (not signed in, or the token is over), 4403 (not allowed), 1013 (try again later).
        default: what every handler asks that has no requirement among its guards and is marked neither with `@public`
            nor with `opt={"hexclave_public": True}`; static files and mounted applications included.

    A missing or wrong setting stops the start with `ConfigurationError`; `Litestar(...)` raises it for a guard that
    cannot work.
    """

    __slots__ = ("_source", "default", "has_close_codes")

    def __init__(
        self,
        config: HexclaveConfig | None = None,
        *,
        websocket_close_codes: bool = False,
        default: LitestarRequirement | None = None,
    ) -> None:
        self.default: LitestarRequirement | None = checked_default(
            default, LitestarRequirement, "HexclavePlugin(default=require_user)"
        )
        self._source = ClientSource(config)
        self.has_close_codes: bool = websocket_close_codes

    @property
    def client(self) -> AsyncHexclaveClient:
        """The `AsyncHexclaveClient` behind the guards, for use in your own code.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        return self._source.client

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Install on an application; the framework calls this.

        Raises:
            ConfigurationError: the application has Hexclave with other settings.
        """
        first = next(plugin for plugin in app_config.plugins if isinstance(plugin, HexclavePlugin))
        if first is not self:
            if not self._is_like(first):
                raise ConfigurationError(ALREADY_INSTALLED)
            return app_config
        # Outermost: what other middleware answers from its memory is guarded as well.
        app_config.middleware.insert(0, functools.partial(CallerMiddleware, plugin=self))
        handlers: Any = app_config.exception_handlers
        handlers.setdefault(RequestRefused, refuse)  # an application may have its own answer already
        if self.default is not None:
            app_config.guards.insert(0, DefaultGuard(self.default))
        app_config.lifespan.append(self._live)
        app_config.after_exception.append(_note_validation)
        if app_config.cors_config is not None:
            app_config.before_send.append(self._guard_caches_again)
        return app_config

    async def _guard_caches_again(self, message: Message, scope: Scope) -> None:
        """Name the credentials in `Vary` once more: Litestar's CORS, outside of all middleware, puts its own there."""
        caller: Any = scope.get(SCOPE_KEY)
        if message["type"] == "http.response.start" and caller is not None and caller.attempt.asked:
            message["headers"] = HeaderGuard(caller.client.config, bytes)(message["headers"])

    async def identify(self, connection: ASGIConnection[Any, Any, Any, Any]) -> HexclaveUser | None:
        """The verified user of a request, of any kind, or None for nobody: for middleware and handlers without a guard.

        It refuses nobody. Bad credentials, and a caller of whom it cannot be told now, are nobody. The answer to the
        request is then `private`.

        Args:
            connection: the request or websocket.

        Raises:
            ConfigurationError: the application has no `HexclavePlugin`.
        """
        caller = caller_of(connection)
        caller.attempt.asked = True
        try:
            return await caller.client.identify(caller.attempt)
        except RequestRefused:
            return None

    def _is_like(self, other: HexclavePlugin) -> bool:
        if (self.has_close_codes, self.default) != (other.has_close_codes, other.default):
            return False
        return self._source.is_like(other._source)

    def replaced(self, client: AsyncHexclaveClient) -> AbstractContextManager[None]:
        """Use another client for the length of the block; see `override_config`."""
        return self._source.replaced(client)

    def receive_route(self, route: BaseRoute) -> None:
        """Check a route; the framework calls this for each.

        Raises:
            ConfigurationError: one of its guards cannot work as it is written.
        """
        for handler in handlers_of(route):
            for guard in (guard for layer in handler.ownership_layers for guard in layer.guards or ()):
                self._check_guard(guard, handler, route)
            asked = asked_by_default(standing_of(handler), self.default)
            if asked is not None:
                self._check_guard(asked, handler, route)

    def _check_guard(self, guard: object, handler: BaseRouteHandler, route: BaseRoute) -> None:
        if inspect.iscoroutine(guard):
            guard.close()
            raise ConfigurationError(f"A guard of {route.path} was called: {CALLED}")
        if isinstance(guard, Unapplied) or (isinstance(guard, type) and issubclass(guard, Requirement)):
            raise ConfigurationError(f"A guard of {route.path} is a requirement that was not called.")
        if not isinstance(guard, Requirement):
            return
        try:
            config = self.client.config
        except ConfigurationError:  # which stops the start
            config = None
        for found in unmet([guard], route.path, route.path_parameters, config):
            raise ConfigurationError(found.text)
        # Without a default: a Litestar that calls them something else does not start, and no page is cached unseen.
        if isinstance(handler, HTTPRouteHandler) and handler.cache and handler.cache_key_builder is None:
            raise ConfigurationError(
                f"The route {route.path} is cached inside its guard, where one caller's answer is for all others: "
                "take cache away, or give it a cache_key_builder that tells callers apart."
            )

    @contextlib.asynccontextmanager
    async def _live(self, app: Litestar) -> AsyncIterator[None]:
        client = self.client
        for route in app.routes:
            self.receive_route(route)
        async with client:
            if not await client.warm():
                logger.warning("Hexclave's keys are not there yet: the first request will ask for them again")
            yield


@contextlib.contextmanager
def override_config(app: Litestar, config: HexclaveConfig) -> Iterator[AsyncHexclaveClient]:
    """Give an application that has `HexclavePlugin` already other settings for the length of the block: for tests.

    ::

        with override_config(app, hexclave_sandbox.config), TestClient(app) as client:
            ...

    Args:
        app: the application, which may have been made without any settings.
        config: the settings, a sandbox's for instance.

    Yields:
        The client behind the guards.

    Raises:
        ConfigurationError: the application has no `HexclavePlugin`.
    """
    found = [plugin for plugin in app.plugins if isinstance(plugin, HexclavePlugin)]
    if not found:
        raise ConfigurationError(NOT_INSTALLED)
    client = AsyncHexclaveClient(config)
    with found[0].replaced(client):
        yield client


def refuse(request: Request[Any, Any, Any], error: RequestRefused) -> Response[bytes]:
    """The exception handler for refusals."""
    headers = dict(error.headers())
    return Response(error.body(), status_code=error.status, media_type=headers.pop("Content-Type"), headers=headers)


def _note_validation(error: Exception, scope: Scope) -> None:
    """Note that the framework has refused what came with a request, after its guards: its handler did not run."""
    caller: Any = scope.get(SCOPE_KEY)
    if isinstance(error, ValidationException) and caller is not None:
        caller.attempt.was_refused = True


def handlers_of(route: BaseRoute) -> list[BaseRouteHandler]:
    """The handlers behind a route, of any kind."""
    if isinstance(route, HTTPRoute):
        return list(route.route_handlers)
    only: BaseRouteHandler = getattr(route, "route_handler")  # noqa: B009  # of a websocket or ASGI route
    return [only]

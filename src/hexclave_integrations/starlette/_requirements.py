"""Requirements as decorators of Starlette endpoints, functions and methods, sync and async, http and websocket."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from .._adapter.guarded import mark_guarded, mark_own
from .._asgi.caller import caller_of
from .._base.guards import NotADependency
from ..errors import ConfigurationError
from ..requirements import (
    UNAPPLIED,
    RequireItem,
    Requirement,
    RequirePermission,
    RequireProduct,
    RequireProjectPermission,
    RequireTeam,
)

__all__ = [
    "StarletteRequirement",
    "optional_user",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
]

_NOT_GIVEN: Final[Any] = object()

P = ParamSpec("P")
R = TypeVar("R")


class StarletteRequirement(Requirement):
    """A requirement that decorates an endpoint. `request.user` is then the user that was let through, or None."""

    def __call__(self, endpoint: Callable[P, Any]) -> Callable[P, Coroutine[Any, Any, Any]]:
        """Guard an endpoint.

        Args:
            endpoint: a function, coroutine function or method that takes the request or websocket.

        Raises:
            ConfigurationError: what is decorated cannot be called.
        """
        if endpoint is _NOT_GIVEN:
            raise NotADependency("require_user is a requirement already: write @require_user, without a call.")
        if not callable(endpoint) or isinstance(endpoint, type):
            raise ConfigurationError("A requirement decorates a function, or the methods of an endpoint class.")

        called: Any = endpoint
        is_async = inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(called.__call__)

        @functools.wraps(endpoint)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            for connection in (*args, *kwargs.values()):
                if isinstance(connection, HTTPConnection):
                    break
            else:
                raise ConfigurationError("A requirement decorates what takes the request or websocket; this does not.")
            caller = caller_of(connection)
            user = caller.known(self, connection)
            connection.scope["user"] = await caller.check(self, connection) if user is None else user
            if is_async:
                return await endpoint(*args, **kwargs)
            result = await run_in_threadpool(endpoint, *args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        mark_guarded(guarded, self)
        mark_own(guarded, self, around=endpoint)
        return guarded

    def guard(self, app: ASGIApp) -> ASGIApp:
        """Guard everything that an application or a mount serves, http and websocket, unknown paths included.

        ::

            Mount("/admin", app=require_user.guard(StaticFiles(directory="admin")))
            Mount("/api", routes=[...], middleware=[Middleware(require_user.guard)])

        Args:
            app: any ASGI application.

        Raises:
            ConfigurationError: it is none.
        """
        return GuardedApp(app, self)


# Calling it without an argument is a mistake to type checkers; to everybody else it says what to write.
StarletteRequirement.__call__.__defaults__ = (_NOT_GIVEN,)


class GuardedApp:
    """An ASGI application that runs only for callers who meet a requirement.

    Args:
        app: the application.
        requirement: what is asked.

    Attributes:
        app: the same, where those who look through middleware expect it.
    """

    def __init__(self, app: ASGIApp, requirement: StarletteRequirement) -> None:
        if not callable(app) or isinstance(app, (type, *UNAPPLIED)):
            raise ConfigurationError("require_user.guard takes an ASGI application, such as Router or StaticFiles.")
        self.app = app
        self._requirement = requirement
        mark_guarded(self, requirement)
        mark_own(self, requirement, around=app)

    @property
    def routes(self) -> list[Any]:
        """The routes of the application."""
        return getattr(self.app, "routes", None) or []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            is_websocket = scope["type"] == "websocket"
            connection = WebSocket(scope, receive, send) if is_websocket else HTTPConnection(scope)
            scope["user"] = await caller_of(connection).check(self._requirement, connection)
        await self.app(scope, receive, send)


require_user: Final = StarletteRequirement()
"""A regular user."""

require_api_key: Final = StarletteRequirement(scope="api key")
"""A valid API key of a regular user, or of a team."""

optional_user: Final = StarletteRequirement(optional=True, restricted=True, anonymous=True)
"""Everyone; `request.user` is None when no credentials came. Bad credentials are refused."""

require_item: Final = RequireItem(StarletteRequirement)
"""Callers who have enough of an item, which it takes if asked to: `require_item("credits", 1, spend=True)`."""

require_permission: Final = RequirePermission(StarletteRequirement)
"""Holders of a team permission: `require_permission("{team_id}", "export_reports")`."""

require_product: Final = RequireProduct(StarletteRequirement)
"""Callers who have a product, or members of a team that has it: `require_product("pro", "{team_id}")`."""

require_project_permission: Final = RequireProjectPermission(StarletteRequirement)
"""Holders of a project permission: `require_project_permission("access_admin_dashboard")`."""

require_team: Final = RequireTeam(StarletteRequirement)
"""Members of a team: `require_team("{team_id}")`."""

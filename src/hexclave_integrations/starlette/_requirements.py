"""Requirements as decorators of Starlette endpoints, functions and methods, sync and async, http and websocket."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from starlette._utils import is_async_callable
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from .._asgi.caller import caller_of
from .._base.guards import needs_call
from ..errors import ConfigurationError
from ..requirements import Requirement, TeamReference

__all__ = [
    "StarletteRequirement",
    "optional_user",
    "require_api_key",
    "require_permission",
    "require_project_permission",
    "require_team",
    "require_user",
]

P = ParamSpec("P")
R = TypeVar("R")


class StarletteRequirement(Requirement):
    """A requirement that decorates an endpoint. `request.user` is then the user it let through, or None."""

    def __call__(self, endpoint: Callable[P, Any]) -> Callable[P, Coroutine[Any, Any, Any]]:
        """Guard an endpoint.

        Args:
            endpoint: a function, coroutine function or method that takes the request or websocket.

        Raises:
            ConfigurationError: what is decorated cannot be called.
        """
        if not callable(endpoint) or isinstance(endpoint, type):
            raise ConfigurationError("A requirement decorates a function, or the methods of an endpoint class.")

        is_async = is_async_callable(endpoint)

        @functools.wraps(endpoint)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            for connection in (*args, *kwargs.values()):
                if isinstance(connection, HTTPConnection):
                    break
            else:
                raise ConfigurationError("A requirement decorates what takes the request or websocket; this does not.")
            connection.scope["user"] = await caller_of(connection).check(self, connection)
            if is_async:
                return await endpoint(*args, **kwargs)
            return await run_in_threadpool(endpoint, *args, **kwargs)

        guarded.__hexclave_requirement__ = self  # type: ignore[attr-defined]  # read by the check at start-up
        return guarded


require_user = StarletteRequirement()
"""A regular user."""

require_api_key = StarletteRequirement(scope="api key")
"""A valid API key of a regular user, or of a team."""

optional_user = StarletteRequirement(optional=True, restricted=True, anonymous=True)
"""Everyone; `request.user` is None when no credentials came. Bad credentials are refused."""


@needs_call('require_permission("{team_id}", "export_reports")')
def require_permission(team: TeamReference, permission: str) -> StarletteRequirement:
    """A holder of a team permission; see `hexclave_integrations.requirements.require_permission`."""
    return StarletteRequirement(scope="team permission", team=team, permission=permission)


@needs_call('require_project_permission("access_admin_dashboard")')
def require_project_permission(permission: str) -> StarletteRequirement:
    """A holder of a project permission."""
    return StarletteRequirement(scope="project permission", permission=permission)


@needs_call('require_team("{team_id}")')
def require_team(team: TeamReference) -> StarletteRequirement:
    """A member of a team."""
    return StarletteRequirement(scope="team", team=team)

"""Requirements as Litestar guards: of a handler, a controller, a router or the application, http and websocket."""

from __future__ import annotations

import copy
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from .._adapter.endpoints import webhooks_of
from .._base.guards import NotADependency
from ..errors import RequestRefused
from ..requirements import (
    RequireItem,
    Requirement,
    RequirePermission,
    RequireProduct,
    RequireProjectPermission,
    RequireTeam,
)
from ._caller import caller_of

__all__ = [
    "CALLED",
    "LitestarRequirement",
    "optional_user",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
]


CALLED: Final = "require_user is a requirement already: write guards=[require_user], without a call."
_NOT_GIVEN: Final[Any] = object()


class LitestarRequirement(Requirement):
    """A requirement for `guards=[...]`. `request.user` is then the user or API key it let through, or None."""

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Hold the caller against this.

        Raises:
            RequestRefused: they do not meet it, or it cannot be told now.
            ConfigurationError: the application has no `HexclavePlugin`, or lacks a setting.
        """
        if connection is _NOT_GIVEN:
            raise NotADependency(CALLED)
        if webhooks_of(getattr(handler, "fn", None)) is not None:
            return  # a delivery has no access token, and is admitted by its signature
        caller = caller_of(connection)
        # Litestar has parsed them: `{team_id:uuid}` is a UUID.
        params = {name: str(value) for name, value in connection.path_params.items()}
        try:
            principal = await caller.client.admit(self, caller.attempt, params=params, request=connection)
        except RequestRefused as error:
            caller.refusal = copy.copy(error)  # without its traceback, whose frames hold the caller
            raise
        connection.scope["user"] = principal


# Calling it without arguments is a mistake to type checkers; to everybody else it says what to write.
LitestarRequirement.__call__.__defaults__ = (_NOT_GIVEN, _NOT_GIVEN)

require_user: Final = LitestarRequirement()
"""A regular user."""

require_api_key: Final = LitestarRequirement(scope="api key")
"""A valid API key of a regular user, or of a team; it is then `request.user`."""

optional_user: Final = LitestarRequirement(optional=True, restricted=True, anonymous=True)
"""Everyone; `request.user` is None when no credentials came. Bad credentials are refused."""

require_item: Final = RequireItem(LitestarRequirement)
"""Callers who have enough of an item, which it takes if asked to: `require_item("credits", 1, spend=True)`."""

require_permission: Final = RequirePermission(LitestarRequirement)
"""Holders of a team permission: `require_permission("{team_id}", "export_reports")`."""

require_product: Final = RequireProduct(LitestarRequirement)
"""Callers who have a product, or members of a team that has it: `require_product("pro", "{team_id}")`."""

require_project_permission: Final = RequireProjectPermission(LitestarRequirement)
"""Holders of a project permission: `require_project_permission("access_admin_dashboard")`."""

require_team: Final = RequireTeam(LitestarRequirement)
"""Members of a team: `require_team("{team_id}")`."""

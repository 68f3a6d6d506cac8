"""Requirements as FastAPI dependencies: awaited, never in a thread, over `HTTPConnection`, so for websockets too.

Framework types are imported for real here: FastAPI reads them from the annotations at run time.
"""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any, Final

from fastapi import Depends
from fastapi.exceptions import ValidationException
from fastapi.openapi.models import APIKey, HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityBaseModel
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from .._asgi.caller import caller_of
from .._base.guards import NotADependency
from ..errors import ConfigurationError
from ..requirements import (
    RequireItem,
    Requirement,
    RequirePermission,
    RequireProduct,
    RequireProjectPermission,
    RequireTeam,
)
from ..user import HexclaveUser
from ._deliveries import is_for_delivery

__all__ = [
    "EITHER",
    "KEY_SCHEME_NAME",
    "PAID",
    "SCHEME_NAME",
    "CurrentUser",
    "FastAPIRequirement",
    "OptionalUser",
    "note_validation",
    "optional_user",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
]

SCHEME_NAME: Final = "Hexclave access token"
KEY_SCHEME_NAME: Final = "Hexclave API key"
EITHER: Final = f"{SCHEME_NAME} or {KEY_SCHEME_NAME}"
"""Stands for both schemes until the description of the application is complete; FastAPI asks for one."""
PAID: Final = ", paid"
"""Follows the name of a scheme, until then, where a route may be answered 402."""

_TOKEN_SCHEME: Final = HTTPBearer(
    bearerFormat="JWT",
    description="An access token of the signed-in user: `(await user.getAuthJson()).accessToken` in the frontend.",
)
_KEY_SCHEME: Final = APIKey.model_validate(
    {"in": "header", "name": "x-api-key", "description": "An API key of a user or a team, made in Hexclave."}
)


_NOT_GIVEN: Final[Any] = object()


class FastAPIRequirement(Requirement, SecurityBase):
    """A requirement that FastAPI resolves to the user it let through; for `Depends(...)` and `dependencies=[...]`.

    It is a security scheme as well, so that the OpenAPI description of a route names it.
    """

    @property
    def model(self) -> SecurityBaseModel:  # type: ignore[override]  # FastAPI reads it of the object
        """The scheme, for the OpenAPI description."""
        return _KEY_SCHEME if self.scope == "api key" else _TOKEN_SCHEME

    @property
    def scheme_name(self) -> str:  # type: ignore[override]  # as above
        """The name of the scheme, for the OpenAPI description."""
        if self.scope == "api key":
            return KEY_SCHEME_NAME
        name = EITHER if self.api_key else SCHEME_NAME
        return name + PAID if self.scope in ("item", "product") else name

    def __call__(self, connection: HTTPConnection) -> Coroutine[Any, Any, Any]:
        """Resolve the dependency. If the result is not awaited, no answer to the request is sent.

        Raises:
            RequestRefused: when awaited, if the caller does not meet the requirement, or if that cannot be told now.
            ConfigurationError: `Hexclave(app)` is missing, the requirement needs a setting that is, or it was used
                as a decorator.
        """
        if connection is _NOT_GIVEN:
            raise NotADependency("require_user is a requirement already: write Depends(require_user), without a call.")
        if not isinstance(connection, HTTPConnection):
            raise ConfigurationError("A requirement of FastAPI is no decorator: write Depends(require_user).")
        caller = caller_of(connection)
        if is_for_delivery(self, connection.scope):
            return _nobody()
        check = caller.check(self, connection)
        caller.watch(check)
        return check

    def __bool__(self) -> bool:
        """True: FastAPI itself takes a dependency for a truth value."""
        return True


# Calling it without an argument is a mistake to type checkers; to everybody else it says what to write.
FastAPIRequirement.__call__.__defaults__ = (_NOT_GIVEN,)


async def note_validation(connection: HTTPConnection) -> AsyncIterator[None]:
    """Note that FastAPI has refused what came with a request, after its dependencies: its endpoint did not run."""
    try:
        yield
    except ValidationException:
        caller_of(connection).attempt.was_refused = True
        raise


class FastAPISpending(FastAPIRequirement):
    """A requirement that takes something, and so has to hear of a request that comes no further."""

    def __call__(
        self, connection: HTTPConnection, noted: Annotated[None, Depends(note_validation)] = None
    ) -> Coroutine[Any, Any, Any]:
        """Resolve the dependency; see `FastAPIRequirement`."""
        return super().__call__(connection)


async def _nobody() -> None:
    """What is resolved, and used by nobody, where a webhook is delivered."""


# FastAPI runs a function in a thread unless it knows that it is a coroutine function. The check would then not be
# awaited, and nobody would be let in.
for _kind in (FastAPIRequirement, FastAPISpending):
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(_kind.__call__)
    else:
        vars(_kind.__call__)["_is_coroutine"] = vars(asyncio.coroutines)["_is_coroutine"]

require_user: Final = FastAPIRequirement()
"""A regular user."""

require_api_key: Final = FastAPIRequirement(scope="api key")
"""A valid API key of a regular user, or of a team."""

optional_user: Final = FastAPIRequirement(optional=True, restricted=True, anonymous=True)
"""Everyone; None when no credentials came. Bad credentials are refused."""

CurrentUser = Annotated[HexclaveUser, Depends(require_user)]
"""A parameter that is the signed-in regular user."""

OptionalUser = Annotated[HexclaveUser | None, Depends(optional_user)]
"""A parameter that is the user of any kind, or None when no credentials came."""

require_item: Final = RequireItem(FastAPIRequirement, "Depends({})", FastAPISpending)
"""Callers who have enough of an item, which it takes if asked to: `require_item("credits", 1, spend=True)`."""

require_permission: Final = RequirePermission(FastAPIRequirement, "Depends({})")
"""Holders of a team permission: `require_permission("{team_id}", "export_reports")`."""

require_product: Final = RequireProduct(FastAPIRequirement, "Depends({})")
"""Callers who have a product, or members of a team that has it: `require_product("pro", "{team_id}")`."""

require_project_permission: Final = RequireProjectPermission(FastAPIRequirement, "Depends({})")
"""Holders of a project permission: `require_project_permission("access_admin_dashboard")`."""

require_team: Final = RequireTeam(FastAPIRequirement, "Depends({})")
"""Members of a team: `require_team("{team_id}")`."""

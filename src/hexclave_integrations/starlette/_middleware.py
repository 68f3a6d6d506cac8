"""`HexclaveMiddleware`: tells who the caller is in the way of Starlette's own authentication."""

from __future__ import annotations

from typing import Any

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.types import ASGIApp, Scope

from .._asgi.caller import Caller
from .._asgi.middleware import CallerMiddleware
from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError, RequestRefused

__all__ = ["HexclaveMiddleware"]


class HexclaveMiddleware(CallerMiddleware):
    """Verifies the caller of every request and sets `connection.user` and `connection.auth`; refuses nobody.

    A regular user has the scope `authenticated`, other kinds `restricted` or `anonymous`; without acceptable
    credentials the user is Starlette's `UnauthenticatedUser` and there is no scope.

    Args:
        app: the ASGI application, http and websocket.
        config: the project's settings; read from the environment when None.

    A missing or wrong setting stops the start with `ConfigurationError`. Starlette makes its middleware in the
    first call, which is the lifespan's: an exception there would only tell the server that there is no lifespan.
    """

    _identifies_everybody = True

    def __init__(self, app: ASGIApp, config: HexclaveConfig | None = None) -> None:
        try:
            super().__init__(app, AsyncHexclaveClient(config))
        except ConfigurationError as error:
            self._problem = str(error)

    async def _identify(self, caller: Caller, scope: Scope) -> None:
        user: Any = None
        try:
            user = await self._client.identify(caller.attempt)
        except RequestRefused:
            caller.attempt.asked = True  # the answer may differ from the answer without credentials
        if user is None:
            scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
        else:
            caller.attempt.asked = True
            scope["user"] = user
            scope["auth"] = AuthCredentials(["authenticated" if user.is_authenticated else user.kind])

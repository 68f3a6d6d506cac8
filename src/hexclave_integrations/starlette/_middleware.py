"""`HexclaveMiddleware`: tells who the caller is in the way of Starlette's own authentication."""

from __future__ import annotations

from typing import Any

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.types import ASGIApp, Scope

from .._adapter.client_source import ClientSource
from .._adapter.default import checked_default
from .._asgi.caller import Caller
from .._asgi.middleware import CallerMiddleware
from ..config import HexclaveConfig
from ..errors import ConfigurationError, RequestRefused
from ._requirements import StarletteRequirement

__all__ = ["HexclaveMiddleware"]


class HexclaveMiddleware(CallerMiddleware):
    """Verifies the caller of every request and sets `connection.user` and `connection.auth`; refuses nobody.

    A regular user has the scope `authenticated`, other kinds `restricted` or `anonymous`; without acceptable
    credentials the user is Starlette's `UnauthenticatedUser` and there is no scope.

    Args:
        app: the ASGI application, http and websocket.
        config: the project's settings; read from the environment when None.
        websocket_close_codes: accept a websocket that is refused and close it with a code that its page can read: 4401
            (not signed in, or the token is over), 4403 (not allowed), 1013 (try again later).
        default: what every route asks that has no requirement of its own and is not marked `@public`, `require_user`
            for instance; mounted applications and static files included.

    A missing or wrong setting stops the start with `ConfigurationError`.
    """

    _identifies_everybody = True

    def __init__(
        self,
        app: ASGIApp,
        config: HexclaveConfig | None = None,
        *,
        websocket_close_codes: bool = False,
        default: StarletteRequirement | None = None,
    ) -> None:
        super().__init__(app, ClientSource(config), websocket_close_codes=websocket_close_codes)
        try:
            self.default: StarletteRequirement | None = checked_default(
                default, StarletteRequirement, "default=require_user"
            )
        except ConfigurationError as error:
            self._problem = error

    async def _identify(self, caller: Caller, scope: Scope) -> None:
        user: Any = None
        try:
            user = await caller.client.identify(caller.attempt)
        except RequestRefused:
            caller.attempt.asked = True  # the answer may differ from the answer without credentials
        if user is None:
            scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
        else:
            caller.attempt.asked = True
            scope["user"] = user
            scope["auth"] = AuthCredentials(["authenticated" if user.is_authenticated else user.kind])

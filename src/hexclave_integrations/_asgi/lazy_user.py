"""Who makes a request, for middleware and handlers that have no requirement; nothing is worked out until asked."""

from __future__ import annotations

from typing import Any, Final

from starlette.authentication import BaseUser
from starlette.requests import HTTPConnection

from .._policy.client_base import recognize
from ..client import AsyncHexclaveClient
from ..errors import RequestRefused
from ..user import HexclaveUser
from .caller import SCOPE_KEY, Caller

__all__ = ["LazyUser", "identify", "show_user"]

_STATE: Final = "hexclave_user"


class LazyUser(BaseUser):
    """The caller of a request, as `request.user` and `request.state.hexclave_user` of a FastAPI application.

    It refuses nobody: bad credentials, and callers of whom it cannot be told now, are nobody. Whoever asks makes the
    answer `private`, since it may then depend on the caller.

    The attributes cannot wait. Where the key of a token has to be fetched first they say "nobody"; `load` waits for it.
    """

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def load(self) -> HexclaveUser | None:
        """The verified user, of any kind, or None for nobody."""
        attempt = self._caller.attempt
        attempt.asked = True
        try:
            return await self._caller.client.identify(attempt)
        except RequestRefused:
            return None

    @property
    def is_authenticated(self) -> bool:
        """Whether this is a regular user."""
        user = self._known()
        return user is not None and user.is_authenticated

    @property
    def identity(self) -> str:
        """The id of a user of any kind; empty for nobody."""
        user = self._known()
        return "" if user is None else user.id

    @property
    def display_name(self) -> str:
        """The name of a user of any kind; empty where there is none."""
        user = self._known()
        return "" if user is None else user.display_name or ""

    def _known(self) -> HexclaveUser | None:
        attempt = self._caller.attempt
        attempt.asked = True
        try:
            return recognize(self._caller.client, attempt)
        except RequestRefused:
            return None


def show_user(caller: Caller, scope: Any) -> None:
    """Put the caller where middleware and handlers look for a user, unless the application's own is there."""
    user = LazyUser(caller)
    scope.setdefault("state", {})[_STATE] = user
    known = scope.get("user")
    if known is None or type(known) is LazyUser:
        scope["user"] = user


async def identify(client: AsyncHexclaveClient, connection: HTTPConnection) -> HexclaveUser | None:
    """The verified user of a request, of any kind, or None for nobody; also in middleware around ours.

    Args:
        client: verifies.
        connection: the request or websocket.
    """
    caller: Caller | None = connection.scope.get(SCOPE_KEY)
    if caller is None or caller.client is not client:
        caller = Caller(client, connection.scope)
        connection.scope[SCOPE_KEY] = caller
    return await LazyUser(caller).load()

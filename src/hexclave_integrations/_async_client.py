"""`AsyncHexclaveClient`: the methods of `HexclaveClient` on asyncio, a line per flow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from ._drivers import AsyncDriver
from ._policy import events, flows, questions
from ._policy.attempt import Attempt, Unproved
from ._policy.client_base import NO_PARAMS, BaseClient, Headers, concealed
from ._token.find import Credential
from .api_key import HexclaveApiKey
from .config import AsyncTransport, HexclaveConfig
from .errors import ApiKeyNotFound, NotAuthenticated, RequestRefused
from .requirements import Requirement
from .server import AsyncServer
from .user import AccessToken, HexclaveUser, Sealed

__all__ = ["AsyncHexclaveClient"]


class AsyncHexclaveClient(BaseClient):
    """Verifies tokens and checks permissions on asyncio; safe to share between event loops.

    `async with` keeps connections to Hexclave open on the running loop; without it each request opens one.

    Args:
        config: the project's settings; read from the environment when None.
        transport: an httpx async transport instead of real HTTP; it stays yours to close.
        clock: gives epoch seconds.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(
        self,
        config: HexclaveConfig | None = None,
        *,
        transport: AsyncTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(config, transport, clock)
        self._driver = AsyncDriver(self.config, self._transport)

    @property
    def server(self) -> AsyncServer:
        """As `HexclaveClient.server`, to be awaited."""
        return AsyncServer(self._core, self._driver)

    async def authenticate(
        self, headers: Headers, cookies: Mapping[str, str] | None = None, method: str | None = None
    ) -> HexclaveUser | None:
        """As `HexclaveClient.authenticate`."""
        token = self._find_token(headers, cookies, method)
        del headers, cookies  # as local variables, debuggers and error reports would show them
        if isinstance(token, RequestRefused):
            raise token
        return None if token is None else await self._verify(token)

    async def access_token(
        self, headers: Headers, cookies: Mapping[str, str] | None = None, method: str | None = None
    ) -> AccessToken:
        """As `HexclaveClient.access_token`."""
        token = self._find_token(headers, cookies, method) or NotAuthenticated()
        del headers, cookies  # as in `authenticate`
        if isinstance(token, RequestRefused):
            raise token
        return AccessToken(user=await self._verify(token), sealed=Sealed(token.encode()))

    async def identify(self, attempt: Attempt) -> HexclaveUser | None:
        """As `HexclaveClient.identify`."""
        now = self._core.clock()
        if self._core.settle(attempt, now):
            return self._core.outcome(attempt, now)
        return await self._driver.run(flows.identify(self._core, attempt))

    async def admit(
        self,
        requirement: Requirement,
        attempt: Attempt,
        *,
        params: Mapping[str, Any] = NO_PARAMS,
        request: object = None,
    ) -> HexclaveUser | HexclaveApiKey | None:
        """As `HexclaveClient.admit`; a callable team may be a coroutine function."""
        known = self._core.admit_known(requirement, attempt)
        if known is not None:
            return known
        return await self._driver.run(flows.admit(self._core, requirement, attempt, params, request))

    async def conclude(self, attempt: Attempt, status: int | None) -> None:
        """As `HexclaveClient.conclude`."""
        if attempt.spending is not None:
            await self._driver.run(flows.conclude(self._core, attempt, status))

    async def verify_token(self, token: str) -> HexclaveUser:
        """As `HexclaveClient.verify_token`."""
        token = concealed(token)
        return await self._verify(token)

    async def _verify(self, token: Credential) -> HexclaveUser:
        now = self._core.clock()
        try:
            judged = self._core.judge(token, now)
            if isinstance(judged, Unproved):
                judged = await self._driver.run(flows.prove(self._core, judged))
            return judged.user_at(now)
        except RequestRefused as error:
            self._core.note(error)
            raise

    async def authorize(
        self,
        requirement: Requirement,
        principal: HexclaveUser | HexclaveApiKey | None,
        *,
        params: Mapping[str, Any] = NO_PARAMS,
        request: object = None,
    ) -> HexclaveUser | HexclaveApiKey | None:
        """As `HexclaveClient.authorize`; a callable team may be a coroutine function."""
        return await self._driver.run(flows.authorize(self._core, requirement, principal, params, request))

    async def list_permissions(self, user_id: str, team_id: str | None = None) -> frozenset[str]:
        """As `HexclaveClient.list_permissions`."""
        if team_id is None:
            return await self._driver.run(questions.project_permissions(self._core, user_id))
        return await self._driver.run(questions.team_permissions(self._core, user_id, team_id))

    async def has_permission(self, user_id: str, permission: str, team_id: str | None = None) -> bool:
        """As `HexclaveClient.has_permission`."""
        return permission in await self.list_permissions(user_id, team_id)

    async def is_team_member(self, user_id: str, team_id: str) -> bool:
        """As `HexclaveClient.is_team_member`."""
        return await self._driver.run(questions.is_team_member(self._core, user_id, team_id))

    async def get_user(self, user_id: str) -> HexclaveUser | None:
        """As `HexclaveClient.get_user`."""
        return await self._driver.run(questions.user_by_id(self._core, user_id))

    async def get_current_user(self, token: str) -> HexclaveUser:
        """As `HexclaveClient.get_current_user`."""
        token = concealed(token)
        return await self._driver.run(flows.current_user(self._core, token))

    async def check_api_key(self, key: str) -> HexclaveApiKey:
        """As `HexclaveClient.check_api_key`."""
        key = concealed(key, ApiKeyNotFound)
        return await self._driver.run(flows.check_api_key(self._core, key))

    async def notice(self, kind: str, data: Mapping[str, Any]) -> None:
        """As `HexclaveClient.notice`."""
        await self._driver.run(events.forget(self._core, kind, data))

    async def warm(self) -> bool:
        """Fetch the keys ahead of the first request; False if they cannot be had now."""
        return await self._driver.run(flows.warm(self._core))

    async def close(self) -> None:
        """Close the running loop's connections; a later call opens new ones."""
        await self._driver.close()
        if self._core.fleet is not None:
            await self._core.fleet.scripts.aclose()

    async def __aenter__(self) -> Self:
        await self._driver.open()
        if self._core.fleet is not None:
            self._core.fleet.scripts.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

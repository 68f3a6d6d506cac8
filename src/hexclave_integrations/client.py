"""`HexclaveClient` and `AsyncHexclaveClient`: the same methods in both colours, a line per flow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeAlias

from . import _flows
from ._drivers import AsyncDriver, SyncDriver
from .config import AsyncTransport, HexclaveConfig, SyncTransport
from .requirements import Requirement
from .user import HexclaveUser

__all__ = ["AsyncHexclaveClient", "HexclaveClient"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping, or name/value pairs as text or bytes; names in any case, repeats allowed."""

_NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


def _pairs(headers: Headers) -> Iterable[tuple[Any, Any]]:
    return headers.items() if isinstance(headers, Mapping) else headers


class _Client:
    """What both colours share: the state, and what needs no I/O."""

    def __init__(
        self,
        config: HexclaveConfig | None = None,
        *,
        transport: Any = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = HexclaveConfig.from_env() if config is None else config
        self._core = _flows.Core(self.config, clock)
        self._transport = self.config.transport if transport is None else transport


class HexclaveClient(_Client):
    """Verifies tokens and checks permissions, blocking; safe to share between threads and after a fork.

    Args:
        config: the project's settings; read from the environment when None.
        transport: an httpx transport instead of real HTTP; it stays yours to close.
        clock: gives epoch seconds.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(
        self,
        config: HexclaveConfig | None = None,
        *,
        transport: SyncTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(config, transport=transport, clock=clock)
        self._driver = SyncDriver(self.config, self._transport)

    def authenticate(self, headers: Headers, cookies: Mapping[str, str] | None = None) -> HexclaveUser | None:
        """The verified user of a request, of any kind, or None when no credentials came.

        Args:
            headers: the request's headers.
            cookies: its cookies, still percent-encoded; read only with `accept_cookies`.

        Raises:
            AuthenticationError: credentials came and are not acceptable.
            Unavailable: it cannot be told now.
        """
        token = self._core.find_token(_pairs(headers), cookies)
        return None if token is None else self.verify_token(token)

    def verify_token(self, token: str) -> HexclaveUser:
        """The verified user of an access token, of any kind (contract section 2).

        Raises:
            AuthenticationError: the token is not acceptable.
            Unavailable: it cannot be told now.
        """
        known = self._core.recall(token)
        return self._driver.run(_flows.verify_token(self._core, token)) if known is None else known

    def authorize(
        self,
        requirement: Requirement,
        user: HexclaveUser | None,
        *,
        params: Mapping[str, Any] = _NO_PARAMS,
        request: object = None,
    ) -> HexclaveUser | None:
        """Hold a user, or nobody, against a requirement; return the user it lets through.

        Args:
            requirement: from `hexclave_integrations.requirements`.
            user: what `authenticate` returned.
            params: route parameters, for `"{name}"` teams.
            request: what a callable team is called with.

        Raises:
            RequestRefused: the answer is no, or cannot be told now.
            ConfigurationError: the requirement needs something that is not configured.
        """
        return self._driver.run(_flows.authorize(self._core, requirement, user, params, request))

    def list_permissions(self, user_id: str, team_id: str | None = None) -> frozenset[str]:
        """The ids of the permissions a user holds in a team, or in the project; nested ones included.

        Raises:
            Unavailable: it cannot be told now.
        """
        if team_id is None:
            return self._driver.run(_flows.project_permissions(self._core, user_id))
        return self._driver.run(_flows.team_permissions(self._core, user_id, team_id))

    def has_permission(self, user_id: str, permission: str, team_id: str | None = None) -> bool:
        """Whether a user holds a permission in a team, or in the project.

        Raises:
            Unavailable: it cannot be told now.
        """
        return permission in self.list_permissions(user_id, team_id)

    def is_team_member(self, user_id: str, team_id: str) -> bool:
        """Whether a user is a member of a team.

        Raises:
            Unavailable: it cannot be told now.
        """
        return self._driver.run(_flows.is_team_member(self._core, user_id, team_id))

    def get_user(self, user_id: str) -> HexclaveUser | None:
        """The user with this id as Hexclave knows him now, of any kind, or None.

        Raises:
            Unavailable: it cannot be told now.
        """
        return self._driver.run(_flows.user_by_id(self._core, user_id))

    def get_current_user(self, token: str) -> HexclaveUser:
        """The user of an access token as Hexclave knows him now, of any kind.

        Raises:
            AuthenticationError: the token is not acceptable, or the user is gone.
            Unavailable: it cannot be told now.
        """
        return self._driver.run(_flows.current_user(self._core, token))

    def warm(self) -> bool:
        """Fetch the keys ahead of the first request; False if they cannot be had now."""
        return self._driver.run(_flows.warm(self._core))

    def close(self) -> None:
        """Close connections; a later call opens new ones."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncHexclaveClient(_Client):
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
        super().__init__(config, transport=transport, clock=clock)
        self._driver = AsyncDriver(self.config, self._transport)

    async def authenticate(self, headers: Headers, cookies: Mapping[str, str] | None = None) -> HexclaveUser | None:
        """The verified user of a request, of any kind, or None when no credentials came.

        Args:
            headers: the request's headers.
            cookies: its cookies, still percent-encoded; read only with `accept_cookies`.

        Raises:
            AuthenticationError: credentials came and are not acceptable.
            Unavailable: it cannot be told now.
        """
        token = self._core.find_token(_pairs(headers), cookies)
        return None if token is None else await self.verify_token(token)

    async def verify_token(self, token: str) -> HexclaveUser:
        """The verified user of an access token, of any kind (contract section 2).

        Raises:
            AuthenticationError: the token is not acceptable.
            Unavailable: it cannot be told now.
        """
        known = self._core.recall(token)
        return await self._driver.run(_flows.verify_token(self._core, token)) if known is None else known

    async def authorize(
        self,
        requirement: Requirement,
        user: HexclaveUser | None,
        *,
        params: Mapping[str, Any] = _NO_PARAMS,
        request: object = None,
    ) -> HexclaveUser | None:
        """Hold a user, or nobody, against a requirement; return the user it lets through.

        Args:
            requirement: from `hexclave_integrations.requirements`.
            user: what `authenticate` returned.
            params: route parameters, for `"{name}"` teams.
            request: what a callable team is called with.

        Raises:
            RequestRefused: the answer is no, or cannot be told now.
            ConfigurationError: the requirement needs something that is not configured.
        """
        return await self._driver.run(_flows.authorize(self._core, requirement, user, params, request))

    async def list_permissions(self, user_id: str, team_id: str | None = None) -> frozenset[str]:
        """The ids of the permissions a user holds in a team, or in the project; nested ones included.

        Raises:
            Unavailable: it cannot be told now.
        """
        if team_id is None:
            return await self._driver.run(_flows.project_permissions(self._core, user_id))
        return await self._driver.run(_flows.team_permissions(self._core, user_id, team_id))

    async def has_permission(self, user_id: str, permission: str, team_id: str | None = None) -> bool:
        """Whether a user holds a permission in a team, or in the project.

        Raises:
            Unavailable: it cannot be told now.
        """
        return permission in await self.list_permissions(user_id, team_id)

    async def is_team_member(self, user_id: str, team_id: str) -> bool:
        """Whether a user is a member of a team.

        Raises:
            Unavailable: it cannot be told now.
        """
        return await self._driver.run(_flows.is_team_member(self._core, user_id, team_id))

    async def get_user(self, user_id: str) -> HexclaveUser | None:
        """The user with this id as Hexclave knows him now, of any kind, or None.

        Raises:
            Unavailable: it cannot be told now.
        """
        return await self._driver.run(_flows.user_by_id(self._core, user_id))

    async def get_current_user(self, token: str) -> HexclaveUser:
        """The user of an access token as Hexclave knows him now, of any kind.

        Raises:
            AuthenticationError: the token is not acceptable, or the user is gone.
            Unavailable: it cannot be told now.
        """
        return await self._driver.run(_flows.current_user(self._core, token))

    async def warm(self) -> bool:
        """Fetch the keys ahead of the first request; False if they cannot be had now."""
        return await self._driver.run(_flows.warm(self._core))

    async def close(self) -> None:
        """Close the running loop's connections; a later call opens new ones."""
        await self._driver.close()

    async def __aenter__(self) -> Self:
        await self._driver.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

"""`HexclaveClient`, a line per flow; `AsyncHexclaveClient`, the same on asyncio, is beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from ._async_client import AsyncHexclaveClient
from ._drivers import AsyncDriver, SyncDriver
from ._policy import events, flows, questions
from ._policy.attempt import Attempt, Unproved
from ._policy.client_base import NO_PARAMS, BaseClient, Headers, concealed
from ._token.find import Credential
from .api_key import HexclaveApiKey
from .config import HexclaveConfig, SyncTransport
from .errors import ApiKeyNotFound, NotAuthenticated, RequestRefused
from .requirements import Requirement
from .server import Server
from .user import AccessToken, HexclaveUser, Sealed

__all__ = ["AsyncHexclaveClient", "HexclaveClient"]


class HexclaveClient(BaseClient):
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
        super().__init__(config, transport, clock)
        self._driver = SyncDriver(self.config, self._transport)

    @property
    def server(self) -> Server:
        """The server's own calls, which need the secret server key: users, teams, items and the like."""
        return Server(self._core, self._driver)

    def authenticate(
        self, headers: Headers, cookies: Mapping[str, str] | None = None, method: str | None = None
    ) -> HexclaveUser | None:
        """The verified user of a request, of any kind, or None when no credentials came.

        Args:
            headers: the request's headers.
            cookies: its cookies, still percent-encoded; read only with `accept_cookies`.
            method: its method. Without one, as for the handshake of a websocket, a token in a cookie counts only if the
                page that sends it is of the same origin or in `trusted_origins`.

        Raises:
            AuthenticationError: credentials came and are not acceptable.
            CrossOriginRefused: the token came in a cookie, and a page of another origin may have made the request.
            Unavailable: it cannot be told now.
        """
        token = self._find_token(headers, cookies, method)
        del headers, cookies  # as local variables, debuggers and error reports would show them
        if isinstance(token, RequestRefused):
            raise token
        return None if token is None else self._verify(token)

    def access_token(
        self, headers: Headers, cookies: Mapping[str, str] | None = None, method: str | None = None
    ) -> AccessToken:
        """A request's own access token, verified, to pass on to another service; its user may be of any kind.

        Args:
            headers: the request's headers.
            cookies: its cookies, still percent-encoded; read only with `accept_cookies`.
            method: its method. Without one, as for the handshake of a websocket, a token in a cookie counts only if the
                page that sends it is of the same origin or in `trusted_origins`.

        Raises:
            NotAuthenticated: no credentials came.
            AuthenticationError: credentials came and are not acceptable.
            CrossOriginRefused: the token came in a cookie, and a page of another origin may have made the request.
            Unavailable: it cannot be told now.
        """
        token = self._find_token(headers, cookies, method) or NotAuthenticated()
        del headers, cookies  # as in `authenticate`
        if isinstance(token, RequestRefused):
            raise token
        return AccessToken(user=self._verify(token), sealed=Sealed(token.encode()))

    def identify(self, attempt: Attempt) -> HexclaveUser | None:
        """As `authenticate`, worked out once for each attempt.

        Raises:
            AuthenticationError: credentials came and are not acceptable.
            Unavailable: it cannot be told now.
        """
        now = self._core.clock()
        if self._core.settle(attempt, now):
            return self._core.outcome(attempt, now)
        return self._driver.run(flows.identify(self._core, attempt))

    def admit(
        self,
        requirement: Requirement,
        attempt: Attempt,
        *,
        params: Mapping[str, Any] = NO_PARAMS,
        request: object = None,
    ) -> HexclaveUser | HexclaveApiKey | None:
        """Hold a request against a requirement; return the user or API key that it lets through, or None for nobody.

        Args:
            requirement: what the route asks for.
            attempt: the request's credentials.
            params: route parameters, for `"{name}"` teams.
            request: what a callable team is called with.

        Raises:
            RequestRefused: the answer is no, or cannot be told now.
            ConfigurationError: the requirement needs something that is not configured.
        """
        known = self._core.admit_known(requirement, attempt)
        if known is not None:
            return known
        return self._driver.run(flows.admit(self._core, requirement, attempt, params, request))

    def conclude(self, attempt: Attempt, status: int | None) -> None:
        """Say how a request ended, so that what it had spent is given back where that is due; never fails.

        Args:
            attempt: the request's credentials.
            status: of the answer; None where there is none, because the handler raised.
        """
        if attempt.spending is not None:
            self._driver.run(flows.conclude(self._core, attempt, status))

    def verify_token(self, token: str) -> HexclaveUser:
        """The verified user of an access token, of any kind (contract section 2).

        Raises:
            AuthenticationError: the token is not acceptable.
            Unavailable: it cannot be told now.
        """
        token = concealed(token)
        return self._verify(token)

    def _verify(self, token: Credential) -> HexclaveUser:
        now = self._core.clock()
        try:
            judged = self._core.judge(token, now)
            if isinstance(judged, Unproved):
                judged = self._driver.run(flows.prove(self._core, judged))
            return judged.user_at(now)
        except RequestRefused as error:
            self._core.note(error)
            raise

    def authorize(
        self,
        requirement: Requirement,
        principal: HexclaveUser | HexclaveApiKey | None,
        *,
        params: Mapping[str, Any] = NO_PARAMS,
        request: object = None,
    ) -> HexclaveUser | HexclaveApiKey | None:
        """Hold a verified user or API key, or nobody, against a requirement; return what it lets through.

        A requirement that spends has then spent: giving back is up to you.

        Args:
            requirement: from `hexclave_integrations.requirements`.
            principal: what `authenticate` or `check_api_key` returned.
            params: route parameters, for `"{name}"` teams.
            request: what a callable team is called with.

        Raises:
            RequestRefused: the answer is no, or cannot be told now.
            ConfigurationError: the requirement needs something that is not configured.
        """
        return self._driver.run(flows.authorize(self._core, requirement, principal, params, request))

    def list_permissions(self, user_id: str, team_id: str | None = None) -> frozenset[str]:
        """The ids of the permissions a user holds in a team, or in the project; nested ones included.

        Raises:
            Unavailable: it cannot be told now.
        """
        if team_id is None:
            return self._driver.run(questions.project_permissions(self._core, user_id))
        return self._driver.run(questions.team_permissions(self._core, user_id, team_id))

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
        return self._driver.run(questions.is_team_member(self._core, user_id, team_id))

    def get_user(self, user_id: str) -> HexclaveUser | None:
        """The user with this id as Hexclave knows them now, of any kind, or None.

        Raises:
            Unavailable: it cannot be told now.
        """
        return self._driver.run(questions.user_by_id(self._core, user_id))

    def get_current_user(self, token: str) -> HexclaveUser:
        """The user of an access token as Hexclave knows them now, of any kind.

        Raises:
            AuthenticationError: the token is not acceptable, or the user is gone.
            Unavailable: it cannot be told now.
        """
        token = concealed(token)
        return self._driver.run(flows.current_user(self._core, token))

    def check_api_key(self, key: str) -> HexclaveApiKey:
        """What a user's or team's API key is (contract 4.4); the owner of a user's key may be of any kind.

        Raises:
            AuthenticationError: the key is unknown, revoked, expired, or its owner is gone.
            Unavailable: it cannot be told now.
        """
        key = concealed(key, ApiKeyNotFound)
        return self._driver.run(flows.check_api_key(self._core, key))

    def notice(self, kind: str, data: Mapping[str, Any]) -> None:
        """Forget at once what a webhook event made untrue, with Redis in every process (contract section 6).

        Args:
            kind: the event's type.
            data: the event's data.

        Raises:
            Unavailable: the other processes cannot be told now; the sender has to come back.
        """
        self._driver.run(events.forget(self._core, kind, data))

    def warm(self) -> bool:
        """Fetch the keys ahead of the first request; False if they cannot be had now."""
        return self._driver.run(flows.warm(self._core))

    def _twin(self) -> AsyncHexclaveClient:
        """An async client over the same keys and memories, for a process that answers in both colours."""
        twin = AsyncHexclaveClient.__new__(AsyncHexclaveClient)  # `__init__` would make a state only to drop it
        vars(twin).update(vars(self), _driver=AsyncDriver(self.config, self._transport, self._driver.flights))
        return twin

    def close(self) -> None:
        """Close connections; a later call opens new ones."""
        self._driver.close()
        if self._core.fleet is not None:
            self._core.fleet.scripts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

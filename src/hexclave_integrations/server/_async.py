"""`client.server` of `AsyncHexclaveClient`: as `_sync.py`, with calls that are awaited."""

from __future__ import annotations

from typing import Final

from .._drivers import AsyncDriver
from .._policy.state import Core
from ..errors import HexclaveError
from ..user import Sealed
from . import _access, _others, _payments, _users, _vault
from ._colours import AsyncGroup, Awaiting, AwaitingPages

__all__ = ["AsyncServer", "AsyncVault"]


class AsyncUsers(AsyncGroup):
    """`client.server.users`."""

    get: Final = Awaiting(_users.get_user)
    list: Final = AwaitingPages(_users.list_users)
    create: Final = Awaiting(_users.create_user)
    update: Final = Awaiting(_users.update_user)
    delete: Final = Awaiting(_users.delete_user)


class AsyncTeams(AsyncGroup):
    """`client.server.teams`."""

    get: Final = Awaiting(_users.get_team)
    list: Final = Awaiting(_users.list_teams)
    create: Final = Awaiting(_users.create_team)
    update: Final = Awaiting(_users.update_team)
    delete: Final = Awaiting(_users.delete_team)
    members: Final = Awaiting(_users.members)
    add_member: Final = Awaiting(_users.add_member)
    remove_member: Final = Awaiting(_users.remove_member)
    invite: Final = Awaiting(_users.invite)
    invitations: Final = Awaiting(_users.invitations)


class AsyncPermissions(AsyncGroup):
    """`client.server.permissions`; `client.list_permissions` says what somebody holds."""

    grant: Final = Awaiting(_access.grant)
    revoke: Final = Awaiting(_access.revoke)


class AsyncApiKeys(AsyncGroup):
    """`client.server.api_keys`; `client.check_api_key` says whether a key is good."""

    create: Final = Awaiting(_access.create_api_key)
    list: Final = Awaiting(_access.list_api_keys)
    revoke: Final = Awaiting(_access.revoke_api_key)


class AsyncSessions(AsyncGroup):
    """`client.server.sessions`."""

    create: Final = Awaiting(_access.create_session)
    list: Final = Awaiting(_access.list_sessions)
    revoke: Final = Awaiting(_access.revoke_session)


class AsyncItems(AsyncGroup):
    """`client.server.items`."""

    get: Final = Awaiting(_payments.get)
    change: Final = Awaiting(_payments.change)
    try_spend: Final = Awaiting(_payments.try_spend)


class AsyncProducts(AsyncGroup):
    """`client.server.products`."""

    list: Final = Awaiting(_payments.owned)
    grant: Final = Awaiting(_payments.grant)
    cancel: Final = Awaiting(_payments.cancel)
    checkout_url: Final = Awaiting(_payments.checkout_url)


class AsyncEmails(AsyncGroup):
    """`client.server.emails`."""

    send: Final = Awaiting(_others.send_email)


class AsyncConnectedAccounts(AsyncGroup):
    """`client.server.connected_accounts`."""

    list: Final = Awaiting(_others.list_accounts)
    access_token: Final = Awaiting(_others.access_token)


class AsyncProject(AsyncGroup):
    """`client.server.project`."""

    get: Final = Awaiting(_others.project)


class AsyncVault(AsyncGroup):
    """`client.server.vault(store_id)`: a store of the data vault, whose values are encrypted and decrypted here."""

    def __init__(self, core: Core, driver: AsyncDriver, path: str, secret: Sealed) -> None:
        super().__init__(core, driver)
        self._path = path
        self._secret = secret

    async def get(self, key: str) -> str | None:
        """As `Vault.get`."""
        about = _vault.key_of(self._path, self._secret, key)
        del key  # as in `set`
        if isinstance(about, HexclaveError):
            raise about
        return await self._driver.run(_vault.get(self._core, about))

    async def set(self, key: str, value: str) -> None:
        """As `Vault.set`."""
        about = _vault.key_of(self._path, self._secret, key, value)
        del key, value  # as local variables, error reports would show them
        if isinstance(about, HexclaveError):
            raise about
        await self._driver.run(_vault.set_value(self._core, about))


class AsyncServer(AsyncGroup):
    """`client.server`: calls that are awaited."""

    @property
    def users(self) -> AsyncUsers:
        """Users."""
        return AsyncUsers(self._core, self._driver)

    @property
    def teams(self) -> AsyncTeams:
        """Teams, their members and invitations."""
        return AsyncTeams(self._core, self._driver)

    @property
    def permissions(self) -> AsyncPermissions:
        """Permissions of users, in teams and in the project."""
        return AsyncPermissions(self._core, self._driver)

    @property
    def api_keys(self) -> AsyncApiKeys:
        """API keys of users and teams."""
        return AsyncApiKeys(self._core, self._driver)

    @property
    def sessions(self) -> AsyncSessions:
        """Sessions of users."""
        return AsyncSessions(self._core, self._driver)

    @property
    def items(self) -> AsyncItems:
        """How much of what customers have."""
        return AsyncItems(self._core, self._driver)

    @property
    def products(self) -> AsyncProducts:
        """What customers own."""
        return AsyncProducts(self._core, self._driver)

    @property
    def emails(self) -> AsyncEmails:
        """E-mails to users."""
        return AsyncEmails(self._core, self._driver)

    @property
    def connected_accounts(self) -> AsyncConnectedAccounts:
        """Accounts of users at OAuth providers."""
        return AsyncConnectedAccounts(self._core, self._driver)

    @property
    def project(self) -> AsyncProject:
        """The project itself."""
        return AsyncProject(self._core, self._driver)

    checkout_url: Final = Awaiting(_payments.checkout_url)

    def vault(self, store_id: str, secret: str | None = None) -> AsyncVault:
        """A store of the data vault; as `Server.vault`, and not awaited itself."""
        sealed = _vault.sealed_secret(secret)
        del secret  # as a local variable, error reports would show it
        if isinstance(sealed, HexclaveError):
            raise sealed
        return AsyncVault(self._core, self._driver, _vault.store_path(store_id), sealed)

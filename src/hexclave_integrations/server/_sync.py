"""`client.server` of `HexclaveClient`: calls that block. `_async.py` has the same classes to be awaited."""

from __future__ import annotations

from typing import Final

from .._drivers import SyncDriver
from .._policy.state import Core
from ..errors import HexclaveError
from ..user import Sealed
from . import _access, _others, _payments, _users, _vault
from ._colours import Blocking, BlockingPages, Group

__all__ = ["Server", "Vault"]


class Users(Group):
    """`client.server.users`."""

    get: Final = Blocking(_users.get_user)
    list: Final = BlockingPages(_users.list_users)
    create: Final = Blocking(_users.create_user)
    update: Final = Blocking(_users.update_user)
    delete: Final = Blocking(_users.delete_user)


class Teams(Group):
    """`client.server.teams`."""

    get: Final = Blocking(_users.get_team)
    list: Final = Blocking(_users.list_teams)
    create: Final = Blocking(_users.create_team)
    update: Final = Blocking(_users.update_team)
    delete: Final = Blocking(_users.delete_team)
    members: Final = Blocking(_users.members)
    add_member: Final = Blocking(_users.add_member)
    remove_member: Final = Blocking(_users.remove_member)
    invite: Final = Blocking(_users.invite)
    invitations: Final = Blocking(_users.invitations)


class Permissions(Group):
    """`client.server.permissions`; `client.list_permissions` says what somebody holds."""

    grant: Final = Blocking(_access.grant)
    revoke: Final = Blocking(_access.revoke)


class ApiKeys(Group):
    """`client.server.api_keys`; `client.check_api_key` says whether a key is good."""

    create: Final = Blocking(_access.create_api_key)
    list: Final = Blocking(_access.list_api_keys)
    revoke: Final = Blocking(_access.revoke_api_key)


class Sessions(Group):
    """`client.server.sessions`."""

    create: Final = Blocking(_access.create_session)
    list: Final = Blocking(_access.list_sessions)
    revoke: Final = Blocking(_access.revoke_session)


class Items(Group):
    """`client.server.items`."""

    get: Final = Blocking(_payments.get)
    change: Final = Blocking(_payments.change)
    try_spend: Final = Blocking(_payments.try_spend)


class Products(Group):
    """`client.server.products`."""

    list: Final = Blocking(_payments.owned)
    grant: Final = Blocking(_payments.grant)
    cancel: Final = Blocking(_payments.cancel)
    checkout_url: Final = Blocking(_payments.checkout_url)


class Emails(Group):
    """`client.server.emails`."""

    send: Final = Blocking(_others.send_email)


class ConnectedAccounts(Group):
    """`client.server.connected_accounts`."""

    list: Final = Blocking(_others.list_accounts)
    access_token: Final = Blocking(_others.access_token)


class Project(Group):
    """`client.server.project`."""

    get: Final = Blocking(_others.project)


class Vault(Group):
    """`client.server.vault(store_id)`: a store of the data vault, whose values are encrypted and decrypted here."""

    def __init__(self, core: Core, driver: SyncDriver, path: str, secret: Sealed) -> None:
        super().__init__(core, driver)
        self._path = path
        self._secret = secret

    def get(self, key: str) -> str | None:
        """The value of a key, or None where there is none under this secret: with another secret it is another key.

        Raises:
            NotFound: there is no such store.
            VaultValueDamaged: what is kept cannot be decrypted.
            Unavailable: it cannot be told now.
        """
        about = _vault.key_of(self._path, self._secret, key)
        del key  # as in `set`
        if isinstance(about, HexclaveError):
            raise about
        return self._driver.run(_vault.get(self._core, about))

    def set(self, key: str, value: str) -> None:
        """Keep a value under a key, in place of what was there.

        Args:
            value: half a megabyte in UTF-8 at most.

        Raises:
            NotFound: there is no such store.
            Unavailable: it is not known whether the value was kept.
        """
        about = _vault.key_of(self._path, self._secret, key, value)
        del key, value  # as local variables, error reports would show them
        if isinstance(about, HexclaveError):
            raise about
        self._driver.run(_vault.set_value(self._core, about))


class Server(Group):
    """`client.server`: calls that block."""

    @property
    def users(self) -> Users:
        """Users."""
        return Users(self._core, self._driver)

    @property
    def teams(self) -> Teams:
        """Teams, their members and invitations."""
        return Teams(self._core, self._driver)

    @property
    def permissions(self) -> Permissions:
        """Permissions of users, in teams and in the project."""
        return Permissions(self._core, self._driver)

    @property
    def api_keys(self) -> ApiKeys:
        """API keys of users and teams."""
        return ApiKeys(self._core, self._driver)

    @property
    def sessions(self) -> Sessions:
        """Sessions of users."""
        return Sessions(self._core, self._driver)

    @property
    def items(self) -> Items:
        """How much of what customers have."""
        return Items(self._core, self._driver)

    @property
    def products(self) -> Products:
        """What customers own."""
        return Products(self._core, self._driver)

    @property
    def emails(self) -> Emails:
        """E-mails to users."""
        return Emails(self._core, self._driver)

    @property
    def connected_accounts(self) -> ConnectedAccounts:
        """Accounts of users at OAuth providers."""
        return ConnectedAccounts(self._core, self._driver)

    @property
    def project(self) -> Project:
        """The project itself."""
        return Project(self._core, self._driver)

    checkout_url: Final = Blocking(_payments.checkout_url)

    def vault(self, store_id: str, secret: str | None = None) -> Vault:
        """A store of the data vault.

        Args:
            secret: what its values are encrypted with; from `HEXCLAVE_DATA_VAULT_SECRET`, then the legacy
                `STACK_DATA_VAULT_SECRET`, when None.

        Raises:
            ConfigurationError: there is no secret.
            InvalidArgument: the store's id is none.
        """
        sealed = _vault.sealed_secret(secret)
        del secret  # as a local variable, error reports would show it
        if isinstance(sealed, HexclaveError):
            raise sealed
        return Vault(self._core, self._driver, _vault.store_path(store_id), sealed)

"""`settings.HEXCLAVE`, read when it is first needed, and the clients it leads to.

Django's settings belong to the process, and so does what is made of them; `override_settings` makes it anew.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.signals import setting_changed

from .._adapter.cache_headers import vary_on_credentials
from .._adapter.default import check_default_settings
from .._policy.attempt import Attempt
from .._token.find import read_cookies, wanted_names
from ..client import AsyncHexclaveClient, HexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ._requirements import DjangoRequirement

__all__ = ["SETTING", "Installation", "get_async_client", "get_client", "installation", "own_settings"]

SETTING: Final = "HEXCLAVE"


class Installation:
    """The clients of this process: sync and async over one set of keys and memories.

    Args:
        values: `settings.HEXCLAVE`.

    Attributes:
        django_users: whether `request.user` follows the Hexclave user.
        user_field: the field of Django's user model that holds Hexclave's user id; None for the table of
            `hexclave_integrations.django.users`.
        vary: the headers that credentials come in, as `Vary` names them.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(self, values: Any) -> None:
        self.config: HexclaveConfig
        self.django_users: bool
        self.user_field: str | None
        self.config, self.django_users, self.user_field = own_settings(values)
        self._default = values.get("DEFAULT") if isinstance(values, Mapping) else None
        self.client: HexclaveClient = HexclaveClient(self.config)
        self.vary: str = vary_on_credentials(None, self.config)
        names = wanted_names(self.config)
        self._meta_keys = [("HTTP_" + name.upper().replace("-", "_"), name) for name in sorted(names)]

    @functools.cached_property
    def default(self) -> DjangoRequirement | None:
        """What views without a requirement of their own ask; a module that it names may need Django to be ready.

        Raises:
            ConfigurationError: it is no requirement, or lacks a setting.
        """
        from ._default import default_of

        found = default_of(self._default)
        check_default_settings(found, self.config)
        return found

    @functools.cached_property
    def async_client(self) -> AsyncHexclaveClient:
        """Made when first needed: a transport need not serve both colours."""
        return self.client._twin()

    def attempt(self, meta: Mapping[str, Any]) -> Attempt:
        """The credentials in a request's META; `request.headers` would read all of it."""
        found = {name: value for key, name in self._meta_keys if isinstance(value := meta.get(key), str)}
        return Attempt(found, lambda: read_cookies([meta.get("HTTP_COOKIE", "")]), meta.get("REQUEST_METHOD"))


def own_settings(values: Any) -> tuple[HexclaveConfig, bool, str | None]:
    """Read `settings.HEXCLAVE`: the kit's own settings, `DJANGO_USERS` and `DJANGO_USER_FIELD`.

    `DEFAULT` is read when the project starts.

    Args:
        values: the setting: a dictionary, or a whole `HexclaveConfig` such as a sandbox has. A `HexclaveConfig` under
            `CONFIG` in a dictionary takes the place of all of the kit's own settings in it.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    if isinstance(values, HexclaveConfig):
        return values, False, None
    if not isinstance(values, Mapping):
        raise ConfigurationError('settings.HEXCLAVE is no dictionary: write HEXCLAVE = {"PROJECT_ID": ...}.')
    others = dict(values)
    others.pop("DEFAULT", None)  # read by `Installation.default`
    django_users = others.pop("DJANGO_USERS", False)
    field = others.pop("DJANGO_USER_FIELD", None)
    if not isinstance(django_users, bool):
        raise ConfigurationError('HEXCLAVE["DJANGO_USERS"] is neither True nor False.')
    if field is not None and (not isinstance(field, str) or not field):
        raise ConfigurationError('HEXCLAVE["DJANGO_USER_FIELD"] is no field name.')
    whole = others.pop("CONFIG", None)
    if whole is None:
        return HexclaveConfig.from_mapping(others), django_users, field
    if not isinstance(whole, HexclaveConfig):
        raise ConfigurationError('HEXCLAVE["CONFIG"] is no HexclaveConfig.')
    return whole, django_users, field


@functools.cache
def installation() -> Installation:
    """What the settings lead to.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    return Installation(getattr(settings, SETTING, {}))


def get_client() -> HexclaveClient:
    """The client behind the requirements, for use in your own sync code.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    return installation().client


def get_async_client() -> AsyncHexclaveClient:
    """The client behind the requirements, for use in your own async code.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    return installation().async_client


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == SETTING:
        installation.cache_clear()


setting_changed.connect(_forget, dispatch_uid="hexclave_integrations.django")

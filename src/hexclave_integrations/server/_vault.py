"""The data vault: values that are encrypted here, and that Hexclave only keeps (contract 4.7)."""

from __future__ import annotations

from functools import partial
from typing import Final

from .._policy.effects import Compute, Flow
from .._policy.state import Core
from ..config import HexclaveConfig
from ..errors import ConfigurationError, HexclaveApiError, HexclaveError, InvalidArgument, VaultValueDamaged
from ..user import Sealed
from . import _vault_crypto
from ._arguments import name_in_path
from ._calls import ask
from ._replies import done, text_in

__all__ = ["VaultKey", "get", "key_of", "sealed_secret", "set_value", "store_path"]

_MISSING: Final = "DATA_VAULT_STORE_HASHED_KEY_DOES_NOT_EXIST"
# What is read back has to fit into the megabyte that an answer may have, in base64.
_MAX_VALUE: Final = 512 * 1024


def sealed_secret(secret: str | None) -> Sealed | HexclaveError:
    """The secret, where neither a log nor an error report shows it; or the error, for the caller to raise.

    It is not raised here, so that the caller can delete its own variable first: error reports show the local variables
    of every function that an exception passes through.

    Args:
        secret: read from the environment when None.
    """
    if secret is None:
        secret = HexclaveConfig.data_vault_secret_from_env()
    if not isinstance(secret, str) or not secret:
        return ConfigurationError(
            "The data vault has no secret: pass secret=... or set HEXCLAVE_DATA_VAULT_SECRET "
            "(or the legacy STACK_DATA_VAULT_SECRET). Keep it: nobody else can decrypt what it encrypted."
        )
    return _sealed("secret", secret)


def store_path(store_id: str) -> str:
    """Where a store is.

    Raises:
        InvalidArgument: the store's id is none.
    """
    return f"/data-vault/stores/{name_in_path('store_id', store_id)}"


class VaultKey:
    """A key of a store, with the secret and perhaps a value: nothing of it is shown.

    Attributes:
        path: of the store.
        name, secret, value: sealed.
    """

    __slots__ = ("name", "path", "secret", "value")

    def __init__(self, path: str, secret: Sealed, name: Sealed, value: Sealed) -> None:
        self.path = path
        self.secret = secret
        self.name = name
        self.value = value


def key_of(path: str, secret: Sealed, key: str, value: str = "") -> VaultKey | HexclaveError:
    """What a call is about; or the error, as from `sealed_secret`: a key or value that is no text, or too large."""
    name, content = _sealed("key", key), _sealed("value", value)
    if isinstance(name, HexclaveError):
        return name
    if isinstance(content, HexclaveError):
        return content
    if len(content.text) > _MAX_VALUE:
        return InvalidArgument(f"value is larger than {_MAX_VALUE} bytes.")
    return VaultKey(path, secret, name, content)


def get(core: Core, key: VaultKey) -> Flow[str | None]:
    """The value of a key.

    Raises:
        NotFound: there is no such store.
        VaultValueDamaged: what is kept cannot be decrypted.
        Unavailable: it cannot be told now.
    """
    derived: Sealed = yield Compute(partial(_derived, key))
    body = {"hashed_key": _hashed(key, derived)}
    read = text_in("encrypted_value")
    try:
        # It changes nothing although it is a POST.
        found = yield from ask(
            core, "a value of the data vault", "POST", f"{key.path}/get", read, body=body, is_repeatable=True
        )
    except HexclaveApiError as error:
        if error.code == _MISSING:
            return None
        raise
    return _decrypted(derived, found)


def set_value(core: Core, key: VaultKey) -> Flow[None]:
    """Keep a value under a key, in place of what was there.

    Raises:
        NotFound: there is no such store.
        Unavailable: it is not known whether the value was kept.
    """
    derived: Sealed = yield Compute(partial(_derived, key))
    encrypted = _vault_crypto.encrypt(derived.text, key.value.text)
    body = {"hashed_key": _hashed(key, derived), "encrypted_value": encrypted}
    yield from ask(core, "a new value of the data vault", "POST", f"{key.path}/set", done, body=body)


def _derived(key: VaultKey) -> Sealed:
    return Sealed(_vault_crypto.derived_key(key.secret.text, key.name.text))


def _hashed(key: VaultKey, derived: Sealed) -> str:
    return _vault_crypto.hashed_key(key.secret.text, derived.text)


def _decrypted(derived: Sealed, encrypted: str) -> str:
    try:
        return _vault_crypto.decrypt(derived.text, encrypted).decode()
    except UnicodeDecodeError:
        raise VaultValueDamaged(_vault_crypto.DAMAGED) from None


def _sealed(name: str, text: object) -> Sealed | HexclaveError:
    try:
        return Sealed(text.encode()) if isinstance(text, str) else InvalidArgument(f"{name} has to be a text.")
    except UnicodeEncodeError:
        return InvalidArgument(f"{name} has to be a text that UTF-8 can write.")

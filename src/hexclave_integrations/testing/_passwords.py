"""Passwords of the sandbox's users, kept as salted Scrypt hashes because the state file outlives the process."""

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_COST = 2**14
_BLOCK_SIZE = 8
_PARALLELIZATION = 1
_SALT_BYTES = 16
_HASH_BYTES = 32
_MARK = "scrypt"


def hash_password(text: str) -> str:
    """The hash under which a password is kept: one text, which holds its own random salt.

    Args:
        text: The password.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    return "$".join((_MARK, _encode(salt), _encode(_function(salt).derive(text.encode()))))


def password_matches(text: str, kept: str | None) -> bool:
    """Whether a password is the one that was hashed, compared in constant time; False where nothing readable is kept.

    Args:
        text: The password that somebody typed.
        kept: What `hash_password` returned, or None for a user without a password.
    """
    if kept is None:
        return False
    try:
        mark, salt, hashed = kept.split("$")
        if mark != _MARK:
            return False
        _function(_decode(salt)).verify(text.encode(), _decode(hashed))
    except (InvalidKey, ValueError, binascii.Error):
        return False
    return True


def _function(salt: bytes) -> Scrypt:
    return Scrypt(salt=salt, length=_HASH_BYTES, n=_COST, r=_BLOCK_SIZE, p=_PARALLELIZATION)


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(value: str) -> bytes:
    return base64.b64decode(value, validate=True)

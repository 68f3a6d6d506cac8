"""How the data vault encrypts: byte for byte as Hexclave's JavaScript SDK (contract 4.7). Pure, and slow on purpose.

Hexclave sees a hash of the key and an encrypted value, and never the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import VaultValueDamaged

__all__ = ["DAMAGED", "decrypt", "derived_key", "encrypt", "hashed_key"]

DAMAGED: Final = "The data vault holds a value under this key that cannot be decrypted."
_ITERATIONS: Final = 100_000
_VERSION: Final = b"\x01\x00"
_SALT, _NONCE, _TAG = 16, 12, 16
_PURPOSE: Final = "stack-data-vault-client-side-encryption"


def derived_key(secret: bytes, key: bytes) -> bytes:
    """The secret of one key: what takes the time."""
    return _hash(f"{_PURPOSE}-value-encryption-key-hash", secret, key, _ITERATIONS)


def hashed_key(secret: bytes, derived: bytes) -> str:
    """What Hexclave knows a key by; with another secret it is another key."""
    return _base64(_hash(f"{_PURPOSE}-key-hash", secret, derived, 1))


def encrypt(derived: bytes, value: bytes, *, salt: bytes | None = None, nonce: bytes | None = None) -> str:
    """What Hexclave keeps.

    Args:
        salt, nonce: only to compare with other implementations; random when None, as they have to be.
    """
    salt = os.urandom(_SALT) if salt is None else salt
    nonce = os.urandom(_NONCE) if nonce is None else nonce
    return _base64(_VERSION + salt + nonce + _cipher(derived, salt).encrypt(nonce, value, None))


def decrypt(derived: bytes, encrypted: str) -> bytes:
    """The value.

    Raises:
        VaultValueDamaged: this was not encrypted for this key, or not like this.
    """
    try:
        data = binascii.a2b_base64(encrypted.encode("ascii"), strict_mode=True)
    except ValueError:
        raise VaultValueDamaged(DAMAGED) from None
    if not data.startswith(_VERSION) or len(data) < len(_VERSION) + _SALT + _NONCE + _TAG:
        raise VaultValueDamaged(DAMAGED)
    salt, rest = data[2 : 2 + _SALT], data[2 + _SALT :]
    try:
        return _cipher(derived, salt).decrypt(rest[:_NONCE], rest[_NONCE:], None)
    except InvalidTag:
        raise VaultValueDamaged(DAMAGED) from None


def _hash(purpose: str, extra: bytes, value: bytes, iterations: int) -> bytes:
    salt = _json(["stack-crypto-helper-iterated-hash", purpose, "", _base64(extra)])
    return hashlib.pbkdf2_hmac("sha256", value, salt, iterations, 32)


def _cipher(derived: bytes, salt: bytes) -> AESGCM:
    purpose = f"{_PURPOSE}-value-encryption-value-encryption"
    info = _json(["stack-crypto-helper-derived-symmetric-key", purpose, "binary-key", _base64(salt)])
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(derived))


def _json(parts: list[str]) -> bytes:
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

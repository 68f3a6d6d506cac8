"""A key set as a text, to keep in a file or in Redis: what is read back is trusted no more than a fetched set.

The text names the project, the server and the moment of the fetch, so that it serves nobody else and not for ever. With
a secret server key it is sealed with a key that is derived from it: whoever can write the file, or into Redis, cannot
add keys of their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from .._base import strict
from ..config import HexclaveConfig
from ..user import UserKind
from .keys import KINDS_IN_ORDER, KeySet, kinds_by_order, parse_key_set

__all__ = ["MAX_TEXT", "KeptKeys"]

MAX_TEXT: Final = 64 * 1024
"""Most characters of a kept set; one of 64 keys has about 12,000."""
_VERSION: Final = 1
_UNSEALED: Final = "unsealed"
_PURPOSE: Final = b"hexclave-integrations: key sets that are kept, version 1"


class KeptKeys:
    """Writes and reads key sets of one project.

    Args:
        config: gives project, server, `leeway`, `jwks_max_stale`, and the server key that seals.
    """

    def __init__(self, config: HexclaveConfig) -> None:
        self._owner = {"version": _VERSION, "api_url": config.api_url, "project_id": config.project_id}
        self._leeway = config.leeway
        self._max_stale = config.jwks_max_stale
        self._seal: bytes | None = None
        if config.secret_server_key is not None:
            self._seal = hmac.digest(config.secret_server_key.encode(), _PURPOSE, hashlib.sha256)

    @property
    def name(self) -> str | None:
        """Tells apart what was sealed with different server keys, and says nothing of them; None without one."""
        return None if self._seal is None else hmac.digest(self._seal, b"name", hashlib.sha256).hex()[:16]

    def write(self, key_set: KeySet) -> str:
        """The text of a set that was fetched.

        Raises:
            ValueError: it was never fetched, or is too large to keep.
        """
        if key_set.fetched_at is None:
            raise ValueError("there is no key set")
        record = {
            **self._owner,
            "fetched_at": key_set.fetched_at,
            "kinds": dict(key_set.kinds) if key_set.kinds_are_certain else None,
            "keys": [_jwk(kid, key) for kid, key in key_set.keys.items()],
        }
        body = json.dumps(record, separators=(",", ":"))
        text = f"{self._sealed(body)}\n{body}\n"
        if len(text) > MAX_TEXT:
            raise ValueError("the key set is too large to be kept")
        return text

    def read(self, text: str, now: float) -> KeySet:
        """A set that is young enough to be used.

        Args:
            text: what `write` returned, or anything.
            now: epoch seconds.

        Raises:
            ValueError: it is anything else; the message says what, and holds nothing of the text.
        """
        if len(text) > MAX_TEXT:
            raise ValueError("it is too large")
        seal, _, rest = text.partition("\n")
        body, end, surplus = rest.partition("\n")
        if not end or surplus:
            raise ValueError("it is cut off, or no key set that was kept")
        if not hmac.compare_digest(seal.encode("utf-8", "surrogatepass"), self._sealed(body).encode()):
            raise ValueError("its seal was not made with this secret_server_key")
        try:
            record = strict.json_object(body.encode())
        except ValueError:
            raise ValueError("it cannot be read") from None
        if any(record.get(name) != value for name, value in self._owner.items()):
            raise ValueError("it is of another project, server or version")
        fetched_at = record.get("fetched_at")
        if isinstance(fetched_at, bool) or not isinstance(fetched_at, int | float) or fetched_at < 0:
            raise ValueError("it does not say when it was fetched")
        if fetched_at > now + self._leeway:
            raise ValueError("it says that it was fetched in the future: is this machine's clock slow?")
        if now - fetched_at >= self._max_stale:
            raise ValueError("it is older than jwks_max_stale")
        try:
            keys = parse_key_set(json.dumps({"keys": record.get("keys")}).encode())
            return _key_set(keys, record.get("kinds"), min(fetched_at, now))
        except ValueError:
            raise ValueError("there are no usable keys in it") from None

    def _sealed(self, body: str) -> str:
        if self._seal is None:
            return _UNSEALED
        return hmac.digest(self._seal, body.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def _key_set(keys: Mapping[str, EllipticCurvePublicKey], kinds: Any, fetched_at: float) -> KeySet:
    if kinds is None:
        known = kinds_by_order(list(keys))
        return KeySet(MappingProxyType(dict(keys)), MappingProxyType(known), fetched_at=fetched_at)
    if not isinstance(kinds, dict) or kinds.keys() != keys.keys():
        raise ValueError("no kinds of users")
    if not all(kind in KINDS_IN_ORDER for kind in kinds.values()):
        raise ValueError("no kinds of users")
    certain: dict[str, UserKind] = kinds
    return KeySet(
        MappingProxyType(dict(keys)), MappingProxyType(certain), kinds_are_certain=True, fetched_at=fetched_at
    )


def _jwk(kid: str, key: EllipticCurvePublicKey) -> dict[str, str]:
    point = key.public_numbers()
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": kid, "x": _base64url(point.x), "y": _base64url(point.y)}


def _base64url(coordinate: int) -> str:
    return base64.urlsafe_b64encode(coordinate.to_bytes(32)).decode().rstrip("=")

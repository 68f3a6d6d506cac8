"""The keys and access tokens of a sandbox, made and judged with PyJWT (contract section 2).

This is deliberately not the verifier of the package: the sandbox has to be able to contradict it.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..user import UserKind

__all__ = ["BadToken", "ExpiredToken", "SigningKeys", "Verified", "audience", "issuer"]

_AUDIENCE_SUFFIX: dict[UserKind, str] = {"regular": "", "restricted": ":restricted", "anonymous": ":anon"}
_ISSUER_PATH: dict[UserKind, str] = {
    "regular": "projects",
    "restricted": "projects-restricted-users",
    "anonymous": "projects-anonymous-users",
}


class BadToken(Exception):
    """The token is no genuine access token of this server."""


class ExpiredToken(Exception):
    """The token was genuine; `claims` are its claims."""

    def __init__(self, claims: Mapping[str, Any]) -> None:
        super().__init__("expired")
        self.claims = claims


@dataclass(frozen=True, slots=True)
class Verified:
    """A genuine, unexpired token: its claims, the project and the kind of user its audience names."""

    claims: Mapping[str, Any]
    project_id: str
    kind: UserKind


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str
    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> _Key:
        return cls(secrets.token_urlsafe(9), ec.generate_private_key(ec.SECP256R1()))

    def public_jwk(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        x, y = (
            base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
            for number in (numbers.x, numbers.y)
        )
        return {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.kid, "x": x, "y": y}

    def pem(self) -> str:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _pair(exported: object) -> tuple[_Key, _Key]:
    first, second = exported if isinstance(exported, list) and len(exported) == 2 else (None, None)
    return _key(first), _key(second)


def _key(exported: object) -> _Key:
    match exported:
        case {"kid": str(kid), "pem": str(pem)}:
            try:
                private = serialization.load_pem_private_key(pem.encode(), None)
            except (ValueError, TypeError, UnsupportedAlgorithm):
                private = None
            if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
                return _Key(kid, private)
    raise ValueError("a signing key is no ES256 key with an id")


class SigningKeys:
    """Fresh ES256 keys: for each kind of user one that signs and one that is only published."""

    def __init__(self) -> None:
        self._keys: dict[UserKind, tuple[_Key, _Key]] = {
            kind: (_Key.generate(), _Key.generate()) for kind in _AUDIENCE_SUFFIX
        }

    def export(self) -> dict[str, list[dict[str, str]]]:
        """All keys, private ones, as a JSON value that `restore` reads."""
        return {kind: [{"kid": key.kid, "pem": key.pem()} for key in keys] for kind, keys in self._keys.items()}

    @classmethod
    def restore(cls, exported: object) -> Self:
        """The keys of `export`.

        Raises:
            ValueError: it is no export.
        """
        if not isinstance(exported, dict) or set(exported) != set(_AUDIENCE_SUFFIX):
            raise ValueError("these are no signing keys of the three kinds of user")
        restored = cls.__new__(cls)
        restored._keys = {kind: _pair(exported[kind]) for kind in _AUDIENCE_SUFFIX}
        return restored

    def published(self) -> list[tuple[UserKind, str, bool]]:
        """Each key as the kind of user it is for, its id, and whether it signs."""
        return [(kind, key.kid, number == 0) for kind, keys in self._keys.items() for number, key in enumerate(keys)]

    def jwks(self, *, restricted: bool, anonymous: bool) -> dict[str, list[dict[str, str]]]:
        """The public set: 2 keys, 4 with restricted users, 6 with anonymous ones, who imply restricted."""
        kinds: list[UserKind] = ["regular"]
        if restricted or anonymous:
            kinds.append("restricted")
        if anonymous:
            kinds.append("anonymous")
        return {"keys": [key.public_jwk() for kind in kinds for key in self._keys[kind]]}

    def sign(self, claims: Mapping[str, Any], kind: UserKind, headers: Mapping[str, Any] | None = None) -> str:
        """A compact JWS over `claims`, whatever they say, by the signing key for `kind`."""
        key = self._keys[kind][0]
        payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
        # An empty `typ` makes PyJWT leave it out, as Hexclave does.
        header = {"kid": key.kid, "typ": ""} | dict(headers or {})
        return jwt.PyJWS().encode(payload, key.private, algorithm="ES256", headers=header)

    def verify(self, token: str, *, issuer_bases: Collection[str], now: float) -> Verified:
        """Judge a token as Hexclave does: signature, issuer and audience, then expiry without leeway.

        Raises:
            BadToken: anything but a genuine token.
            ExpiredToken: genuine, and over.
        """
        try:
            kind, public_key = self._find(jwt.get_unverified_header(token).get("kid"))
            claims = json.loads(jwt.PyJWS().decode(token, public_key, algorithms=["ES256"]))
            project_id = str(claims["aud"]).partition(":")[0]
            expires_at = claims["exp"]
        except (jwt.PyJWTError, ValueError, LookupError, TypeError) as error:
            raise BadToken from error
        issuers = {issuer(base, project_id, kind) for base in issuer_bases}
        if claims["aud"] != audience(project_id, kind) or claims.get("iss") not in issuers:
            raise BadToken
        if isinstance(expires_at, bool) or not isinstance(expires_at, int | float) or not math.isfinite(expires_at):
            raise BadToken
        if expires_at <= now:
            raise ExpiredToken(claims)
        return Verified(claims, project_id, kind)

    def _find(self, kid: object) -> tuple[UserKind, ec.EllipticCurvePublicKey]:
        for kind, keys in self._keys.items():
            for key in keys:
                if key.kid == kid:
                    return kind, key.private.public_key()
        raise BadToken


def audience(project_id: str, kind: UserKind) -> str:
    """The `aud` of a token for that kind of user."""
    return project_id + _AUDIENCE_SUFFIX[kind]


def issuer(base_url: str, project_id: str, kind: UserKind) -> str:
    """The `iss` of a token for that kind of user, minted by the API at `base_url`."""
    return f"{base_url}/api/v1/{_ISSUER_PATH[kind]}/{project_id}"

"""Tokens made by hand: keys, claims of each kind of user, and compact tokens with anything in any place."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

PROJECT: Final = "e0b52f4d-dece-408c-af49-d23061bb0f8d"
OTHER_PROJECT: Final = "957c1a9c-0c38-48ee-a054-044694e00dbe"
USER: Final = "3241a285-8329-4d69-8f3d-316e08cf140c"
SESSION: Final = "5b2f6c1e-8f3a-4d57-9c60-1f0d2b7a4e93"
TEAM: Final = "ad962777-8244-496a-b6a2-e0c6a449c79e"
HOST: Final = "https://api.hexclave.com"
KID: Final = "Xq3vT0pLk9aB"
ISSUED: Final = 1767225600
EXPIRES: Final = ISSUED + 600
NOW: Final = ISSUED + 60.0

# The order of the group of P-256 (SEC 2, section 2.4.2) and its field's prime.
N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P: Final = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF

KINDS: Final = ("regular", "restricted", "anonymous")
AUDIENCES: Final = {"regular": PROJECT, "restricted": f"{PROJECT}:restricted", "anonymous": f"{PROJECT}:anon"}
ISSUER_PATHS: Final = {
    "regular": "projects",
    "restricted": "projects-restricted-users",
    "anonymous": "projects-anonymous-users",
}
FLAGS: Final[dict[str, dict[str, Any]]] = {
    "regular": {"is_anonymous": False, "is_restricted": False, "restricted_reason": None},
    "restricted": {
        "is_anonymous": False,
        "is_restricted": True,
        "restricted_reason": {"type": "email_not_verified"},
    },
    "anonymous": {"is_anonymous": True, "is_restricted": True, "restricted_reason": {"type": "anonymous"}},
}


class _Absent:
    """The type of `ABSENT`."""


ABSENT: Final = _Absent()
"""As a claim's value: leave the claim out."""


def data(name: str) -> Any:
    """The content of a JSON file in `tests/data`."""
    return json.loads((Path(__file__).parent / "data" / name).read_text(encoding="utf-8"))


def new_key() -> EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return generate_private_key(SECP256R1())


def encode(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(segment: str) -> bytes:
    """Undo `encode`.

    Raises:
        ValueError: it is not of the alphabet. The standard library skips such characters, and warns since 3.15.
    """
    if re.fullmatch(r"[A-Za-z0-9_-]*", segment) is None:
        raise ValueError("no base64url")
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def issuer(kind: str, host: str = HOST, project: str = PROJECT) -> str:
    """The issuer of tokens for users of this kind."""
    return f"{host}/api/v1/{ISSUER_PATHS[kind]}/{project}"


def claims_of(kind: str = "regular", **changes: Any) -> dict[str, Any]:
    """The claims Hexclave signs for a user of this kind; `ABSENT` leaves one out."""
    claims = {
        "sub": USER,
        "iss": issuer(kind),
        "aud": AUDIENCES[kind],
        "iat": ISSUED,
        "exp": EXPIRES,
        "project_id": PROJECT,
        "branch_id": "main",
        "refresh_token_id": SESSION,
        "role": "authenticated",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "email_verified": True,
        "selected_team_id": TEAM,
        "signed_up_at": 1764547200,
        **FLAGS[kind],
        "requires_totp_mfa": False,
    } | changes
    return {name: value for name, value in claims.items() if value is not ABSENT}


def raw_signature(key: EllipticCurvePrivateKey, signing_input: bytes) -> bytes:
    """r and s of 32 bytes each (RFC 7518 section 3.4)."""
    r, s = decode_dss_signature(key.sign(signing_input, ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def mint_segments(key: EllipticCurvePrivateKey, header_segment: str, payload_segment: str) -> str:
    """Sign two segments as they are."""
    signing_input = f"{header_segment}.{payload_segment}"
    return f"{signing_input}.{encode(raw_signature(key, signing_input.encode()))}"


def mint(
    key: EllipticCurvePrivateKey,
    claims: Mapping[str, Any] | bytes,
    header: Mapping[str, Any] | bytes | None = None,
    *,
    signature: bytes | None = None,
) -> str:
    """A compact token.

    Args:
        claims: the claims, or the payload's bytes as they are.
        header: the header, or its bytes as they are; Hexclave's own by default.
        signature: the signature's bytes instead of a genuine one.
    """
    head = {"alg": "ES256", "kid": KID} if header is None else header
    segments = [
        encode(part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode())
        for part in (head, claims)
    ]
    if signature is None:
        return mint_segments(key, *segments)
    return ".".join([*segments, encode(signature)])


def jwk(key: EllipticCurvePublicKey, kid: str = KID, **changes: Any) -> dict[str, Any]:
    """A public key as Hexclave publishes it (contract section 2); `ABSENT` leaves a member out."""
    numbers = key.public_numbers()
    entry = {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "kid": kid,
        "x": encode(numbers.x.to_bytes(32)),
        "y": encode(numbers.y.to_bytes(32)),
    } | changes
    return {name: value for name, value in entry.items() if value is not ABSENT}


def key_set(*entries: object) -> bytes:
    """A JWK set document."""
    return json.dumps({"keys": entries}).encode()

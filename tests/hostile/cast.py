"""The people of the hostile corpus: the project with its keys, an honest user, an attacker, and their victim."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from .. import _minting
from .._minting import KINDS, PROJECT, USER

__all__ = [
    "ATTACKER",
    "EXPIRED",
    "FORGED",
    "GENUINE",
    "INVALID",
    "JWKS",
    "KEY",
    "KEYS",
    "KIDS",
    "NOBODY",
    "NOW",
    "OTHER_PROJECT",
    "PROJECT",
    "USER",
    "VICTIM",
    "Case",
    "claims",
    "genuine",
    "signed",
]

# The codes of a refused token; the status of each is 401.
NOBODY: Final = "USER_AUTHENTICATION_REQUIRED"
INVALID: Final = "UNPARSABLE_ACCESS_TOKEN"
EXPIRED: Final = "ACCESS_TOKEN_EXPIRED"
OTHER_PROJECT: Final = "INVALID_PROJECT_FOR_ACCESS_TOKEN"

NOW: Final = int(time.time())
VICTIM: Final = "77777777-7777-4777-8777-777777777777"
"""The user id that every forgery claims: an answer that holds it has let a forger in."""

KEYS: Final = {kind: _minting.new_key() for kind in KINDS}
KIDS: Final = {"regular": "Xq3vT0pLk9aB", "restricted": "f7Rk2mWz0QeH", "anonymous": "Jd8sYc5uN1xG"}
KEY: Final = KEYS["regular"]
ATTACKER: Final = _minting.new_key()
JWKS: Final = _minting.key_set(*(_minting.jwk(KEYS[kind].public_key(), KIDS[kind]) for kind in KINDS))
"""The project's key set; the attacker's key is not in it."""


@dataclass(frozen=True)
class Case:
    """A credential with one defect, or none.

    Attributes:
        name: unique in the corpus.
        token: as the verifier gets it.
        code: of the refusal; None where the token is genuine for all its looks, and is accepted.
        in_header: whether a header can carry it as it is: blanks at the ends, commas and controls mean something there.
    """

    name: str
    token: str
    code: str | None = INVALID
    in_header: bool = True


def claims(kind: str = "regular", **changes: Any) -> dict[str, Any]:
    """The claims that Hexclave would sign now, bent as wished; `ABSENT` leaves one out."""
    return _minting.claims_of(kind, **{"iat": NOW - 5, "exp": NOW + 3600, **changes})


def signed(
    body: Mapping[str, Any] | bytes,
    header: Mapping[str, Any] | bytes | None = None,
    *,
    key: EllipticCurvePrivateKey = KEY,
    signature: bytes | None = None,
) -> str:
    """A token with the project's own signature, whatever is in it."""
    return _minting.mint(
        key, body, {"alg": "ES256", "kid": KIDS["regular"]} if header is None else header, signature=signature
    )


def genuine(number: int = 0) -> str:
    """A token of the honest user; another one for each number, so that none is remembered from before."""
    return signed(claims(iat=NOW - 5 - number))


GENUINE: Final = genuine()
FORGED: Final = signed(claims(sub=VICTIM), key=ATTACKER)

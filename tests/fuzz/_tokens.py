"""Access tokens: as a stranger sends them, and with claims of a stranger's choice under a genuine signature."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key

from hexclave_integrations import HexclaveConfig, HexclaveUser
from hexclave_integrations._token.verify import Verifier
from hexclave_integrations.errors import RequestRefused

from .._minting import (
    AUDIENCES,
    EXPIRES,
    ISSUED,
    KID,
    KINDS,
    NOW,
    OTHER_PROJECT,
    PROJECT,
    SESSION,
    TEAM,
    USER,
    N,
    claims_of,
    decode,
    encode,
    issuer,
    mint,
    raw_signature,
)
from ._target import Target, change_bytes, change_json, finding

__all__ = ["CONFIG", "GENUINE", "HEADER", "claims_target", "token_target", "verified"]

# No secret: reproducers must mean the same in every run.
KEY: Final = derive_private_key(0x6865786C6176652066757A7A, SECP256R1())
ATTACKER: Final = derive_private_key(0x61747461636B6572, SECP256R1())
PUBLIC: Final = KEY.public_key()
CONFIG: Final = HexclaveConfig(project_id=PROJECT, issuer_urls=("https://sandbox.hexclave.invalid",))
ISSUERS: Final = {issuer(kind, host): kind for kind in KINDS for host in CONFIG.issuer_bases}
HEADER: Final = json.dumps({"alg": "ES256", "kid": KID}, separators=(",", ":")).encode()

GENUINE: Final = {mint(KEY, claims_of(kind, iss=name)): claims_of(kind, iss=name) for name, kind in ISSUERS.items()}
"""Tokens that the key has signed, and their claims."""

_SIGNED: Final = {token.rpartition(".")[0]: claims for token, claims in GENUINE.items()}
_VALUES: Final[list[Any]] = [
    *(USER, TEAM, SESSION, PROJECT, OTHER_PROJECT, *AUDIENCES.values(), *ISSUERS, ISSUED, EXPIRES, float(EXPIRES)),
    *(int(NOW) + delta for delta in (-11, -10, -9, 9, 10, 11)),
]
_WARM: Final = Verifier(CONFIG)

Judge: TypeAlias = Callable[[str], HexclaveUser]


def verified(token: str, verifier: Verifier | None = None) -> HexclaveUser:
    """The user of a token, by a verifier that has seen genuine ones unless another is given.

    Raises:
        RequestRefused: it is refused.
    """
    judge = verifier or _WARM
    user, _ = judge.verify(judge.parse(token), PUBLIC, NOW)
    return user


def _answer(judge: Judge, token: str) -> dict[str, Any] | str:
    """The claims that are vouched for, or the code of the refusal."""
    try:
        return dict(judge(token).claims)
    except RequestRefused as refusal:
        return refusal.code


# --- what a stranger sends --------------------------------------------------------------------------------


def token_target(judge: Judge = verified) -> Target:
    """A compact token of no matter what: accepted only if the key has signed its first two segments."""

    def check(data: bytes) -> bool:
        token = data.decode("utf-8", "surrogateescape")
        answer = _answer(judge, token)
        if isinstance(answer, str):
            if token in GENUINE:
                finding("a genuine token is refused")
            return False
        if (signed := _SIGNED.get(token.rpartition(".")[0])) is None:
            finding("a token is accepted that nobody signed")
        if answer != signed:
            finding("other claims are read than were signed")
        try:
            jwt.PyJWS().decode(token, PUBLIC, algorithms=["ES256"])
        except jwt.PyJWTError:
            finding("a signature is accepted that PyJWT refuses")
        return True

    words = [
        b".",
        b"=",
        b"-",
        b"_",
        encode(HEADER).encode(),
        *(part.encode() for part in next(iter(GENUINE)).split(".")),
    ]
    return Target("token", "an access token as it comes", check, _change_token, words)


def _change_token(data: bytes, rng: random.Random) -> bytes:
    """Change one segment of a token, as text, as bytes or as JSON, or take one of another token."""
    segments = data.split(b".")
    if len(segments) != 3 or rng.random() < 0.2:
        return change_bytes(rng.choice(list(GENUINE)).encode() if rng.random() < 0.5 else data, rng, [b".", b"=", b"A"])
    place, choice = rng.randrange(3), rng.random()
    try:
        raw = decode(segments[place].decode())
    except ValueError:
        choice = 0.0
    if choice < 0.3:
        segments[place] = change_bytes(segments[place], rng, [b"=", b"A", b" ", b"\n", b"+", b"/"])
    elif choice < 0.5:
        segments[place] = rng.choice(list(GENUINE)).split(".")[place].encode()
    elif place == 2:
        numbers = [int.from_bytes(raw[:32]), int.from_bytes(raw[32:64]), 0, 1, N, N - 1, (1 << 256) - 1]
        numbers += [N - number for number in numbers[:2] if number < N]
        segments[2] = encode(b"".join(rng.choice(numbers).to_bytes(32) for _ in range(2))).encode()
    elif choice < 0.9:
        segments[place] = encode(change_json(raw, rng, _VALUES)).encode()
    else:
        segments[2] = encode(raw_signature(ATTACKER, b".".join(segments[:2]))).encode()
    return b".".join(segments)


# --- what the key signs -----------------------------------------------------------------------------------


def claims_target(judge: Judge = verified) -> Target:
    """Header and claims of no matter what, under a genuine signature: accepted only where all of it agrees."""

    def check(data: bytes) -> bool:
        header, separator, payload = data.partition(b"\x00")
        if not separator:
            header, payload = HEADER, data
        token = mint(KEY, payload, header)
        answer = _answer(judge, token)
        if judge is verified and answer != _answer(lambda text: verified(text, Verifier(CONFIG)), token):
            finding("what is remembered of headers changes the answer")
        if isinstance(answer, str):
            return False
        if answer != json.loads(payload.decode()):
            finding("other claims are read than were signed")
        _check_header(json.loads(header.decode()))
        _check_claims(answer, judge(token))
        try:
            jwt.decode(
                token,
                PUBLIC,
                algorithms=["ES256"],
                audience=list(AUDIENCES.values()),
                issuer=list(ISSUERS),
                # Its clock is the machine's: times are judged by `_check_claims`.
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.PyJWTError:
            finding("claims are accepted that PyJWT refuses")
        return True

    names = [name.encode() for name in (*claims_of(), "nbf", "jti", "refreshTokenId", "branchId", "alg", "kid", "crit")]
    words = [*names, b"\x00", HEADER, *(str(value).encode() for value in _VALUES), b"null", b"true", b"{}", b"[]"]
    return Target("claims", "signed headers and claims", check, _change_claims, words)


def _check_header(header: Mapping[str, Any]) -> None:
    if header["alg"] != "ES256" or not isinstance(header["kid"], str) or header.keys() & {"crit", "b64"}:
        finding("a header is accepted that says how else to read the token")


def _check_claims(claims: Mapping[str, Any], user: HexclaveUser) -> None:
    """The laws of contract section 2, written once more and more simply."""
    kind = {value: name for name, value in AUDIENCES.items()}[claims["aud"]]
    flags = (claims.get("is_anonymous"), claims.get("is_restricted", claims.get("is_anonymous")))
    if ISSUERS.get(claims["iss"]) != kind or user.kind != kind:
        finding("audience and issuer contradict each other")
    if flags != {"regular": (False, False), "restricted": (False, True), "anonymous": (True, True)}[kind]:
        finding("the flags contradict the audience")
    if (user.is_anonymous, user.is_restricted) != flags or user.id != claims["sub"]:
        finding("the user is not the one of the claims")
    if claims["project_id"] != PROJECT or claims["role"] != "authenticated":
        finding("a claim that is always the same differs")
    times = claims["iat"], claims.get("nbf", 0), claims["exp"]
    if not all(type(moment) is int for moment in times) or claims["exp"] + CONFIG.leeway <= NOW:
        finding("a token is accepted that is over")
    if max(times[:2]) > NOW + CONFIG.leeway:
        finding("a token is accepted that does not yet hold")


def _change_claims(data: bytes, rng: random.Random) -> bytes:
    header, separator, payload = data.partition(b"\x00")
    if not separator:
        header, payload = HEADER, data
    if rng.random() < 0.3:
        header = change_json(header, rng, ["ES256", "HS256", KID, ["exp"]])
    else:
        payload = change_json(payload, rng, _VALUES)
    return header + b"\x00" + payload

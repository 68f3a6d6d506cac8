"""Key sets: which keys of a document are believed, and what becomes of the old ones."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from hexclave_integrations._token.keys import KeyRing, parse_key_set

from .._minting import NOW, P, decode, encode, jwk, key_set
from ._target import Target, change_json, finding
from ._tokens import ATTACKER, CONFIG, PUBLIC

__all__ = ["KEY_SET", "keys_target"]

KEY_SET: Final = key_set(jwk(PUBLIC), jwk(ATTACKER.public_key(), "another"))
_FIRST: Final = key_set(jwk(PUBLIC, "first"))

Parse: TypeAlias = Callable[[bytes], dict[str, EllipticCurvePublicKey]]


def keys_target(parse: Parse = parse_key_set) -> Target:
    """Only public P-256 signing keys that stand in the document, one to a name; else the old ones stay."""

    def check(data: bytes) -> bool:
        ring = KeyRing(CONFIG)
        ring.accept(_FIRST, NOW)
        first = ring.current
        try:
            keys = parse(data)
        except ValueError:
            try:
                ring.accept(data, NOW)
            except ValueError:
                if ring.current is not first:
                    finding("a bad key set replaces the old one")
                return False
            finding("a key set is taken that cannot be read")
        _check_keys(json.loads(data.decode())["keys"], keys)
        ring.accept(data, NOW)
        if dict(ring.current.keys) != keys or (ring.current.generation == first.generation) != (keys == first.keys):
            finding("other keys are kept than were read")
        return True

    words = [
        b'{"keys":[',
        b'"kty":"EC"',
        b'"crv":"P-256"',
        b'"alg":"ES256"',
        b'"use":"sig"',
        b'"key_ops":["verify"]',
        b'"d":',
    ]
    return Target("keys", "the key set", check, _change_keys, words)


def _check_keys(entries: list[Any], keys: dict[str, EllipticCurvePublicKey]) -> None:
    for kid, key in keys.items():
        named = [entry for entry in entries if isinstance(entry, dict) and entry.get("kid") == kid]
        if not kid or not isinstance(key.curve, SECP256R1):
            finding("a key has no name or is of another curve")
        if not any(_read(entry) == key and "d" not in entry and entry.get("use", "sig") == "sig" for entry in named):
            finding("a key is believed that does not stand in the document")
        if any(_is_plain(entry) and _read(entry) not in (None, key) for entry in named):
            finding("one of two keys of the same name is believed")


def _is_plain(entry: dict[str, Any]) -> bool:
    """Whether an entry is spelled as Hexclave's are; PyJWT reads others, which are skipped here."""
    numbers: list[Any] = [entry.get(name) for name in ("x", "y")]
    return (
        entry.keys() == {"kty", "crv", "alg", "kid", "x", "y"}
        and entry["alg"] == "ES256"
        and all(isinstance(text, str) and re.fullmatch("[A-Za-z0-9_-]{43}", text) for text in numbers)
        and all(encode(decode(text)) == text for text in numbers)
    )


def _read(entry: dict[str, Any]) -> object:
    """The key as PyJWT reads it, or None."""
    try:
        return jwt.PyJWK(entry, algorithm="ES256").key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _change_keys(data: bytes, rng: random.Random) -> bytes:
    numbers = [encode(number.to_bytes(32)) for number in (0, 1, P, P - 1)] + [encode(b"\x00" * 33), "AA", "AQ=="]
    entries = [jwk(PUBLIC), jwk(ATTACKER.public_key()), jwk(PUBLIC, d="AQ"), jwk(PUBLIC, use="enc")]
    return change_json(
        data, rng, [*numbers, *entries, "P-256", "P-384", "EC", "RSA", "ES256", "sig", ["verify"], ["sign"]]
    )

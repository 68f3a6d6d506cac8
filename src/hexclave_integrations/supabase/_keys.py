"""The keys that Supabase tokens are signed with: the legacy secret, and private keys as PEM or JWK."""

from __future__ import annotations

import binascii
import contextlib
import functools
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

from .._base import strict
from ..errors import ConfigurationError

__all__ = ["SigningKey", "read_key"]

_MIN_SECRET: Final = 32  # bytes: a key for HS256 is as long as its hash (RFC 7518 section 3.2)
_MIN_RSA: Final = 2048  # bits (RFC 7518 section 3.3)
_MIN_LETTERS: Final = 5  # different ones: less is a placeholder, however long
_PUBLISHED: Final = {
    b"your-super-secret-jwt-token-with-at-least-32-characters-long",  # in self-hosting's .env.example
    b"reallyreallyreallyreallyverysafe",  # in PostgREST's tutorial
}
# A reference that was not resolved, an address, a public JWK somewhere in it, a key in DER.
_NO_SECRET = re.compile(rb"\$\{|https?://|.*(?:\"kty\"|\0)", re.DOTALL)
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_API_KEY = re.compile(r"sb_(?:secret|publishable)_|sbp_|eyJ[\w-]*\.[\w-]*\.")

SigningKey: TypeAlias = EllipticCurvePrivateKey | RSAPrivateKey


def read_key(key: str | bytes | Mapping[str, Any], kid: str | None) -> tuple[bytes | SigningKey, str, str | None]:
    """The key, its algorithm, and its id.

    Raises:
        ConfigurationError: it is no key that Supabase tokens may be signed with.
    """
    if kid is not None and not _is_kid(kid):
        raise ConfigurationError("kid is the signing key's id, as Supabase's dashboard shows it, without blanks.")
    if isinstance(key, Mapping):
        jwk = dict(key)
        found, kid = _from_jwk(jwk), _same_kid(jwk.get("kid"), kid)
    else:
        text = _as_bytes(key)
        if b"-----BEGIN" in text:  # some tools write a few lines of their own above it
            found = _from_pem(text)
        elif text.lstrip()[:1] in (b"{", b"["):
            return read_key(_json_object(text), kid)
        else:
            return _check_secret(text), "HS256", kid
    if kid is None:
        raise ConfigurationError("A Supabase signing key needs its kid: without it Supabase does not find the key.")
    return found, _algorithm(found), kid


def _is_kid(kid: object) -> bool:
    return isinstance(kid, str) and kid.isprintable() and kid != "" and kid == kid.strip()


def _as_bytes(key: object) -> bytes:
    try:
        text = key.encode() if isinstance(key, str) else key
    except UnicodeEncodeError:
        text = None  # nothing is raised in here: that error holds the key
    if not isinstance(text, bytes):
        raise ConfigurationError("The Supabase key is the JWT secret, or a private key as PEM or JWK.")
    return text


def _check_secret(secret: bytes) -> bytes:
    bare = secret.strip(b"\"' \t\r\n").removeprefix(b"Bearer ")
    if _API_KEY.match(bare.decode(errors="replace")):
        raise ConfigurationError(
            "This is a Supabase API key, not the JWT secret: take the legacy JWT secret from the project's JWT "
            "settings, or import a signing key of your own."
        )
    if _is_encoded_key(secret):
        raise ConfigurationError(
            "This is a key written in base64, not the JWT secret: decode it once, and give the PEM or JWK itself."
        )
    is_other = bare != secret or _NO_SECRET.match(secret)
    if is_other or secret in _PUBLISHED or len(set(secret)) < _MIN_LETTERS or not _fits_hmac(secret):
        raise ConfigurationError(
            f"The Supabase JWT secret is weak, cut off or something else: it has at least {_MIN_SECRET} random bytes, "
            "without blanks or quotes around it. Copy it from the project's JWT settings, or make one: "
            "openssl rand -base64 48."
        )
    return secret


def _is_encoded_key(secret: bytes) -> bool:
    """Whether a text is base64 of a PEM, a JWK or a key in DER, the lines between a PEM's first and last included."""
    try:
        text = b"".join(secret.split()).rstrip(b"=").translate(_URL_SAFE)
        data = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return False
    return b"-----BEGIN" in data or b'"kty"' in data or _is_der_key(data)


def _is_der_key(data: bytes) -> bool:
    for load in (load_der_public_key, functools.partial(load_der_private_key, password=None)):
        try:
            load(data)
        except (ValueError, UnsupportedAlgorithm):
            continue
        except TypeError:  # an encrypted key
            pass
        return True
    return False


def _fits_hmac(secret: bytes) -> bool:
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)  # refuses public keys in their many forms
    except jwt.InvalidKeyError:
        return False
    return len(secret) >= _MIN_SECRET


def _json_object(text: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):  # and nothing is raised in there: that error holds the key
        return strict.json_object(text.strip())
    raise ConfigurationError("The Supabase signing key is no JWK: give one JSON object, not a list of keys.")


def _from_pem(text: bytes) -> SigningKey:
    try:
        return _private(load_pem_private_key(text, password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(
            "The Supabase signing key cannot be read: give the private key itself, unencrypted, as PEM with its line "
            "breaks."
        ) from None


def _from_jwk(jwk: dict[str, Any]) -> SigningKey:
    try:
        key = _private(_ec_key(jwk) if jwk.get("kty") == "EC" else RSAAlgorithm.from_jwk(jwk))
        algorithm = _algorithm(key)
        if jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig":
            raise ValueError("for another algorithm, or for encryption")
        if "sign" not in jwk.get("key_ops", ["sign"]):
            raise ValueError("for verifying only")
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        raise ConfigurationError(
            "The Supabase signing key cannot be used: give the private JWK as it was made, for ES256 or RS256."
        ) from None
    return key


def _ec_key(jwk: Mapping[str, Any]) -> SigningKey:
    """Read a P-256 key as Supabase's CLI writes it: without leading zeros, which PyJWT insists on.

    Raises:
        ValueError, KeyError, AttributeError: it is none, or its public part belongs to another.
    """
    if jwk["crv"] != "P-256":
        raise ValueError("another curve")
    x, y, secret = (int.from_bytes(strict.base64url(jwk[name].encode())) for name in ("x", "y", "d"))
    key = derive_private_key(secret, SECP256R1())
    numbers = key.public_key().public_numbers()
    if (numbers.x, numbers.y) != (x, y):
        raise ValueError("not a pair")
    return key


def _same_kid(inner: object, given: str | None) -> str | None:
    if inner is None:
        return given
    if not isinstance(inner, str) or not _is_kid(inner) or given not in (None, inner):
        raise ConfigurationError("The JWK's kid is not the kid that was given, or is no id.")
    return inner


def _private(key: object) -> SigningKey:
    """The key, if Supabase takes its kind.

    Raises:
        ConfigurationError: it is a public key, or of another kind.
    """
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    if isinstance(key, RSAPrivateKey) and key.key_size >= _MIN_RSA:
        return key
    raise ConfigurationError(
        f"A Supabase signing key is a private key: P-256 for ES256, or RSA of {_MIN_RSA} bits and more for RS256. "
        "Make one: supabase gen signing-key --algorithm ES256."
    )


def _algorithm(key: SigningKey) -> str:
    return "ES256" if isinstance(key, EllipticCurvePrivateKey) else "RS256"

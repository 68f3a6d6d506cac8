"""`SupabaseSigner`: a Supabase token for a user whom Hexclave vouches for (contract section 7).

Supabase, and PostgREST underneath, take the role and the user of a request from a JWT that the project's own key
signed. Whoever holds that key may be anybody, the service role included, so the signer says as little as it can: this
user, one harmless role, an end within the hour.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from ._flows import check_kind
from ._http import PRIVATE
from .errors import ConfigurationError, NotAuthenticated, TokenExpired
from .requirements import Requirement, require_user
from .user import HexclaveUser

__all__ = ["MAX_EXPIRES_IN", "ClaimsRefused", "SupabaseSigner", "SupabaseToken"]

MAX_EXPIRES_IN: Final = 3600
"""Seconds that a token may live at most: no sign-out ends it before."""

_MIN_SECRET: Final = 32  # bytes: a key for HS256 is as long as its hash (RFC 7518 section 3.2)
_MIN_RSA: Final = 2048  # bits (RFC 7518 section 3.3)
_MIN_LETTERS: Final = 5  # different ones: less is a placeholder, however long
_RESERVED: Final = frozenset({"sub", "role", "aud", "exp", "iat", "nbf", "is_anonymous"})
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PRIVILEGED = re.compile(r"service_role|postgres|authenticator|dashboard_user|(?:supabase_|pg_).*", re.IGNORECASE)
_API_KEY = re.compile(r"sb_(?:secret|publishable)_|sbp_|eyJ[\w-]*\.[\w-]*\.")

_SigningKey = EllipticCurvePrivateKey | RSAPrivateKey
R = TypeVar("R", bound=Requirement)


class ClaimsRefused(ConfigurationError, ValueError):
    """Extra claims for a token would change whom it speaks for, or cannot be written as JSON."""


@dataclass(frozen=True, slots=True)
class SupabaseToken:
    """A signed token.

    Attributes:
        token: the JWT.
        expires_at: when it ends, in epoch seconds.
    """

    token: str = field(repr=False)
    expires_at: int

    def headers(self) -> list[tuple[str, str]]:
        """The headers of an endpoint's answer."""
        return [("Content-Type", "application/json"), ("Cache-Control", PRIVATE)]

    def body(self) -> bytes:
        """What a token endpoint answers: `{"token": ..., "expires_at": ...}`."""
        return json.dumps({"token": self.token, "expires_at": self.expires_at}, separators=(",", ":")).encode()


class SupabaseSigner:
    """Signs Supabase tokens for verified users; safe to share between threads.

    Args:
        key: the project's legacy JWT secret, taken as it is and never base64-decoded, or a private signing key
            (P-256 for ES256, or RSA for RS256) that was imported into Supabase, as PEM or JWK.
        kid: the signing key's id at Supabase; a JWK may bring its own.
        expires_in: lifetime of a token in seconds, at most `MAX_EXPIRES_IN`.
        role: the database role of its requests.
        allow_restricted: sign for restricted users too.
        allow_anonymous: sign for anonymous users too, with Supabase's claim `is_anonymous`; implies
            `allow_restricted`, as for requirements.
        clock: gives epoch seconds.

    Raises:
        ConfigurationError: key, lifetime or role cannot be right.
    """

    def __init__(
        self,
        key: str | bytes | Mapping[str, Any],
        *,
        kid: str | None = None,
        expires_in: int = MAX_EXPIRES_IN,
        role: str = "authenticated",
        allow_restricted: bool = False,
        allow_anonymous: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if type(expires_in) is not int or not 0 < expires_in <= MAX_EXPIRES_IN:
            raise ConfigurationError(
                f"expires_in is a whole number of seconds from 1 to {MAX_EXPIRES_IN}: nothing ends a token before."
            )
        if not isinstance(role, str) or not _ROLE.fullmatch(role) or _PRIVILEGED.fullmatch(role):
            raise ConfigurationError(
                "role is the database role of a signed-in user, such as authenticated; never service_role or another "
                "role that row level security does not bind."
            )
        self._key, self._algorithm, self._kid = _read_key(key, kid)
        self._expires_in = expires_in
        self._role = role
        self._clock = clock
        self._requirement = require_user.allow(restricted=allow_restricted, anonymous=allow_anonymous)

    def guard(self, requirement: R) -> R:
        """The requirement that lets through exactly those whom this signs for: for a token endpoint.

        Args:
            requirement: an adapter's `require_user`.
        """
        return requirement.allow(restricted=self._requirement.restricted, anonymous=self._requirement.anonymous)

    def token_for(self, user: HexclaveUser | None, claims: Mapping[str, Any] | None = None) -> str:
        """A token that speaks for a user; arguments and errors as for `issue`."""
        return self.issue(user, claims).token

    def headers_for(
        self, user: HexclaveUser | None, api_key: str | None = None, claims: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """The headers with which your server's own Supabase or PostgREST client speaks for a user.

        Args:
            user: who is spoken for.
            api_key: the project's publishable (or anon) key; None for a PostgREST without a gateway before it.
            claims: as for `issue`.

        Raises:
            ConfigurationError: the API key is a secret one, which row level security does not bind.
            RequestRefused: as for `issue`.
        """
        headers = {"Authorization": f"Bearer {self.token_for(user, claims)}"}
        if api_key is not None:
            _refuse_secret_api_key(api_key)
            headers["apikey"] = api_key
        return headers

    def issue(self, user: HexclaveUser | None, claims: Mapping[str, Any] | None = None) -> SupabaseToken:
        """A token that speaks for a user, and its end.

        Args:
            user: as the kit verified him.
            claims: further claims, for policies of your own.

        Raises:
            NotAuthenticated: there is no user.
            AnonymousNotAllowed, RestrictedNotAllowed: this kind of user was not allowed for.
            TokenExpired: the access token that the user was verified by is over.
            ClaimsRefused: the claims would change subject, role or lifetime, name a privileged role, or are no JSON.
        """
        if user is None:
            raise NotAuthenticated
        check_kind(self._requirement, user)
        now = self._clock()
        if user.expires_at is not None and now >= user.expires_at.timestamp():
            raise TokenExpired
        issued = int(now)
        expires = issued + self._expires_in
        payload = _extra(claims) | {"sub": user.id, "role": self._role, "iat": issued, "exp": expires}
        if self._algorithm != "HS256":
            payload["aud"] = "authenticated"  # as Supabase's own have it; the legacy ones do without (contract 7)
        if user.kind == "anonymous":
            payload["is_anonymous"] = True
        headers = None if self._kid is None else {"kid": self._kid}
        return SupabaseToken(jwt.encode(payload, self._key, self._algorithm, headers), expires)


def _extra(claims: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of the application's claims, as they will be read.

    Raises:
        ClaimsRefused: they would change whom the token speaks for, or are no JSON.
    """
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(claims or {}), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ClaimsRefused("Claims have to be a mapping of names to JSON values.") from None
    if taken := sorted(_RESERVED & found.keys()):
        raise ClaimsRefused(f"Claims that say whom a token speaks for cannot be given: {', '.join(taken)}.")
    if any(_PRIVILEGED.fullmatch(text.strip()) for text in _texts(found)):
        raise ClaimsRefused("Claims cannot name a privileged role, such as service_role.")
    return found


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON value; names are no values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


# --- keys -----------------------------------------------------------------------------------------------------


def _read_key(key: str | bytes | Mapping[str, Any], kid: str | None) -> tuple[bytes | _SigningKey, str, str | None]:
    """The key, its algorithm, and its id.

    Raises:
        ConfigurationError: it is no key that Supabase tokens may be signed with.
    """
    if kid is not None and (not isinstance(kid, str) or not kid.strip()):
        raise ConfigurationError("kid is the signing key's id, as Supabase's dashboard shows it.")
    if isinstance(key, Mapping):
        found, kid = _from_jwk(key), _same_kid(key.get("kid"), kid)
    else:
        text = _as_bytes(key)
        if text.lstrip().startswith(b"-----BEGIN"):
            found = _from_pem(text)
        elif text.lstrip()[:1] in (b"{", b"["):
            return _read_key(_json_object(text), kid)
        else:
            return _check_secret(text), "HS256", kid
    if kid is None:
        raise ConfigurationError("A Supabase signing key needs its kid: without it Supabase does not find the key.")
    return found, _algorithm(found), kid


def _as_bytes(key: object) -> bytes:
    try:
        text = key.encode() if isinstance(key, str) else key
    except UnicodeEncodeError:
        text = None
    if not isinstance(text, bytes):
        raise ConfigurationError("The Supabase key is the JWT secret, or a private key as PEM or JWK.")
    return text


def _check_secret(secret: bytes) -> bytes:
    if _API_KEY.match(secret.decode(errors="replace").strip()):
        raise ConfigurationError(
            "This is a Supabase API key, not the JWT secret: take the legacy JWT secret from the project's JWT "
            "settings, or import a signing key of your own."
        )
    if len(secret) < _MIN_SECRET or len(set(secret)) < _MIN_LETTERS or secret != secret.strip():
        raise ConfigurationError(
            f"The Supabase JWT secret is weak or cut off: it has at least {_MIN_SECRET} random bytes and no blanks "
            "around it. Copy it from the project's JWT settings, or make one: openssl rand -base64 48."
        )
    return secret


def _json_object(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError("The Supabase signing key is no JWK: give one JSON object, not a list of keys.")
    return found


def _from_pem(text: bytes) -> _SigningKey:
    try:
        return _private(load_pem_private_key(text, password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(
            "The Supabase signing key cannot be read: give the private key itself, unencrypted, as PEM."
        ) from None


def _from_jwk(jwk: Mapping[str, Any]) -> _SigningKey:
    reader = {"EC": ECAlgorithm.from_jwk, "RSA": RSAAlgorithm.from_jwk}.get(str(jwk.get("kty")))
    try:
        key = _private(None if reader is None else reader(dict(jwk)))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        raise ConfigurationError(
            "The Supabase signing key cannot be read: give the private JWK as it was made."
        ) from None
    if jwk.get("alg", _algorithm(key)) != _algorithm(key):
        raise ConfigurationError("The Supabase signing key is of another kind than its alg says.")
    return key


def _same_kid(inner: object, given: str | None) -> str | None:
    if inner is not None and (not isinstance(inner, str) or given not in (None, inner)):
        raise ConfigurationError("The kid that was given is not the kid of the JWK.")
    return inner or given


def _private(key: object) -> _SigningKey:
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


def _algorithm(key: _SigningKey) -> str:
    return "ES256" if isinstance(key, EllipticCurvePrivateKey) else "RS256"


def _refuse_secret_api_key(api_key: str) -> None:
    """Refuse a key that bypasses row level security: by its prefix, or by the role its legacy JWT claims."""
    claims: Mapping[str, Any] = {}
    if api_key.startswith("eyJ"):
        try:
            claims = jwt.decode(api_key, options={"verify_signature": False})
        except jwt.PyJWTError:
            claims = {"role": "service_role"}  # what cannot be read is not passed on
    if api_key.startswith(("sb_secret_", "sbp_")) or claims.get("role") not in (None, "anon"):
        raise ConfigurationError("api_key is the publishable (or anon) key; a secret key would bypass your policies.")

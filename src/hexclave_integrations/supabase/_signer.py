"""`SupabaseSigner`: a Supabase token for a user that Hexclave vouches for (contract section 7).

Supabase, and PostgREST underneath, take the role and the user of a request from a JWT that the project's own key
signed. The holder of that key may be anybody, the service role included. So the signer says as little as it can: this
user, one harmless role, an end within the hour.
"""

from __future__ import annotations

import json
import re
import string
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar, get_args

import jwt

from .._base import strict
from ..errors import ConfigurationError, NotAuthenticated, TokenExpired
from ..errors._bases import PRIVATE
from ..requirements import Requirement, require_user
from ..user import HexclaveUser, UserKind
from ._keys import read_key

__all__ = ["MAX_EXPIRES_IN", "ClaimsRefused", "SupabaseSigner", "SupabaseToken"]

MAX_EXPIRES_IN: Final = 3600
"""Seconds that a token may live at most: no sign-out ends it before."""

_MAX_CLAIMS: Final = 4096  # bytes of JSON: beyond, the token outgrows the 8 KiB that gateways give a header
_RESERVED: Final = frozenset({"sub", "role", "aud", "exp", "iat", "nbf", "is_anonymous"})
_ROLE = re.compile(r"(?!none$)[a-z_][a-z0-9_]{0,62}")  # after `SET ROLE none` a request is the authenticator's own
_PRIVILEGED: Final = frozenset({"postgres", "authenticator", "dashboard_user"})
_PRIVILEGED_PREFIXES: Final = ("supabase_", "pgbouncer", "pgsodium", "pg_")
_AROUND: Final = string.whitespace + "/:'\""
_PUBLISHABLE = re.compile(r"sb_publishable_[\w-]+", re.ASCII)
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

R = TypeVar("R", bound=Requirement)


class ClaimsRefused(ConfigurationError, ValueError):
    """Extra claims would change which user a token speaks for, or PostgreSQL could not read them."""


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
        kid: the signing key's id at Supabase; a JWK may bring its own. The legacy secret needs none.
        expires_in: lifetime of a token in seconds, at most `MAX_EXPIRES_IN`.
        role: the database role of its requests.
        allow_restricted: sign for restricted users too.
        allow_anonymous: sign for anonymous users too, with Supabase's claim `is_anonymous`; implies
            `allow_restricted`, as for requirements.
        clock: gives epoch seconds.

    Raises:
        ConfigurationError: key, lifetime, role or kinds cannot be right.
    """

    __slots__ = ("_algorithm", "_clock", "_expires_in", "_key", "_kid", "_requirement", "_role")

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
        if not isinstance(role, str) or not _ROLE.fullmatch(role) or _is_privileged(role):
            raise ConfigurationError(
                "role is the database role of a signed-in user, such as authenticated; never service_role or another "
                "role that row level security does not bind."
            )
        if not isinstance(allow_restricted, bool) or not isinstance(allow_anonymous, bool):
            raise ConfigurationError("allow_restricted and allow_anonymous are True or False: any text would be true.")
        self._key, self._algorithm, self._kid = read_key(key, kid)
        self._expires_in = expires_in
        self._role = role
        self._clock = clock
        self._requirement = require_user.allow(restricted=allow_restricted, anonymous=allow_anonymous)

    def __reduce__(self) -> NoReturn:
        """No copy and no pickle: it would hold the key."""
        raise TypeError("A signer holds the key: make one in each process.")

    def guard(self, requirement: R) -> R:
        """The requirement of a token endpoint: it lets exactly the kinds of users through that this signs for.

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
            user: the user that the token speaks for.
            api_key: the project's publishable (or legacy anon) key; None for a PostgREST without a gateway before it.
            claims: as for `issue`.

        Raises:
            ConfigurationError: the API key is none of these: a secret one has no business beside a user's token.
            RequestRefused: as for `issue`.
        """
        headers = {"Authorization": f"Bearer {self.token_for(user, claims)}"}
        if api_key is not None:
            _check_api_key(api_key)
            headers["apikey"] = api_key
        return headers

    def issue(self, user: HexclaveUser | None, claims: Mapping[str, Any] | None = None) -> SupabaseToken:
        """A token that speaks for a user, and its end.

        Args:
            user: as the kit verified them.
            claims: further claims, for policies of your own; at most 4 KiB as JSON.

        Raises:
            NotAuthenticated: there is no user.
            AnonymousNotAllowed, RestrictedNotAllowed: this kind of user was not allowed for.
            TokenExpired: the access token that the user was verified by is over.
            ClaimsRefused: the claims would change subject, role or lifetime, hold a privileged role where one is read,
                or cannot be read.
            TypeError: `user` is no user of this kit.
        """
        user = _verified(user)
        self._requirement.check_kind(user)
        now = self._clock()
        if user.has_ended(now):
            raise TokenExpired
        issued = int(now)
        expires = issued + self._expires_in
        payload = _extra(claims) | {"sub": user.id, "role": self._role, "iat": issued, "exp": expires}
        if self._kid is not None:
            payload["aud"] = "authenticated"  # as Supabase's own have it; the legacy secret's do without (contract 7)
        if user.kind == "anonymous":
            payload["is_anonymous"] = True
        headers = None if self._kid is None else {"kid": self._kid}
        return SupabaseToken(jwt.encode(payload, self._key, self._algorithm, headers), expires)


def _verified(user: object) -> HexclaveUser:
    """The user, or an error: kind and id decide what they may do, so a user made by hand is held to both."""
    if not isinstance(user, HexclaveUser):
        if not user or getattr(user, "is_authenticated", True) is False:  # the frameworks' own nobodies
            raise NotAuthenticated
        raise TypeError("A token speaks for a HexclaveUser, as the kit verified them.")
    if user.kind not in get_args(UserKind) or not strict.is_uuid(user.id):
        raise TypeError("A token speaks for a HexclaveUser of a known kind, by their UUID.")
    return user


def _extra(claims: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of the application's claims, as they will be read.

    Raises:
        ClaimsRefused: they would change which user the token speaks for, or cannot be read.
    """
    if claims is None:
        return {}
    try:
        text = json.dumps(dict(claims), allow_nan=False, separators=(",", ":")).encode()
        found = strict.json_object(text)  # what was written: the mapping may say something else next time
    except (TypeError, ValueError, RecursionError):
        raise ClaimsRefused("Claims have to be a mapping of names to JSON values.") from None
    if len(text) > _MAX_CLAIMS:
        raise ClaimsRefused(f"Claims have at most {_MAX_CLAIMS} bytes as JSON: gateways refuse longer tokens.")
    # Older PostgREST makes a setting of each claim, and PostgreSQL's settings know no case: `Sub` would be `sub`.
    if taken := sorted(_RESERVED & {name.strip().lower() for name in found}):
        raise ClaimsRefused(f"Claims that say whom a token speaks for cannot be given: {', '.join(taken)}.")
    if not isinstance(found.get("iss", ""), str):
        raise ClaimsRefused("The claim iss has to be text (RFC 7519 section 4.1.1).")
    if any("\0" in word for word in _texts(found)):
        raise ClaimsRefused("Claims cannot have the character NUL: PostgreSQL does not read it.")
    if any(isinstance(role, str) and _is_privileged(role) for role in _roles(found)):
        raise ClaimsRefused("A claim that may be read as a role cannot name a privileged role, such as service_role.")
    return found


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON value, names included."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            yield from value
            pending += value.values()


def _roles(claims: Mapping[str, Any]) -> Iterator[object]:
    """What stands where a role may be read, besides the claim `role` itself.

    As they are installed, PostgREST and Supabase's own services read the top-level `role` alone, which is reserved.
    `jwt-role-claim-key` can send a self-hosted PostgREST elsewhere, and Supabase's guides keep the roles of an
    application in `user_role` and `app_metadata`. All other claims are data: a team may well be called "Postgres".
    """
    for holder in (claims, claims.get("app_metadata")):
        if isinstance(holder, dict):
            for name in ("role", "roles", "user_role"):
                value = holder.get(name)
                yield from value if isinstance(value, list) else (value,)


def _is_privileged(role: str) -> bool:
    """Whether row level security does not bind a role, or lets it become one that is not bound.

    `jwt-role-claim-key` can cut a role out of a longer text, so that `/service_role` counts as well.
    """
    name = role.strip(_AROUND).lower()
    return "service_role" in name or name in _PRIVILEGED or name.startswith(_PRIVILEGED_PREFIXES)


def _check_api_key(api_key: str) -> None:
    """Refuse every key but the public ones: the publishable key by its prefix, the legacy anon key by its role."""
    if isinstance(api_key, str) and (_PUBLISHABLE.fullmatch(api_key) or _role_of(api_key) == "anon"):
        return
    raise ConfigurationError("api_key is the publishable (or anon) key, as Supabase shows it; never a secret one.")


def _role_of(api_key: str) -> object:
    """The role that a legacy API key claims; None for what is none."""
    if not _JWT.fullmatch(api_key):
        return None
    try:
        return jwt.decode(api_key, options={"verify_signature": False}).get("role")
    except jwt.PyJWTError:
        return None

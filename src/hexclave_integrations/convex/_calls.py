"""Convex: which tokens a deployment accepts, passing a caller's own token on to it, and reading who it says they are.

::

    token = client.access_token(request.headers)
    httpx.post(f"{CONVEX_URL}/api/query", json={"path": "messages:list", "args": {}}, headers=convex_headers(token))

Convex verifies the token itself. It is passed on as it came; nothing is refreshed. Guard such a route as any other
(`CurrentUser`, `@require_user`): that refuses the right callers, and keeps the answer out of caches.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .._base import strict
from .._base.guards import NeverFromRequest, RefusesAsDependency, with_signature
from ..errors import HexclaveError, TokenExpired
from ..requirements import require_user
from ..user import AccessToken

__all__ = [
    "ConvexAuth",
    "ConvexUser",
    "InvalidIdentity",
    "convex_headers",
    "convex_identity",
    "set_convex_auth",
]

_RESTRICTED_TOO = require_user.allow(restricted=True)
_ISSUER = re.compile(r"https?://[^\s?#]+/api/v1/projects(|-anonymous-users|-restricted-users)/[^/\s?#]+", re.ASCII)


class ConvexAuth(Protocol):
    """What `set_convex_auth` needs of a client: the PyPI package `convex` has `ConvexClient` and `ConvexHttpClient`."""

    def set_auth(self, token: str, /) -> None: ...


class InvalidIdentity(HexclaveError, ValueError):
    """What came from Convex is no identity of a Hexclave user."""


# `user: ConvexUser` in a route would let callers describe themselves.
@with_signature(RefusesAsDependency("Call convex_identity with what your Convex function returned"))
@dataclass(frozen=True, slots=True, kw_only=True)
class ConvexUser(NeverFromRequest):
    """The user in a Convex identity: what their token said, as Convex passed it on (contract section 7).

    The names are those of `HexclaveUser`; this is no proof of who calls your own server.
    """

    id: str
    display_name: str | None = field(repr=False)
    primary_email: str | None = field(repr=False)
    primary_email_verified: bool = field(repr=False)
    is_anonymous: bool
    is_restricted: bool
    restricted_reason: str | None = field(repr=False)
    requires_totp_mfa: bool = field(repr=False)
    selected_team_id: str | None = field(repr=False)

    def _public(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "display_name": self.display_name,
            "primary_email": self.primary_email,
            "primary_email_verified": self.primary_email_verified,
            "is_anonymous": self.is_anonymous,
            "is_restricted": self.is_restricted,
            "selected_team_id": self.selected_team_id,
        }


def convex_headers(
    token: AccessToken, *, include_restricted: bool = False, clock: Callable[[], float] = time.time
) -> dict[str, str]:
    """The header with which Convex's HTTP API takes a request for the user's own.

    Args:
        token: from `access_token` of a client.
        include_restricted: pass restricted users on too, to a deployment that has their provider.
        clock: gives epoch seconds.

    Raises:
        TokenExpired: it has ended since; the caller refreshes it and tries again.
        RestrictedNotAllowed: the user is restricted.
        TypeError: that is no verified token.
    """
    return {"Authorization": f"Bearer {_text(token, include_restricted, clock)}"}


def set_convex_auth(
    client: ConvexAuth,
    token: AccessToken,
    *,
    include_restricted: bool = False,
    clock: Callable[[], float] = time.time,
) -> None:
    """Let a Python Convex client speak for the user from now on; a refusal leaves it as it was.

    Such a client speaks for one user at a time: make one for each request, never share one between users. When the
    token ends, Convex refuses its calls.

    Args:
        client: a `ConvexClient` or `ConvexHttpClient` of the package `convex`.
        token, include_restricted, clock: as for `convex_headers`.

    Raises:
        TokenExpired, RestrictedNotAllowed, TypeError: as for `convex_headers`.
    """
    client.set_auth(_text(token, include_restricted, clock))


def _text(token: AccessToken, include_restricted: bool, clock: Callable[[], float]) -> str:
    """The token, if Convex can be expected to take it: no leeway here, since Convex has its own."""
    if not isinstance(token, AccessToken):
        raise TypeError("Convex is given what access_token of a client returned, a verified token.")
    if token.user.kind != "anonymous":  # Convex has a provider for anonymous users in any case
        (_RESTRICTED_TOO if include_restricted is True else require_user).check_kind(token.user)
    if token.user.expires_at is None or token.user.has_ended(clock()):
        raise TokenExpired
    return token.text


def convex_identity(claims: Mapping[str, Any] | None) -> ConvexUser | None:
    """The user in what `ctx.auth.getUserIdentity()` gave a Convex function, or None for nobody (contract section 7).

    Convex writes an object in a token as one entry for each name in it, so the reason of a restriction is read from
    `restricted_reason.type` as well as from `restricted_reason`.

    Args:
        claims: the identity as the function returned it.

    Raises:
        InvalidIdentity: it is no identity of a Hexclave user, or contradicts itself; the message names the entry.
    """
    if claims is None:
        return None
    if not isinstance(claims, Mapping):
        raise InvalidIdentity("A Convex identity is a mapping of names to values, or None.")
    anonymous = _boolean(claims, "is_anonymous", None)
    restricted = _boolean(claims, "is_restricted", anonymous)  # old tokens lack it (contract section 2, "Old tokens")
    reason = _reason(claims)
    if not restricted and (anonymous or reason is not None):
        raise InvalidIdentity("The Convex identity contradicts itself about is_restricted.")
    user = ConvexUser(
        id=_uuid(claims, "subject"),
        display_name=_optional(claims, "name"),
        primary_email=_optional(claims, "email"),
        primary_email_verified=_boolean(claims, "email_verified", False),
        is_anonymous=anonymous,
        is_restricted=restricted,
        restricted_reason=reason,
        requires_totp_mfa=_boolean(claims, "requires_totp_mfa", False),
        selected_team_id=None if claims.get("selected_team_id") is None else _uuid(claims, "selected_team_id"),
    )
    _check_issuer(claims, "-anonymous-users" if anonymous else "-restricted-users" if restricted else "")
    return user


def _check_issuer(claims: Mapping[str, Any], path: str) -> None:
    """Hold the issuer, which a function may have left out, against the kind of user: a deployment may have others."""
    issuer = claims.get("issuer")
    if issuer is None:
        return
    found = _ISSUER.fullmatch(issuer) if isinstance(issuer, str) else None
    if found is None or found[1] != path:
        raise _wrong("issuer")


def _wrong(name: str) -> InvalidIdentity:
    return InvalidIdentity(f"{name} in the Convex identity is missing, or not what Hexclave's tokens have.")


def _boolean(claims: Mapping[str, Any], name: str, default: bool | None) -> bool:
    value = claims.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(name)
    return value


def _optional(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(name)
    return value


def _uuid(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not strict.is_uuid(value):
        raise _wrong(name)
    return value


def _reason(claims: Mapping[str, Any]) -> str | None:
    value = claims.get("restricted_reason")
    if value is None:
        return _optional(claims, "restricted_reason.type")
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise _wrong("restricted_reason")
    found: str = value["type"]
    return found

"""`HexclaveUser`: the verified user of a request, an immutable value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from ._base.guards import NeverFromRequest, SignatureOfValue, shows_only, with_signature

__all__ = ["AccessToken", "HexclaveUser", "Sealed", "UserKind"]

UserKind: TypeAlias = Literal["regular", "restricted", "anonymous"]


class Sealed:
    """Text that no serializer shows by accident: the API says more of a user than a browser may see (contract 9.21)."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text: bytes = text

    def __iter__(self) -> Iterator[Any]:
        """Nothing: FastAPI, which tries `dict(...)` on what it does not know, writes an empty object."""
        return iter(())


# `user: HexclaveUser` or `Depends(HexclaveUser)` would let callers describe themselves.
@with_signature(SignatureOfValue("Use CurrentUser or Depends(require_user)"))
@shows_only("id", "kind", "display_name", "primary_email", "primary_email_verified", "selected_team_id")
@dataclass(frozen=True, slots=True, kw_only=True)
class HexclaveUser(NeverFromRequest):
    """A user, as Hexclave vouches for them (contract section 2).

    Only a regular user counts as signed in: `is_authenticated` is False for the other two kinds, so that
    `if user.is_authenticated` is the secure default.

    Attributes:
        id: the user's UUID.
        kind: `regular`, `restricted` (an account that may not act yet, or no more) or `anonymous`.
        display_name, primary_email: as the user or your server set them, or None.
        primary_email_verified: whether Hexclave saw a proof of the address.
        selected_team_id: a preference, no proof of membership (contract 9.13).
        restricted_reason: `email_not_verified`, `restricted_by_administrator`, `anonymous`, or None.
        session_id: the session behind the token; None for a user read from the API.
        expires_at: when the token ends; None for a user read from the API.
        sealed: what `claims` is read from.
    """

    id: str
    kind: UserKind
    project_id: str = field(repr=False)
    display_name: str | None = field(default=None, repr=False)
    primary_email: str | None = field(default=None, repr=False)
    primary_email_verified: bool = field(default=False, repr=False)
    selected_team_id: str | None = field(default=None, repr=False)
    restricted_reason: str | None = field(default=None, repr=False)
    requires_totp_mfa: bool = field(default=False, repr=False)
    signed_up_at: datetime | None = field(default=None, repr=False)
    session_id: str | None = field(default=None, repr=False)
    expires_at: datetime | None = field(default=None, repr=False)
    sealed: Sealed = field(default=Sealed(b"{}"), repr=False, compare=False)

    @property
    def claims(self) -> dict[str, Any]:
        """The verified token's claims, or the API's user object: read anew each time, so a copy of your own.

        Kept as text, since few routes look at more than the attributes: that is half the memory of a token.
        """
        found: dict[str, Any] = json.loads(self.sealed.text)
        return found

    @property
    def is_anonymous(self) -> bool:
        """Whether this is an anonymous user."""
        return self.kind == "anonymous"

    @property
    def is_restricted(self) -> bool:
        """Whether the user is restricted; anonymous users always are."""
        return self.kind != "regular"

    @property
    def is_authenticated(self) -> bool:
        """Whether this is a regular user: the question Starlette, Flask-Login and Django templates ask."""
        return self.kind == "regular"

    @property
    def identity(self) -> str:
        """The user's id, under the name Starlette gives it."""
        return self.id

    @property
    def pk(self) -> str:
        """The user's id, under the name Django gives it."""
        return self.id

    @classmethod
    def from_api(cls, body: Mapping[str, Any], project_id: str) -> HexclaveUser:
        """Read a user object of the REST API (contract 4.1).

        Raises:
            KeyError, TypeError, ValueError: the object is not a user.
        """
        anonymous, restricted = body["is_anonymous"], body["is_restricted"]
        if not isinstance(body["id"], str) or not isinstance(anonymous, bool) or not isinstance(restricted, bool):
            raise TypeError("not a user object")
        reason = body.get("restricted_reason")
        return cls(
            id=body["id"],
            kind="anonymous" if anonymous else "restricted" if restricted else "regular",
            project_id=project_id,
            display_name=body.get("display_name"),
            primary_email=body.get("primary_email"),
            primary_email_verified=body.get("primary_email_verified") is True,
            selected_team_id=body.get("selected_team_id"),
            restricted_reason=reason["type"] if reason else None,
            requires_totp_mfa=body.get("requires_totp_mfa") is True,
            signed_up_at=datetime.fromtimestamp(body["signed_up_at_millis"] / 1000, UTC),
            sealed=Sealed(json.dumps(body).encode()),
        )

    def has_ended(self, now: float, leeway: float = 0.0) -> bool:
        """Whether the token is over; one without an end never is.

        Args:
            now: epoch seconds.
            leeway: how far clocks may be apart, seconds.
        """
        return self.expires_at is not None and now >= self.expires_at.timestamp() + leeway


# A dependency would be made of what the caller sent, unverified.
@with_signature(SignatureOfValue("Call client.access_token(request.headers)"))
@shows_only("user")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccessToken(NeverFromRequest):
    """A request's own access token, verified. Its text is a secret: it lets anybody act as this user until it ends.

    Attributes:
        user: the user it speaks for, of any kind.
        sealed: what `text` is read from; neither `repr` nor a serializer shows it, but a pickle holds it.
    """

    user: HexclaveUser
    sealed: Sealed = field(repr=False)

    @property
    def text(self) -> str:
        """The token itself, to be sent to a service that verifies it."""
        return self.sealed.text.decode()

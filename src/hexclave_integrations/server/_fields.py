"""What may be written of users and teams: for type checkers, and to find misspelt names (contract 4.1 and 4.2)."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

__all__ = ["NewTeam", "NewUser", "TeamChanges", "UserChanges", "names_of"]


class _UserFields(TypedDict, total=False):
    display_name: str | None
    profile_image_url: str | None
    client_metadata: Any
    client_read_only_metadata: Any
    server_metadata: Any
    primary_email: str | None
    primary_email_verified: bool
    primary_email_auth_enabled: bool
    otp_auth_enabled: bool
    passkey_auth_enabled: bool
    password: str | None
    password_hash: str
    totp_secret_base64: str | None
    restricted_by_admin: bool
    restricted_by_admin_reason: str | None
    restricted_by_admin_private_details: str | None
    country_code: str | None
    risk_scores: dict[str, Any]


class NewUser(_UserFields, total=False):
    """What may be said of a user who is created."""

    is_anonymous: bool
    oauth_providers: list[dict[str, Any]]


class UserChanges(_UserFields, total=False):
    """What may be changed of a user; an anonymous one may become an account, and not the reverse."""

    is_anonymous: Literal[False]
    selected_team_id: str | None


class TeamChanges(TypedDict, total=False):
    """What may be changed of a team."""

    display_name: str
    profile_image_url: str | None
    client_metadata: Any
    client_read_only_metadata: Any
    server_metadata: Any


class NewTeam(TypedDict, total=False):
    """What may be said of a team that is created; its creator becomes a member."""

    display_name: Required[str]
    profile_image_url: str | None
    client_metadata: Any
    client_read_only_metadata: Any
    server_metadata: Any
    creator_user_id: str


def names_of(fields: type) -> frozenset[str]:
    """The names that one of these classes declares."""
    kind: Any = fields  # the attributes of TypedDict, which no type checker knows of a type
    return frozenset(kind.__required_keys__ | kind.__optional_keys__)

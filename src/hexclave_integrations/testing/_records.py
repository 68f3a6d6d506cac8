"""The rows of the sandbox's database and their shapes on the wire (contract 4.1, 4.2, 4.4, 4.8)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..user import UserKind

__all__ = [
    "ApiKey",
    "CliLogin",
    "CodeKind",
    "ContactChannel",
    "Invitation",
    "KeyOwner",
    "OAuthAccount",
    "Permission",
    "RestrictedReason",
    "Scope",
    "Session",
    "Team",
    "User",
    "VerificationCode",
]

RestrictedReason: TypeAlias = Literal["email_not_verified", "restricted_by_administrator"]
KeyOwner: TypeAlias = Literal["user", "team"]
Scope: TypeAlias = Literal["team", "project"]
CodeKind: TypeAlias = Literal["sign_in", "email_verification", "password_reset"]

# What the server sees of a user and the browser does not (contract 4.1).
_SERVER_ONLY = (
    "primary_email_auth_enabled",
    "server_metadata",
    "last_active_at_millis",
    "restricted_by_admin_private_details",
    "country_code",
    "risk_scores",
)


@dataclass(slots=True, kw_only=True)
class User:
    """An account. `must_verify_email` stands for a project that restricts users until they did.

    The primary address is kept here alone; `_channels.py` shows it as the contact channel `primary_channel_id`.
    """

    id: str
    signed_up_at_millis: int
    last_active_at_millis: int
    display_name: str | None = None
    primary_email: str | None = None
    primary_email_verified: bool = False
    primary_email_auth_enabled: bool = False
    primary_channel_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    primary_channel_since: int = 0  # epoch milliseconds; the order of channels in a list
    has_password: bool = False
    password_hash: str | None = field(default=None, repr=False)  # None also where a test gave the user no password
    otp_auth_enabled: bool = False
    profile_image_url: str | None = None
    selected_team_id: str | None = None
    client_metadata: Any = None
    client_read_only_metadata: Any = None
    server_metadata: Any = None
    requires_totp_mfa: bool = False
    totp_secret_base64: str | None = field(default=None, repr=False)
    country_code: str | None = None
    bot_score: int = 0
    free_trial_abuse_score: int = 0
    is_anonymous: bool = False
    must_verify_email: bool = False
    restricted_by_admin: bool = False
    restricted_by_admin_reason: str | None = None
    restricted_by_admin_private_details: str | None = None

    @property
    def restricted_reason(self) -> dict[str, str] | None:
        """Why the user is restricted, or None; being anonymous wins."""
        if self.is_anonymous:
            return {"type": "anonymous"}
        if self.must_verify_email and not self.primary_email_verified:
            return {"type": "email_not_verified"}
        return {"type": "restricted_by_administrator"} if self.restricted_by_admin else None

    @property
    def kind(self) -> UserKind:
        """The kind of user a token minted now would be for."""
        if self.is_anonymous:
            return "anonymous"
        return "restricted" if self.restricted_reason else "regular"

    def server_shape(self, selected_team: Team | None, accounts: Iterable[OAuthAccount] = ()) -> dict[str, Any]:
        """The user as server and admin access read it."""
        scores = {"bot": self.bot_score, "free_trial_abuse": self.free_trial_abuse_score}
        return {
            "id": self.id,
            "display_name": self.display_name,
            "primary_email": self.primary_email,
            "primary_email_verified": self.primary_email_verified,
            "primary_email_auth_enabled": self.primary_email_auth_enabled,
            "profile_image_url": self.profile_image_url,
            "signed_up_at_millis": self.signed_up_at_millis,
            "client_metadata": self.client_metadata,
            "client_read_only_metadata": self.client_read_only_metadata,
            "server_metadata": self.server_metadata,
            "has_password": self.has_password,
            "otp_auth_enabled": self.otp_auth_enabled,
            "auth_with_email": (self.has_password or self.otp_auth_enabled) and self.primary_email_auth_enabled,
            "requires_totp_mfa": self.requires_totp_mfa,
            "passkey_auth_enabled": False,
            "oauth_providers": [
                {"id": account.provider, "account_id": account.account_id, "email": account.email}
                for account in accounts
            ],
            "selected_team_id": self.selected_team_id,
            "selected_team": selected_team and selected_team.server_shape(),
            "last_active_at_millis": self.last_active_at_millis,
            "is_anonymous": self.is_anonymous,
            "is_restricted": self.restricted_reason is not None,
            "restricted_reason": self.restricted_reason,
            "restricted_by_admin": self.restricted_by_admin,
            "restricted_by_admin_reason": self.restricted_by_admin_reason,
            "restricted_by_admin_private_details": self.restricted_by_admin_private_details,
            "country_code": self.country_code,
            "risk_scores": {"sign_up": scores},
        }

    def client_shape(self, selected_team: Team | None, accounts: Iterable[OAuthAccount] = ()) -> dict[str, Any]:
        """The user as client access reads itself."""
        shape = self.server_shape(selected_team, accounts)
        for name in _SERVER_ONLY:
            del shape[name]
        return shape | {"selected_team": selected_team and selected_team.client_shape()}


@dataclass(slots=True, kw_only=True)
class Team:
    """A team."""

    id: str
    display_name: str
    created_at_millis: int
    profile_image_url: str | None = None
    client_metadata: Any = None
    client_read_only_metadata: Any = None
    server_metadata: Any = None

    def client_shape(self) -> dict[str, Any]:
        """The team as its members read it."""
        return {
            "id": self.id,
            "display_name": self.display_name,
            "profile_image_url": self.profile_image_url,
            "client_metadata": self.client_metadata,
            "client_read_only_metadata": self.client_read_only_metadata,
        }

    def server_shape(self) -> dict[str, Any]:
        """The team as server and admin access read it."""
        extra = {"created_at_millis": self.created_at_millis, "server_metadata": self.server_metadata}
        return self.client_shape() | extra


@dataclass(slots=True, kw_only=True)
class Invitation:
    """An invitation to a team, which the code in an e-mail accepts once."""

    id: str
    team_id: str
    email: str
    code: str = field(repr=False)
    expires_at_millis: int
    used: bool = False


@dataclass(slots=True, kw_only=True)
class OAuthAccount:
    """A user's account at an OAuth provider, with the access token that the provider gave for it."""

    id: str
    user_id: str
    provider: str
    account_id: str
    email: str | None = None
    access_token: str | None = field(default=None, repr=False)
    scopes: list[str] = field(default_factory=list)
    allow_sign_in: bool = True
    allow_connected_accounts: bool = True

    def shape(self, *, with_account: bool) -> dict[str, Any]:
        """The account as it is read; client access does not see the id that the provider knows it by."""
        email = {} if self.email is None else {"email": self.email}
        account = {"account_id": self.account_id} if with_account else {}
        return (
            {
                "user_id": self.user_id,
                "id": self.id,
                "provider_config_id": self.provider,
                "type": self.provider,
                "allow_sign_in": self.allow_sign_in,
                "allow_connected_accounts": self.allow_connected_accounts,
            }
            | email
            | account
        )


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission definition: holding it is holding everything in `contains`, too."""

    id: str
    scope: Scope
    contains: tuple[str, ...] = ()
    description: str | None = None


@dataclass(slots=True, kw_only=True)
class Session:
    """A signed-in device: `id` is the `refresh_token_id` of its access tokens."""

    id: str
    user_id: str
    refresh_token: str = field(repr=False)
    created_at: int
    expires_at: int
    is_impersonation: bool = False
    last_used_at: int | None = None

    def shape(self) -> dict[str, Any]:
        """The session as a list shows it."""
        used = {} if self.last_used_at is None else {"last_used_at": self.last_used_at}
        return {
            "id": self.id,
            "user_id": self.user_id,
            "created_at": self.created_at,
            "is_impersonation": self.is_impersonation,
        } | used


@dataclass(slots=True, kw_only=True)
class ApiKey:
    """An end user's or a team's API key; `value` is the secret string."""

    id: str
    type: KeyOwner
    owner_id: str
    value: str = field(repr=False)
    description: str
    created_at_millis: int
    is_public: bool
    expires_at_millis: int | None = None
    revoked_at_millis: int | None = None

    def shape(self, *, reveal: bool = False) -> dict[str, Any]:
        """The key as it is read, or created with `reveal`; unset times are absent (contract 9.3)."""
        shape: dict[str, Any] = {
            f"{self.type}_id": self.owner_id,
            "type": self.type,
            "value": self.value if reveal else {"last_four": self.value[-4:]},
            "is_public": self.is_public,
            "created_at_millis": self.created_at_millis,
            "description": self.description,
            "id": self.id,
        }
        if self.expires_at_millis is not None:
            shape["expires_at_millis"] = self.expires_at_millis
        if self.revoked_at_millis is not None:
            shape["manually_revoked_at_millis"] = self.revoked_at_millis
        return shape


@dataclass(slots=True, kw_only=True)
class ContactChannel:
    """An address of a user. Rows are kept of those that are not primary; the primary one is part of its user."""

    id: str
    user_id: str
    value: str
    created_at_millis: int
    is_verified: bool = False
    used_for_auth: bool = False
    is_primary: bool = False

    def shape(self) -> dict[str, Any]:
        """The channel as it is read (contract 4.8)."""
        return {
            "user_id": self.user_id,
            "id": self.id,
            "type": "email",
            "value": self.value,
            "is_primary": self.is_primary,
            "is_verified": self.is_verified,
            "used_for_auth": self.used_for_auth,
        }


@dataclass(slots=True, kw_only=True)
class VerificationCode:
    """A one-time code that an e-mail brought; `user_id` is None for a sign-in, which may make the user."""

    code: str = field(repr=False)
    kind: CodeKind
    email: str
    user_id: str | None
    expires_at: int
    used: bool = False
    attempts: int = 0


@dataclass(slots=True, kw_only=True)
class CliLogin:
    """A command line that waits until somebody confirms its login in a browser."""

    polling_code: str = field(repr=False)
    login_code: str = field(repr=False)
    expires_at: int
    anon_refresh_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    used: bool = False

"""What may be written about a user of the sandbox, and by whom (contract 4.1)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from ._channels import channels_of, find_auth_channel, normalize, set_primary
from ._passwords import hash_password
from ._project import Project
from ._records import ContactChannel, User
from ._routing import (
    ANYTHING,
    BASE64,
    BOOLEAN,
    COUNTRY,
    EMAIL,
    STRING,
    UUID,
    Field,
    integer,
    list_of,
    nullable,
    one_of,
    record_of,
    required,
    text,
)
from ._wire import Refusal, known_error, text_reply

__all__ = ["CREATE_FIELDS", "OWN_FIELDS", "UPDATE_FIELDS", "create_user", "set_password", "update_user"]

_SCORE = required(integer(0, 100))
_SCORES = record_of({"sign_up": required(record_of({"bot": _SCORE, "free_trial_abuse": _SCORE}))})
_ACCOUNT = record_of({"id": required(STRING), "account_id": required(STRING), "email": Field(nullable(STRING))})
# bcrypt in the Modular Crypt Format. The sandbox keeps such a hash and cannot check a password against it.
_BCRYPT = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}")

# What users may write about themselves.
OWN_FIELDS = {
    "display_name": Field(nullable(text(longest=256))),
    "profile_image_url": Field(nullable(STRING)),
    "client_metadata": Field(ANYTHING),
    "selected_team_id": Field(nullable(UUID)),
    "totp_secret_base64": Field(nullable(BASE64)),
    "otp_auth_enabled": Field(BOOLEAN),
    "passkey_auth_enabled": Field(BOOLEAN),
    "primary_email": Field(nullable(EMAIL)),
}
# What a server may write.
UPDATE_FIELDS = OWN_FIELDS | {
    "client_read_only_metadata": Field(ANYTHING),
    "server_metadata": Field(ANYTHING),
    "primary_email_verified": Field(BOOLEAN),
    "primary_email_auth_enabled": Field(BOOLEAN),
    "password": Field(nullable(text(longest=70))),
    "password_hash": Field(text(may_be_empty=False)),
    "is_anonymous": Field(one_of(False)),
    "restricted_by_admin": Field(BOOLEAN),
    "restricted_by_admin_reason": Field(nullable(STRING)),
    "restricted_by_admin_private_details": Field(nullable(STRING)),
    "country_code": Field(nullable(COUNTRY)),
    "risk_scores": Field(_SCORES),
}
CREATE_FIELDS = {name: field for name, field in UPDATE_FIELDS.items() if name != "selected_team_id"} | {
    "is_anonymous": Field(BOOLEAN),
    "oauth_providers": Field(list_of(_ACCOUNT)),
}

# Fields that are kept as they come.
_PLAIN = (
    "client_metadata",
    "client_read_only_metadata",
    "otp_auth_enabled",
    "profile_image_url",
    "selected_team_id",
    "server_metadata",
)


def create_user(project: Project, fields: Mapping[str, Any]) -> User:
    """A user with these fields, who is not in the project yet.

    Args:
        fields: of `CREATE_FIELDS` without `oauth_providers`.

    Raises:
        Refusal: the fields contradict each other, or the address already signs somebody in.
    """
    now = project.now_millis()
    user = User(
        id=str(uuid.uuid4()),
        signed_up_at_millis=now,
        last_active_at_millis=now,
        must_verify_email=project.require_email_verification,
    )
    user.is_anonymous = fields.get("is_anonymous", False)
    _write(project, user, {name: value for name, value in fields.items() if name != "is_anonymous"})
    return user


def update_user(project: Project, user: User, fields: Mapping[str, Any]) -> None:
    """Change a user; a new password, or none any more, signs them out everywhere.

    Args:
        fields: of `UPDATE_FIELDS`.

    Raises:
        Refusal: the fields contradict each other or the user, or the address already signs somebody else in.
    """
    team_id = fields.get("selected_team_id")
    if team_id is not None and (team_id, user.id) not in project.members:
        raise known_error("TEAM_MEMBERSHIP_NOT_FOUND", team_id=team_id, user_id=user.id)
    _write(project, user, fields)
    if "password" in fields or "password_hash" in fields:
        project.end_sessions(user.id)


def set_password(user: User, password: str | None) -> None:
    """Give the user a password, or none."""
    user.password_hash = None if password is None else hash_password(password)
    user.has_password = password is not None


def _write(project: Project, user: User, fields: Mapping[str, Any]) -> None:
    """Check everything, then write: a refused request has changed nothing."""
    address = _address(project, user, fields)
    restriction = _restriction(user, fields)
    _check_sign_in(fields)
    for name in _PLAIN:
        if name in fields:
            setattr(user, name, fields[name])
    for name, value in restriction.items():
        setattr(user, name, value)
    set_primary(project, user, address)
    if "display_name" in fields:
        user.display_name = fields["display_name"] or None
    if "password" in fields:
        set_password(user, fields["password"])
    elif "password_hash" in fields:
        user.password_hash, user.has_password = fields["password_hash"], True
    if "totp_secret_base64" in fields:
        user.totp_secret_base64 = fields["totp_secret_base64"]
        user.requires_totp_mfa = fields["totp_secret_base64"] is not None
    if "country_code" in fields:
        code = fields["country_code"]
        user.country_code = None if code is None else code.strip().upper()
    if "risk_scores" in fields:
        scores = fields["risk_scores"]["sign_up"]
        user.bot_score, user.free_trial_abuse_score = int(scores["bot"]), int(scores["free_trial_abuse"])
    if user.is_anonymous and fields.get("is_anonymous") is False:
        user.is_anonymous = False
        user.signed_up_at_millis = project.now_millis()


def _address(project: Project, user: User, fields: Mapping[str, Any]) -> ContactChannel | None:
    """The primary address as it will be, or None: one that is new to the user is not verified unless they say so."""
    channels = channels_of(project, user)
    old = next((channel for channel in channels if channel.is_primary), None)
    email = old.value if old else None
    if "primary_email" in fields:
        email = None if fields["primary_email"] is None else normalize(fields["primary_email"])
    if email is None and old is None:
        for name in ("primary_email_auth_enabled", "primary_email_verified"):
            if fields.get(name):
                raise Refusal(text_reply(f"{name} cannot be true without primary_email", 400))
    if email is None:
        return None
    known = next((channel for channel in channels if normalize(channel.value) == normalize(email)), None)
    signs_in = fields.get("primary_email_auth_enabled", old is not None and old.used_for_auth)
    if signs_in and not (known and known.used_for_auth) and find_auth_channel(project, email):
        words = {"but": "."}
        raise known_error("USER_EMAIL_ALREADY_EXISTS", words, email=email, would_work_if_email_was_verified=False)
    return ContactChannel(
        id=known.id if known else str(uuid.uuid4()),
        user_id=user.id,
        value=email,
        created_at_millis=known.created_at_millis if known else project.now_millis(),
        is_verified=fields.get("primary_email_verified", known is not None and known.is_verified),
        used_for_auth=signs_in,
        is_primary=True,
    )


def _restriction(user: User, fields: Mapping[str, Any]) -> dict[str, Any]:
    is_restricted = fields.get("restricted_by_admin", user.restricted_by_admin)
    changes: dict[str, Any] = {"restricted_by_admin": is_restricted}
    for name in ("restricted_by_admin_reason", "restricted_by_admin_private_details"):
        if not is_restricted and fields.get(name) is not None:
            raise known_error("SCHEMA_ERROR", message=f"{name} must be null unless restricted_by_admin is true")
        if not is_restricted or name in fields:
            changes[name] = fields.get(name) or None
    return changes


def _check_sign_in(fields: Mapping[str, Any]) -> None:
    if fields.get("passkey_auth_enabled"):
        problem = "Cannot manually enable passkey auth, it is enabled iff there is a passkey auth method"
        raise Refusal(text_reply(problem, 400))
    if "password_hash" not in fields:
        return
    if "password" in fields:
        raise Refusal(text_reply("Cannot set both password and password_hash at the same time.", 400))
    if not _BCRYPT.fullmatch(fields["password_hash"]):
        problem = "Invalid password hash. Make sure it's a supported algorithm in Modular Crypt Format."
        raise Refusal(text_reply(problem, 400))

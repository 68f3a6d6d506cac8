"""Signing up, signing in and passwords: what the routes of the sandbox and the methods of `Sandbox` share."""

from __future__ import annotations

import functools
import uuid
from typing import Any, NamedTuple

from ._channels import channels_of, find_auth_channel, normalize, save_channel
from ._codes import TYPED, check_callback, send_code, use_code
from ._passwords import hash_password, password_matches
from ._project import Project
from ._records import Session, User
from ._wire import Refusal, known_error, random_text, text_reply

__all__ = [
    "SignedIn",
    "change_password",
    "give_password",
    "reset_password",
    "send_reset_code",
    "send_sign_in_code",
    "sign_in",
    "sign_in_with_code",
    "sign_up",
    "sign_up_anonymously",
    "verify_address",
]

_SHORTEST, _LONGEST = 8, 70  # characters of a password


class SignedIn(NamedTuple):
    """Who signed in, and the session that began."""

    user: User
    session: Session
    is_new_user: bool


def sign_up(
    project: Project, email: str, password: str, *, callback_url: str | None = None, caller: User | None = None
) -> SignedIn:
    """Make an account with a password, or make one of the anonymous `caller`, who keeps their id.

    Args:
        callback_url: the page that an e-mail for the verification of the address leads to; None sends none.

    Raises:
        Refusal: `REDIRECT_URL_NOT_WHITELISTED`, `PASSWORD_TOO_SHORT`, `PASSWORD_TOO_LONG` or
            `USER_EMAIL_ALREADY_EXISTS`.
    """
    if callback_url is not None:
        check_callback(project, callback_url)
    _check_password(password)
    email = normalize(email)
    if find_auth_channel(project, email):
        raise _taken(email)
    profile = {"primary_email": email, "has_password": True, "password_hash": hash_password(password)}
    user = _begin(project, caller, profile)
    if callback_url is not None:
        send_code(project, "email_verification", email, callback_url, user.id)
    return _session(project, user, is_new_user=True)


def sign_up_anonymously(project: Project) -> SignedIn:
    """Make an account of a visitor."""
    now = project.now_millis()
    user = User(id=str(uuid.uuid4()), signed_up_at_millis=now, last_active_at_millis=now, is_anonymous=True)
    project.add_user(user)
    return _session(project, user, is_new_user=True)


def sign_in(project: Project, email: str, password: str) -> SignedIn:
    """Sign in with a password; an address that nobody has costs the same and is refused with the same words.

    Raises:
        Refusal: `EMAIL_PASSWORD_MISMATCH` or `MULTI_FACTOR_AUTHENTICATION_REQUIRED`.
    """
    found = find_auth_channel(project, email)
    kept = found[0].password_hash if found else None
    matches = password_matches(password, kept or _hash_of_nobody())
    if found is None or kept is None or not matches:
        raise known_error("EMAIL_PASSWORD_MISMATCH")
    return _session(project, found[0])


def send_sign_in_code(project: Project, email: str, callback_url: str) -> str:
    """Send an e-mail with a one-time code; return the nonce, the part of the code that the page keeps.

    Raises:
        Refusal: `REDIRECT_URL_NOT_WHITELISTED`, or `USER_EMAIL_ALREADY_EXISTS` for an unverified address of an
            account.
    """
    email = normalize(email)
    _who_takes_codes(project, email)
    return send_code(project, "sign_in", email, callback_url).code[TYPED:]


def sign_in_with_code(project: Project, code: str, *, caller: User | None = None) -> SignedIn:
    """Sign in with the six characters of an e-mail followed by the nonce, or sign up where nobody has the address.

    Raises:
        Refusal: of `use_code`, `USER_EMAIL_ALREADY_EXISTS` or `MULTI_FACTOR_AUTHENTICATION_REQUIRED`.
    """
    email = use_code(project, "sign_in", code).email
    user = _who_takes_codes(project, email)
    if user is not None:
        user.otp_auth_enabled = True
        return _session(project, user)
    profile = {"primary_email": email, "primary_email_verified": True, "otp_auth_enabled": True}
    return _session(project, _begin(project, caller, profile), is_new_user=True)


def verify_address(project: Project, code: str) -> None:
    """Count the address as verified that the code was sent to; no webhook tells of it (contract 6).

    Raises:
        Refusal: of `use_code`, or 400 where the address is the user's no more.
    """
    used = use_code(project, "email_verification", code)
    user = project.users.get(used.user_id or "")
    channels = channels_of(project, user) if user else []
    channel = next((item for item in channels if item.value == used.email), None)
    if channel is None:
        raise Refusal(text_reply("Contact channel not found. Was your contact channel deleted?", 400))
    channel.is_verified = True
    save_channel(project, channel)


def change_password(project: Project, user: User, old: str, new: str, refresh_token: str | None) -> None:
    """Replace a password by somebody who knows it, and end the user's other sessions.

    Args:
        refresh_token: of the session that goes on.

    Raises:
        Refusal: `PASSWORD_TOO_SHORT`, `PASSWORD_TOO_LONG`, `USER_DOES_NOT_HAVE_PASSWORD` or
            `PASSWORD_CONFIRMATION_MISMATCH`.
    """
    _check_password(new)
    if not user.has_password:
        raise known_error("USER_DOES_NOT_HAVE_PASSWORD")
    if not password_matches(old, user.password_hash):
        raise known_error("PASSWORD_CONFIRMATION_MISMATCH")
    user.password_hash = hash_password(new)
    project.end_sessions(user.id, but=refresh_token)


def give_password(user: User, password: str) -> None:
    """Set the first password of a user.

    Raises:
        Refusal: `PASSWORD_TOO_SHORT`, `PASSWORD_TOO_LONG`, or 400 for a user who has one.
    """
    _check_password(password)
    if user.has_password:
        raise Refusal(text_reply("User already has a password set.", 400))
    user.password_hash, user.has_password = hash_password(password), True


def send_reset_code(project: Project, email: str, callback_url: str) -> None:
    """Send an e-mail that lets its reader set another password, if anybody signs in with the address.

    Raises:
        Refusal: `REDIRECT_URL_NOT_WHITELISTED`, for an address that somebody has.
    """
    found = find_auth_channel(project, email)
    if found:
        send_code(project, "password_reset", found[1].value, callback_url, found[0].id)


def reset_password(project: Project, code: str, password: str) -> None:
    """Set the password of whom the code was sent to, and end all of their sessions.

    Raises:
        Refusal: of `use_code`, `PASSWORD_TOO_SHORT`, `PASSWORD_TOO_LONG` or `USER_NOT_FOUND`.
    """
    used = use_code(project, "password_reset", code)
    _check_password(password)
    user = project.users.get(used.user_id or "")
    if user is None:
        raise known_error("USER_NOT_FOUND")
    user.password_hash, user.has_password = hash_password(password), True
    project.end_sessions(user.id)
    project.user_changed(user)


def _begin(project: Project, caller: User | None, profile: dict[str, Any]) -> User:
    """A new user, or the anonymous caller turned into one: their old sessions end, they signed up now."""
    now = project.now_millis()
    profile |= {"primary_email_auth_enabled": True, "must_verify_email": project.require_email_verification}
    if caller is None or not caller.is_anonymous:
        user = User(id=str(uuid.uuid4()), signed_up_at_millis=now, last_active_at_millis=now, **profile)
        project.add_user(user)
        return user
    for name, value in (profile | {"is_anonymous": False, "signed_up_at_millis": now}).items():
        setattr(caller, name, value)
    project.end_sessions(caller.id)
    project.user_changed(caller)
    return caller


def _session(project: Project, user: User, *, is_new_user: bool = False) -> SignedIn:
    if user.requires_totp_mfa:
        raise known_error("MULTI_FACTOR_AUTHENTICATION_REQUIRED", attempt_code=random_text(45))
    user.last_active_at_millis = project.now_millis()
    return SignedIn(user, project.start_session(user.id), is_new_user)


def _who_takes_codes(project: Project, email: str) -> User | None:
    found = find_auth_channel(project, email)
    if found and not found[1].is_verified:  # else a code would let the reader of the address into an account
        raise _taken(found[1].value, unverified=True)
    return found[0] if found else None


def _taken(email: str, *, unverified: bool = False) -> Refusal:
    but = (
        " but the email is not verified. Please login to your existing account with the method you used to sign up, "
        "and then verify your email to sign in with this login method."
    )
    words = {"but": but if unverified else "."}
    return known_error("USER_EMAIL_ALREADY_EXISTS", words, email=email, would_work_if_email_was_verified=unverified)


def _check_password(password: str) -> None:
    if len(password) < _SHORTEST:
        raise known_error("PASSWORD_TOO_SHORT", min_length=_SHORTEST)
    if len(password) > _LONGEST:
        raise known_error("PASSWORD_TOO_LONG", maxLength=_LONGEST)


@functools.cache
def _hash_of_nobody() -> str:
    return hash_password(random_text(45))

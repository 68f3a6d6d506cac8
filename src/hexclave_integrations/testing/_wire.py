"""What the sandbox answers: replies, and the errors of contract 3.3 and 5 in Hexclave's own words."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "CROCKFORD",
    "Refusal",
    "Reply",
    "access_token_expired",
    "iso_time",
    "json_reply",
    "known_error",
    "random_text",
    "text_reply",
]

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
# code -> (status, text); `{name}` is a field of the details, or a word that only the text needs.
_KNOWN: dict[str, tuple[int, str]] = {
    "ACCESS_TOKEN_EXPIRED": (
        401,
        "Access token has expired. Please refresh it and try again. (The access token expired at {expired_at}.){ids}"
        "\n\nDebug info: Most likely, you fetched the access token before it expired (for example, in a server "
        "component, pre-rendered page, or on page load), but then didn't refresh it before it expired. If this is the "
        "case, and you're using the SDK, make sure you call getAccessToken() every time you need to use the access "
        "token. If you're not using the SDK, make sure you refresh the access token with the refresh endpoint.",
    ),
    "ACCESS_TYPE_REQUIRED": (
        400,
        "You must specify an access level for this Stack project. Make sure project API keys are "
        "provided (eg. x-stack-publishable-client-key) and you set the x-stack-access-type header "
        "to 'client', 'server', or 'admin'.\n\nFor more information, see the docs on REST API "
        "authentication: https://docs.stack-auth.com/rest-api/overview#authentication",
    ),
    "ACCESS_TYPE_WITHOUT_PROJECT_ID": (
        400,
        "The x-stack-access-type header was '{request_type}', but the x-stack-project-id header "
        "was not provided.\n\nFor more information, see the docs on REST API authentication: "
        "https://docs.stack-auth.com/rest-api/overview#authentication",
    ),
    "ADMIN_AUTHENTICATION_REQUIRED": (401, "The super secret admin key must be provided."),
    "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED": (
        401,
        "X-Stack-Access-Token is for an anonymous user, but anonymous users are not enabled. Set "
        "the X-Stack-Allow-Anonymous-User header of this request to 'true' to allow anonymous "
        "users.",
    ),
    "API_KEY_EXPIRED": (401, "API key has expired."),
    "API_KEY_NOT_FOUND": (404, "API key not found."),
    "API_KEY_REVOKED": (401, "API key has been revoked."),
    "BODY_PARSING_ERROR": (400, "{problem}"),
    "BRANCH_DOES_NOT_EXIST": (400, "The branch with ID {branch_id} does not exist."),
    "CANNOT_DELETE_CURRENT_SESSION": (400, "Cannot delete the current session."),
    "CANNOT_GET_OWN_USER_WITHOUT_USER": (
        400,
        "You have specified 'me' as a userId, but did not provide authentication for a user.",
    ),
    "CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE": (
        409,
        "This {type} {shown} is already used for authentication by another account.",
    ),
    "CONTAINED_PERMISSION_NOT_FOUND": (
        400,
        'Contained permission with ID "{permission_id}" not found. Make sure you created it on the dashboard.',
    ),
    "CURRENT_PROJECT_NOT_FOUND": (
        400,
        "The current project with ID {project_id} was not found. Please check the value of the "
        "x-stack-project-id header.",
    ),
    "DATA_VAULT_STORE_DOES_NOT_EXIST": (400, "Data vault store with ID {store_id} does not exist."),
    "DATA_VAULT_STORE_HASHED_KEY_DOES_NOT_EXIST": (
        400,
        "Data vault store with ID {store_id} does not contain a key with hash {hashed_key}.",
    ),
    "EMAIL_ALREADY_VERIFIED": (409, "The e-mail is already verified."),
    "EMAIL_IS_NOT_PRIMARY_EMAIL": (
        400,
        "The given e-mail ({email}) must equal the user's primary e-mail ({primary_email}).",
    ),
    "EMAIL_PASSWORD_MISMATCH": (400, "Wrong e-mail or password."),
    "INSUFFICIENT_ACCESS_TYPE": (
        401,
        "The x-stack-access-type header must be {allowed}, but was '{actual_access_type}'.",
    ),
    "INVALID_ACCESS_TYPE": (
        400,
        "The x-stack-access-type header must be 'client', 'server', or 'admin', but was '{given}'.",
    ),
    "INVALID_AUTHORIZATION_CODE": (400, "The given authorization code is invalid."),
    "INVALID_OAUTH_CLIENT_ID_OR_SECRET": (
        400,
        "The OAuth client ID or secret is invalid. The client ID must be equal to the project ID "
        "(potentially with a hash and a branch ID), and the client secret must be a publishable client "
        "key.",
    ),
    "INVALID_POLLING_CODE": (400, "The polling code is invalid or does not exist."),
    "INVALID_PROJECT_FOR_ACCESS_TOKEN": (
        401,
        'Access token not valid for this project. Expected project ID "{expected_project_id}", but '
        'the token is for project ID "{actual_project_id}".',
    ),
    "INVALID_PUBLISHABLE_CLIENT_KEY": (
        401,
        'The publishable key is not valid for the project "{project_id}". Does the project and/or the key exist?',
    ),
    "INVALID_SECRET_SERVER_KEY": (
        401,
        'The secret server key is not valid for the project "{project_id}". Does the project and/or the key exist?',
    ),
    "INVALID_SUPER_SECRET_ADMIN_KEY": (
        401,
        'The super secret admin key is not valid for the project "{project_id}". Does the project '
        "and/or the key exist?",
    ),
    "ITEM_CUSTOMER_TYPE_DOES_NOT_MATCH": (
        400,
        'The {actual_customer_type} with ID "{customer_id}" is not a valid customer for the item with'
        ' ID "{item_id}". The item is configured to only be available for {item_customer_type} '
        "customers, but the customer is a {actual_customer_type}.",
    ),
    "ITEM_NOT_FOUND": (404, 'Item with ID "{item_id}" not found.'),
    "ITEM_QUANTITY_INSUFFICIENT_AMOUNT": (
        400,
        'The item with ID "{item_id}" has an insufficient quantity for the customer with ID '
        '"{customer_id}". An attempt was made to charge {quantity} credits.',
    ),
    "MULTI_FACTOR_AUTHENTICATION_REQUIRED": (400, "Multi-factor authentication is required for this user."),
    "OAUTH_ACCESS_TOKEN_NOT_AVAILABLE": (
        400,
        "Failed to retrieve an OAuth access token for the connected account (provider: {provider}). {details}",
    ),
    "OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE": (400, "The OAuth connection does not have the required scope."),
    "OAUTH_CONNECTION_NOT_CONNECTED_TO_USER": (400, "The OAuth connection is not connected to any user."),
    "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED": (400, "The OAuth provider is not found or not enabled."),
    "PASSKEY_AUTHENTICATION_NOT_ENABLED": (400, "Passkey authentication is not enabled for this project."),
    "PASSWORD_CONFIRMATION_MISMATCH": (400, "Passwords do not match."),
    "PASSWORD_TOO_LONG": (400, "Password too long. Maximum length is {maxLength}."),
    "PASSWORD_TOO_SHORT": (400, "Password too short. Minimum length is {min_length}."),
    "PERMISSION_ID_ALREADY_EXISTS": (
        400,
        'Permission with ID "{permission_id}" already exists. Choose a different ID.',
    ),
    "PERMISSION_NOT_FOUND": (
        404,
        'Permission "{permission_id}" not found. Make sure you created it on the dashboard.',
    ),
    "PRODUCT_ALREADY_GRANTED": (400, 'Customer with ID "{customer_id}" already owns product "{product_id}".'),
    "PRODUCT_CUSTOMER_TYPE_DOES_NOT_MATCH": (
        400,
        'The {actual_customer_type} with ID "{customer_id}" is not a valid customer for the inline '
        "product that has been passed in. The product is configured to only be available for "
        "{product_customer_type} customers, but the customer is a {actual_customer_type}.",
    ),
    "PRODUCT_DOES_NOT_EXIST": (400, 'Product with ID "{product_id}" {why}'),
    "PROJECT_KEY_WITHOUT_ACCESS_TYPE": (
        400,
        "Either an API key or an admin access token was provided, but the x-stack-access-type "
        "header is missing. Set it to 'client', 'server', or 'admin' as appropriate.",
    ),
    "REDIRECT_URL_NOT_WHITELISTED": (
        400,
        "Redirect URL not whitelisted. Did you forget to add this domain to the trusted domains list on "
        "the Stack Auth dashboard?",
    ),
    "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED": (
        401,
        "Refresh token not found for this project, or the session has expired/been revoked.",
    ),
    "RESTRICTED_USER_NOT_ALLOWED": (
        403,
        "The user in the access token is in restricted state. Reason: {restricted_reason[type]}. "
        "Please pass the X-Stack-Allow-Restricted-User header if this is intended.",
    ),
    "SCHEMA_ERROR": (400, "{message}"),
    "SERVER_AUTHENTICATION_REQUIRED": (401, "The secret server key must be provided."),
    "TEAM_INVITATION_RESTRICTED_USER_NOT_ALLOWED": (
        403,
        "Restricted users cannot accept team invitations. Reason: {restricted_reason[type]}. Please "
        "complete the onboarding process before accepting team invitations.",
    ),
    "TEAM_MEMBERSHIP_ALREADY_EXISTS": (409, "Team membership already exists."),
    "TEAM_MEMBERSHIP_NOT_FOUND": (404, "User {user_id} is not found in team {team_id}."),
    "TEAM_NOT_FOUND": (404, "Team {team_id} not found."),
    "TEAM_PERMISSION_NOT_FOUND": (
        401,
        "User {user_id} does not have permission {permission_id} in team {team_id}.",
    ),
    "TEAM_PERMISSION_REQUIRED": (
        401,
        "User {user_id} does not have permission {permission_id} in team {team_id}.",
    ),
    "UNPARSABLE_ACCESS_TOKEN": (401, "Access token is not parsable."),
    "USER_AUTHENTICATION_REQUIRED": (401, "User authentication required for this endpoint."),
    "USER_DOES_NOT_HAVE_PASSWORD": (400, "This user does not have password authentication enabled."),
    "USER_EMAIL_ALREADY_EXISTS": (409, 'A user with email "{email}" already exists{but}'),
    "USER_ID_DOES_NOT_EXIST": (400, "The given user with the ID {user_id} does not exist."),
    "USER_NOT_FOUND": (404, "User not found."),
    "VERIFICATION_CODE_ALREADY_USED": (409, "The verification link has already been used."),
    "VERIFICATION_CODE_EXPIRED": (400, "The verification code has expired."),
    "VERIFICATION_CODE_MAX_ATTEMPTS_REACHED": (
        400,
        "The verification code nonce has reached the maximum number of attempts. This code is not valid anymore.",
    ),
    "VERIFICATION_CODE_NOT_FOUND": (404, "The verification code does not exist for this project."),
    "WRONG_API_KEY_TYPE": (
        400,
        "This endpoint is for {expected_type} API keys, but a {actual_type} API key was provided.",
    ),
    "WRONG_PERMISSION_SCOPE": (
        404,
        'Permission "{permission_id}" not found. (It was found for a different scope '
        '"{actual_scope}", but scope "{expected_scope}" was expected.)',
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A finished answer: status, headers with lower-case names, body bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Refusal(Exception):
    """Ends the handling of a request with the reply it carries; `code` is None for one in plain text."""

    def __init__(self, reply: Reply, code: str | None = None) -> None:
        super().__init__(reply.status)
        self.reply = reply
        self.code = code


def random_text(length: int) -> str:
    """Unguessable text of `length` characters in Hexclave's alphabet, lower-case Crockford base32."""
    return "".join(secrets.choice(CROCKFORD) for _ in range(length))


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer that no cache may keep (contract 3.3)."""
    return _reply(status, "application/json", json.dumps(value, separators=(",", ":")), headers)


def text_reply(text: str, status: int) -> Reply:
    """A plain-text answer, as every error without a known code is."""
    return _reply(status, "text/plain", text, None)


def known_error(code: str, words: Mapping[str, str] | None = None, **details: Any) -> Refusal:
    """The known error `code` of contract section 5.

    Args:
        words: what the text names and the details do not hold.
        details: the fields of `details`; none leaves the key out.
    """
    status, text = _KNOWN[code]
    body: dict[str, Any] = {"code": code}
    if details:
        body["details"] = details
    body["error"] = text.format(**details, **(words or {}))
    return Refusal(json_reply(body, status, {"x-stack-known-error": code, "x-hexclave-known-error": code}), code)


def access_token_expired(millis: int, *, ids: Mapping[str, str | None] | None = None) -> Refusal:
    """`ACCESS_TOKEN_EXPIRED`.

    Args:
        millis: when it did, epoch milliseconds.
        ids: `project_id`, `user_id` and `refresh_token_id`, as far as they are known.
    """
    known = {name: (ids or {}).get(name) for name in _IDS}
    words = "".join(f" {_IDS[name]}: {value}." for name, value in known.items() if value)
    return known_error(
        "ACCESS_TOKEN_EXPIRED", {"expired_at": iso_time(millis), "ids": words}, expired_at_millis=millis, **known
    )


def iso_time(millis: int) -> str:
    """A moment as JavaScript writes it."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_IDS = {"project_id": "Project ID", "user_id": "User ID", "refresh_token_id": "Refresh token ID"}


def _reply(status: int, media_type: str, text: str, headers: Mapping[str, str] | None) -> Reply:
    request_id = random_text(16)
    common = {
        "content-type": f"{media_type}; charset=utf-8",
        "cache-control": "no-store, max-age=0",
        "x-stack-request-id": request_id,
        "x-hexclave-request-id": request_id,
    }
    return Reply(status=status, headers=common | dict(headers or {}), body=text.encode())

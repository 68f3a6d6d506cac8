"""What is asked of Hexclave's REST API and how its answers are read. Pure: no HTTP client in here (contract 3, 4)."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from .. import _reasons as reasons
from .._version import __version__
from ..api_key import HexclaveApiKey
from ..config import HexclaveConfig
from ..errors import (
    ApiKeyExpired,
    ApiKeyNotFound,
    ApiKeyRevoked,
    AuthenticationError,
    ServerKeyRefused,
    SessionEnded,
    TokenExpired,
    WrongApiKeyType,
)
from ..user import HexclaveUser, UserKind
from .messages import Reply, Request, UnusableReply

__all__ = [
    "KEY_REFUSED",
    "MAX_RETRY_AFTER",
    "api_key_request",
    "client_call",
    "current_user_request",
    "failure_of",
    "jwks_request",
    "key_set_document",
    "member_path",
    "object_of",
    "read_api_key",
    "read_current_user",
    "read_ids",
    "read_membership",
    "read_user",
    "retry_after",
    "rows_of",
    "server_call",
    "server_request",
    "user_path",
]

MAX_RETRY_AFTER: Final = 300.0
# Answers that mean: this server key is wrong, missing or of another project (contract 3.4, step 4).
KEY_REFUSED: Final = frozenset(
    {"INVALID_SECRET_SERVER_KEY", "SERVER_AUTHENTICATION_REQUIRED", "INSUFFICIENT_ACCESS_TYPE"}
)


def jwks_request(config: HexclaveConfig, kind: UserKind = "anonymous") -> Request:
    """A request for the keys that tokens are signed with: those of all kinds of users (contract section 2, JWKS).

    Args:
        config: gives project and server.
        kind: which users the keys are for: each kind implies those before it, regular, restricted and anonymous.
    """
    url = f"{config.api_url}/api/v1/projects/{config.project_id}/.well-known/jwks.json"
    if kind != "regular":
        url += f"?include_{kind}=true"
    # The endpoint may be cached for an hour on the way; a refresh wants to know what is true now.
    return Request("key set", "GET", url, {"cache-control": "no-cache", "accept": "application/json"})


def key_set_document(reply: Reply) -> bytes:
    """The body of an answer to `jwks_request`, which still has to be read.

    Raises:
        UnusableReply: it is not the answer of a Hexclave that knows the project (contract section 2, JWKS).
    """
    if reply.status == 200:
        return reply.body
    if reply.status != 404:
        raise UnusableReply(f"status {reply.status}", reasons.KEYS_STATUS)
    if "html" in reply.headers.get("content-type", ""):  # a website at a wrong address; Hexclave says it in plain text
        raise UnusableReply("status 404", reasons.KEYS_UNUSABLE)
    what = "it knows no project with this project_id (HEXCLAVE_PROJECT_ID) at this api_url"
    raise UnusableReply(what, reasons.KEYS_PROJECT)


def server_request(config: HexclaveConfig, what: str, path: str, **query: str) -> Request:
    """A GET with server access; see `server_call`."""
    return server_call(config, what, "GET", path, query)


def server_call(
    config: HexclaveConfig, what: str, method: str, path: str, query: Mapping[str, str], body: bytes | None = None
) -> Request:
    """A request with server access (contract 3.2). `x-stack-*` names work on every server, old ones included.

    Args:
        what: names the request in our logs, and what the key is missing for.
        path: below `/api/v1`, percent-encoded.
        body: JSON, or None for a request without one.
    """
    url = f"{config.api_url}/api/v1{path}"
    if query:
        url += "?" + urlencode(query)
    headers = {
        **_common_headers(config),
        "x-stack-access-type": "server",
        "x-stack-secret-server-key": config.require_server_key(f"asking Hexclave for {what}"),
    }
    if body is not None:
        headers["content-type"] = "application/json"
    return Request(what, method, url, headers, body)


def client_call(config: HexclaveConfig, what: str, path: str, fields: Mapping[str, object], **headers: str) -> Request:
    """A POST with client access (contract 3.2), as a program makes it that people have on their own machines.

    Args:
        what: names the request in our logs.
        path: below `/api/v1`, percent-encoded.
        fields: of the JSON body.
        headers: further ones, by their name without `x-stack-`, with underscores.
    """
    named = {f"x-stack-{name.replace('_', '-')}": value for name, value in headers.items()}
    if config.publishable_client_key is not None:
        named["x-stack-publishable-client-key"] = config.publishable_client_key
    named |= {"x-stack-access-type": "client", "content-type": "application/json"}
    body = json.dumps(fields).encode()
    return Request(what, "POST", f"{config.api_url}/api/v1{path}", _common_headers(config) | named, body)


def current_user_request(config: HexclaveConfig, token: str) -> Request:
    """`GET /users/me` with the user's own token; every kind of user is let in, the caller filters (contract 9.8)."""
    headers = {**_common_headers(config), "x-stack-access-token": token, "x-stack-allow-anonymous-user": "true"}
    if config.secret_server_key is not None:
        headers |= {"x-stack-access-type": "server", "x-stack-secret-server-key": config.secret_server_key}
    else:
        headers["x-stack-access-type"] = "client"
        if config.publishable_client_key is not None:
            headers["x-stack-publishable-client-key"] = config.publishable_client_key
    return Request("the current user", "GET", f"{config.api_url}/api/v1/users/me", headers)


def api_key_request(config: HexclaveConfig, key_type: str, api_key: str) -> Request:
    """`POST /user-api-keys/check` or its twin for teams (contract 4.4)."""
    config.require_server_key("asking Hexclave for an API key")  # before there is a body, which debuggers would show
    body = json.dumps({"api_key": api_key}).encode()
    return server_call(config, "an API key", "POST", f"/{key_type}-api-keys/check", {}, body)


def _common_headers(config: HexclaveConfig) -> dict[str, str]:
    return {
        "accept": "application/json",
        "x-stack-project-id": config.project_id,
        "x-stack-client-version": f"python @hexclave/integrations@{__version__}",
    }


def user_path(user_id: str) -> str:
    return f"/users/{quote(user_id, safe='')}"


def member_path(team_id: str, user_id: str) -> str:
    return f"/team-member-profiles/{quote(team_id, safe='')}/{quote(user_id, safe='')}"


def read_ids(reply: Reply, **owner: str) -> frozenset[str]:
    """The ids in a list of permissions or sessions; rows of anybody else are ignored (contract 4.3 and 4.8).

    Raises:
        UnusableReply: the answer is no such list.
    """
    return frozenset(
        row["id"]
        for row in rows_of(reply)
        if isinstance(row.get("id"), str) and all(row.get(name) == value for name, value in owner.items())
    )


def read_membership(reply: Reply, *, team_id: str, user_id: str) -> bool:
    """Whether a member profile is there (contract 4.2: an unknown team answers as a stranger does).

    Raises:
        UnusableReply: the answer is neither a profile nor one of the two known refusals.
    """
    if reply.real_status == 404 and reply.known_error in ("TEAM_MEMBERSHIP_NOT_FOUND", "USER_NOT_FOUND"):
        return False
    body = object_of(reply)
    if body.get("team_id") != team_id or body.get("user_id") != user_id:
        raise UnusableReply("a profile of somebody else")
    return True


def read_user(reply: Reply, config: HexclaveConfig) -> HexclaveUser | None:
    """A user object, or None where Hexclave knows no such user.

    Raises:
        UnusableReply: the answer is neither.
    """
    if reply.real_status == 404 and reply.known_error == "USER_NOT_FOUND":
        return None
    body = object_of(reply)
    try:
        return HexclaveUser.from_api(body, config.project_id)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UnusableReply("no user object") from None


def read_current_user(reply: Reply, config: HexclaveConfig) -> HexclaveUser:
    """The answer of `/users/me` for a token that was verified here already (contract 3.4 and 11).

    Raises:
        SessionEnded: the user is gone, or Hexclave refuses the token that we accept.
        TokenExpired: it expired on the way.
        UnusableReply: no usable answer.
    """
    code = reply.known_error
    if code == "ACCESS_TOKEN_EXPIRED":
        raise TokenExpired(reason=reasons.EXPIRED_AT_HEXCLAVE)
    if code in ("CANNOT_GET_OWN_USER_WITHOUT_USER", "UNPARSABLE_ACCESS_TOKEN", "INVALID_PROJECT_FOR_ACCESS_TOKEN"):
        raise SessionEnded(reason=reasons.TOKEN_REFUSED)
    user = read_user(reply, config)
    if user is None:
        raise SessionEnded(reason=reasons.USER_GONE)
    return user


_KEY_REFUSALS: dict[str, type[AuthenticationError]] = {
    error.code: error for error in (ApiKeyNotFound, ApiKeyRevoked, ApiKeyExpired, WrongApiKeyType)
}


def read_api_key(reply: Reply, *, key_id: str) -> HexclaveApiKey | AuthenticationError:
    """A checked API key, or the refusal (contract 4.4).

    Raises:
        UnusableReply: the answer is neither.
    """
    refusal = _KEY_REFUSALS.get(reply.known_error or "")
    if refusal is not None:
        return refusal()
    body = object_of(reply)
    try:
        key = HexclaveApiKey.from_api(body)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UnusableReply("no API key object") from None
    if key.id != key_id:
        raise UnusableReply("another key")
    return key


def failure_of(reply: Reply) -> str | None:
    """The status of an answer, where Hexclave did not answer what it was asked: for an observer, not for a decision.

    A known error is a "no" and an answer (contract 3.3), unless it is about the secret server key or the rate limit.
    """
    status = reply.real_status
    is_no = status != 429 and reply.known_error is not None and reply.known_error not in KEY_REFUSED
    return None if status < 400 or is_no else str(status)


def retry_after(reply: Reply, now: float) -> float:
    """Seconds to wait after an answer, from its `Retry-After`: a number or a date (RFC 9110 section 10.2.3)."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text) if len(text) <= 9 else MAX_RETRY_AFTER
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            seconds = 1.0
    return min(max(seconds, 1.0), MAX_RETRY_AFTER)


def object_of(reply: Reply) -> dict[str, Any]:
    """The JSON object of a successful answer.

    Raises:
        ServerKeyRefused: Hexclave refused the server key.
        UnusableReply: it is no such answer.
    """
    if reply.real_status != 200:
        if reply.known_error in KEY_REFUSED:
            raise ServerKeyRefused
        raise UnusableReply(f"status {reply.real_status}", reasons.API_STATUS)
    try:
        return reply.json()
    except ValueError:
        raise UnusableReply("no JSON object") from None


def rows_of(reply: Reply) -> list[dict[str, Any]]:
    """The rows of a list; raises as `object_of` does."""
    rows = object_of(reply).get("items")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnusableReply("no list")
    return rows

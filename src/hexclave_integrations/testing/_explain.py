"""Why a request to the sandbox was refused, in words for whoever develops against it.

A reason never holds a token or a key. The answer itself stays what Hexclave would say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import jwt

from ._gate import header_reader
from ._outage import OutageKind
from ._project import Project
from ._signing import issuer
from ._wire import Reply

__all__ = ["explain"]

_LIMIT: Final = 400

_OUTAGES: Final[Mapping[OutageKind, str]] = {
    "refused": "An outage is on: the connection was dropped without an answer.",
    "error": "An outage is on: everything it covers is answered with 500.",
    "garbage": "An outage is on: the answer is a 200 with HTML instead of JSON.",
    "rate_limit": "An outage is on: the answer is 429, as for a project that asks too often.",
}

_REASONS: Final[Mapping[str, str]] = {
    "ACCESS_TOKEN_EXPIRED": "The access token is over. A frontend's SDK renews it by itself; a copied one has to be "
    "copied anew.",
    "ACCESS_TYPE_REQUIRED": "The header x-stack-access-type is missing: this is no request of an SDK or of the kit.",
    "ACCESS_TYPE_WITHOUT_PROJECT_ID": "The header x-stack-project-id is missing.",
    "ADMIN_AUTHENTICATION_REQUIRED": "Admin access was asked for, and no admin key came along.",
    "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED": "The user is anonymous, and the request does not say that it allows "
    "anonymous users (x-stack-allow-anonymous-user).",
    "API_KEY_EXPIRED": "The API key is over.",
    "API_KEY_NOT_FOUND": "This sandbox has no such API key.",
    "API_KEY_REVOKED": "The API key was revoked.",
    "BODY_PARSING_ERROR": "The body is no JSON.",
    "BRANCH_DOES_NOT_EXIST": "The sandbox has one branch, main, and another was asked for.",
    "CANNOT_GET_OWN_USER_WITHOUT_USER": "The request is about 'me', and no existing user's access token came along.",
    "CURRENT_PROJECT_NOT_FOUND": "The project id in the request is not this sandbox's: was it set from "
    "another run? --project-id or --state keep it.",
    "INSUFFICIENT_ACCESS_TYPE": "This endpoint is not open to this kind of access: a browser may not ask for it, a "
    "server with its secret key may.",
    "INVALID_PROJECT_FOR_ACCESS_TOKEN": "The access token is another project's than the project id in the request.",
    "INVALID_PUBLISHABLE_CLIENT_KEY": "The publishable client key is not this sandbox's: was it set from another run?",
    "INVALID_SECRET_SERVER_KEY": "The secret server key is not this sandbox's: was HEXCLAVE_SECRET_SERVER_KEY set from "
    "another run?",
    "INVALID_SUPER_SECRET_ADMIN_KEY": "The admin key is not this sandbox's.",
    "PERMISSION_NOT_FOUND": "No such permission is defined, or this user does not hold it directly.",
    "PROJECT_KEY_WITHOUT_ACCESS_TYPE": "A project key came along, and the header x-stack-access-type did not.",
    "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED": "The session is over: the user signed out, or was deleted.",
    "RESTRICTED_USER_NOT_ALLOWED": "The user is restricted, and the request does not say that it allows restricted "
    "users (x-stack-allow-restricted-user).",
    "SERVER_AUTHENTICATION_REQUIRED": "Server access was asked for, and no secret server key came along.",
    "TEAM_MEMBERSHIP_NOT_FOUND": "The user is no member of this team, or the team does not exist.",
    "TEAM_NOT_FOUND": "This sandbox has no such team.",
    "TEAM_PERMISSION_NOT_FOUND": "The user does not hold this permission in the team directly.",
    "TEAM_PERMISSION_REQUIRED": "The user lacks a permission in this team that the request needs.",
    "USER_ID_DOES_NOT_EXIST": "This sandbox has no such user.",
    "USER_NOT_FOUND": "This sandbox has no such user.",
}


def explain(
    project: Project, headers: Mapping[str, str], reply: Reply | None, status: int | None, outage: OutageKind | None
) -> tuple[str | None, str | None]:
    """The code and the reason of a refusal; nothing for an answer that is none.

    Args:
        headers: of the request.
        status: of the answer, before an SDK's wish for 200 was granted.
        outage: the kind of the one that made the answer.
    """
    if outage is not None:
        return None, _OUTAGES[outage]
    if reply is None or status is None or status < 400:
        return None, None
    code = reply.headers.get("x-stack-known-error")
    if code == "UNPARSABLE_ACCESS_TOKEN":
        return code, _about_token(project, header_reader(headers)("access-token") or "")
    if code is not None and code in _REASONS:
        return code, _REASONS[code]
    if code is None and status == 405:
        return code, "The endpoint does not know this method."
    if code is None and reply.body.startswith(b"404 "):
        return code, "The sandbox has no such endpoint."
    return code, _own_words(reply)[:_LIMIT]


def _own_words(reply: Reply) -> str:
    """What the answer says for itself."""
    text = reply.body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip()
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, str) else "The answer says no more."


def _about_token(project: Project, token: str) -> str:
    """Which check a token failed. It is not trusted with anything: its claims choose between fixed sentences."""
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        return "The access token is no JWT: it was cut off, or is something else."
    kinds = {key: kind for kind, key, _ in project.keys.published()}
    if key_id not in kinds:
        return "The access token is signed with a key that is not published: keys were rotated, or another Hexclave's."
    kind = kinds[str(key_id)]
    project_id = str(claims.get("aud")).partition(":")[0]
    if claims.get("iss") not in {issuer(base, project_id, kind) for base in project.issuer_bases}:
        return "The access token's issuer is not this sandbox at this address: it was minted at another port."
    return "The access token's signature, audience or times are not genuine."

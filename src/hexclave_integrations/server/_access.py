"""Permissions, API keys and sessions: who may come in (contract 4.3, 4.4 and 4.8)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from .._policy.effects import Flow
from .._policy.events import tags_of_event
from .._policy.questions import api_key_tag
from .._policy.state import Core
from .._wire.messages import Reply
from ..records import ApiKeyData, SessionData, SessionTokens
from ._arguments import Id, check_text, millis, owner, permission_in_path, seconds_in_millis, uuid
from ._calls import ask
from ._replies import done, record, records

__all__ = [
    "create_api_key",
    "create_session",
    "grant",
    "list_api_keys",
    "list_sessions",
    "revoke",
    "revoke_api_key",
    "revoke_session",
]

_LONGEST_SESSION: Final = 367 * 86_400


def grant(core: Core, user_id: Id, permission: str, team_id: Id | None = None) -> Flow[None]:
    """Grant a user a permission in a team, or in the project; what they hold already they go on holding.

    Raises:
        NotFound: there is no such user or permission, or they are no member of the team.
        HexclaveApiError: it is a permission of the other scope.
        Unavailable: it is not known whether it was granted, or the fleet could not be told.
    """
    path, tags = _grant(user_id, permission, team_id)
    return ask(core, "a grant", "POST", path, done, forgets=tags)


def revoke(core: Core, user_id: Id, permission: str, team_id: Id | None = None) -> Flow[None]:
    """Take a permission from a user that was granted to them; what is remembered is forgotten at once.

    Raises:
        NotFound: it was not granted to them; one that another permission contains ends with that one.
        Unavailable: it is not known whether it was revoked, or the fleet could not be told.
    """
    path, tags = _grant(user_id, permission, team_id)
    return ask(core, "a revocation", "DELETE", path, done, forgets=tags)


def _grant(user_id: Id, permission: str, team_id: Id | None) -> tuple[str, list[str]]:
    user, name = uuid("user_id", user_id), permission_in_path(permission)
    if team_id is None:
        return f"/project-permissions/{user}/{name}", tags_of_event("project_permission.deleted", {"user_id": user})
    team = uuid("team_id", team_id)
    tags = tags_of_event("team_permission.deleted", {"team_id": team, "user_id": user})
    return f"/team-permissions/{team}/{user}/{name}", tags


def create_api_key(
    core: Core,
    description: str,
    *,
    user_id: Id | None = None,
    team_id: Id | None = None,
    expires_at: datetime | None = None,
    is_public: bool = False,
) -> Flow[ApiKeyData]:
    """Make an API key of a user or a team; its `value` is there this one time, and secret.

    Args:
        description: what the owner will know it by.
        user_id, team_id: the owner: one of the two.
        expires_at: its end, with a time zone; never when None.
        is_public: whether it is of the kind that may be shown.

    Raises:
        HexclaveApiError: the project does not have such keys.
        Unavailable: it is not known whether the key was made; also where there is no such owner.
    """
    kind, name = owner(user_id, team_id)
    body: dict[str, Any] = {
        f"{kind}_id": name,
        "description": check_text("description", description),
        "expires_at_millis": millis("expires_at", expires_at),
        "is_public": is_public is True,
    }

    def read(reply: Reply) -> ApiKeyData:
        key = record(ApiKeyData, **{f"{kind}_id": name, "type": kind})(reply)
        if not isinstance(key.value, str):
            raise ValueError("no key")
        return key

    return ask(core, "a new API key", "POST", f"/{kind}-api-keys", read, body=body)


def list_api_keys(core: Core, *, user_id: Id | None = None, team_id: Id | None = None) -> Flow[list[ApiKeyData]]:
    """The API keys of a user or a team, newest first; those that are over or revoked included.

    Args:
        user_id, team_id: the owner: one of the two.

    Raises:
        Unavailable: it cannot be told now.
    """
    kind, name = owner(user_id, team_id)
    read = records(ApiKeyData, **{f"{kind}_id": name})
    return ask(core, "API keys", "GET", f"/{kind}-api-keys", read, query={f"{kind}_id": name})


def revoke_api_key(core: Core, id: Id, *, user_id: Id | None = None, team_id: Id | None = None) -> Flow[ApiKeyData]:
    """Revoke an API key for good; that it was good is forgotten at once.

    Args:
        id: the key's id, not the key.
        user_id, team_id: the owner: one of the two.

    Raises:
        NotFound: the owner has no such key.
        Unavailable: it is not known whether the key was revoked, or the fleet could not be told.
    """
    key_id, (kind, name) = uuid("id", id), owner(user_id, team_id)

    def read(reply: Reply) -> ApiKeyData:
        key = record(ApiKeyData, **{"id": key_id, f"{kind}_id": name})(reply)
        if key.manually_revoked_at_millis is None:
            raise ValueError("the key goes on")
        return key

    return ask(
        core,
        "the end of an API key",
        "PATCH",
        f"/{kind}-api-keys/{key_id}",
        read,
        query={f"{kind}_id": name},
        body={"revoked": True},
        forgets=[api_key_tag(key_id)],
    )


def create_session(
    core: Core, user_id: Id, *, expires_in: float | timedelta | None = None, is_impersonation: bool = False
) -> Flow[SessionTokens]:
    """Sign a user in: the tokens let whoever holds them act as the user.

    Args:
        expires_in: how long the session lasts, seconds or a `timedelta`, 367 days at most; a year when None.
        is_impersonation: whether somebody else will act as the user; such sessions are not listed.

    Raises:
        NotFound: there is no such user.
        Unavailable: it is not known whether the session was made.
    """
    body: dict[str, Any] = {"user_id": uuid("user_id", user_id), "is_impersonation": is_impersonation is True}
    if expires_in is not None:
        body["expires_in_millis"] = seconds_in_millis("expires_in", expires_in, _LONGEST_SESSION)
    return ask(core, "a new session", "POST", "/auth/sessions", record(SessionTokens), body=body)


def list_sessions(core: Core, user_id: Id) -> Flow[list[SessionData]]:
    """The sessions of a user, without impersonations (contract 4.8); an unknown user has none.

    Raises:
        Unavailable: it cannot be told now.
    """
    name = uuid("user_id", user_id)
    read = records(SessionData, user_id=name)
    return ask(core, "sessions", "GET", "/auth/sessions", read, query={"user_id": name})


def revoke_session(core: Core, session_id: Id, user_id: Id) -> Flow[None]:
    """End a session of a user: its access token lives on for minutes, and `require_user.live()` refuses it.

    Raises:
        NotFound: the user has no such session.
        Unavailable: it is not known whether it was ended.
    """
    path, query = f"/auth/sessions/{uuid('session_id', session_id)}", {"user_id": uuid("user_id", user_id)}
    return ask(core, "the end of a session", "DELETE", path, done, query=query)

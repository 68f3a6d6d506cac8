"""`/auth/sessions` and `/projects/current` of the sandbox (contract 3.5, 4.8)."""

from __future__ import annotations

from ._records import Session
from ._routing import BOOLEAN, NUMBER, USER, AccessType, Call, Field, Route, required
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES"]

_EVERYBODY: tuple[AccessType, ...] = ("client", "server", "admin")
_YEAR_MILLIS = 365 * 86_400_000


def _list(call: Call) -> Reply:
    """A user's sessions. Impersonations show to an admin only."""
    _check_owner(call)
    items = []
    for session in call.project.live_sessions(call.query["user_id"]):
        if session.is_impersonation and call.caller.access != "admin":
            continue
        current = {"is_current_session": session.id == call.caller.session_id} if call.caller.is_client else {}
        items.append(session.shape() | current)
    return json_reply({"items": items, "is_paginated": False})


def _create(call: Call) -> Reply:
    user = call.project.users.get(call.body["user_id"])
    if user is None:
        raise known_error("USER_ID_DOES_NOT_EXIST", user_id=call.body["user_id"])
    session = call.project.start_session(
        user.id,
        lifetime_millis=int(call.body.get("expires_in_millis", _YEAR_MILLIS)),
        is_impersonation=call.body.get("is_impersonation", False),
    )
    token = call.project.mint(user, session.id)
    return json_reply({"refresh_token": session.refresh_token, "access_token": token})


def _delete(call: Call) -> Reply:
    _check_owner(call)
    session = call.project.sessions.get(call.params["session_id"])
    if session is None or session.user_id != call.query["user_id"]:
        raise Refusal(text_reply("Session not found.", 404))
    if session.id == call.caller.session_id:
        raise known_error("CANNOT_DELETE_CURRENT_SESSION")
    del call.project.sessions[session.id]
    return json_reply({"success": True})


def _delete_current(call: Call) -> Reply:
    """Sign out. The access token stays good until it expires; signing out twice fails (contract 11)."""
    if call.caller.session_id is None:
        raise known_error("REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
    if call.project.sessions.pop(call.caller.session_id, None) is None:
        raise Refusal(text_reply("Internal Server Error.", 500))
    return json_reply({"success": True})


def _refresh(call: Call) -> Reply:
    """A new access token; the refresh token stays the same."""
    refresh_token = call.header("refresh-token")
    if refresh_token is None:
        text = "Request validation failed on POST /api/v1/auth/sessions/current/refresh:"
        raise known_error("SCHEMA_ERROR", message=f"{text}\n  - headers.x-stack-refresh-token must be defined")
    session = _find_by_refresh_token(call, refresh_token)
    session.last_used_at = call.project.now_millis()
    return json_reply({"access_token": call.project.mint(call.project.users[session.user_id], session.id)})


def _find_by_refresh_token(call: Call, refresh_token: str) -> Session:
    for session in call.project.sessions.values():
        if session.refresh_token == refresh_token and session.expires_at > call.project.now_millis():
            return session
    raise known_error("REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")


def _check_owner(call: Call) -> None:
    if call.caller.is_client and call.query["user_id"] != call.caller.require_user().id:
        raise Refusal(text_reply("Client can only manage their own sessions.", 403))


def _read_project(call: Call) -> Reply:
    config = {
        "sign_up_enabled": True,
        "credential_enabled": True,
        "magic_link_enabled": True,
        "passkey_enabled": False,
        "client_team_creation_enabled": True,
        "client_user_deletion_enabled": True,
        "allow_user_api_keys": True,
        "allow_team_api_keys": True,
        "enabled_oauth_providers": [],
        "domains": [],
    }
    return json_reply({"id": call.project.id, "display_name": "Sandbox", "config": config})


_CURRENT = "/auth/sessions/current"
_OWNER_QUERY = {"user_id": required(USER)}
_CREATE_FIELDS = {
    "user_id": required(USER),
    "expires_in_millis": Field(NUMBER),
    "is_impersonation": Field(BOOLEAN),
}
ROUTES = (
    Route(method="POST", pattern=f"{_CURRENT}/refresh", handler=_refresh, access=_EVERYBODY),
    Route(method="DELETE", pattern=_CURRENT, handler=_delete_current, access=_EVERYBODY),
    Route(method="GET", pattern="/auth/sessions", handler=_list, access=_EVERYBODY, query=_OWNER_QUERY),
    Route(method="POST", pattern="/auth/sessions", handler=_create, body=_CREATE_FIELDS),
    Route(
        method="DELETE",
        pattern="/auth/sessions/{session_id}",
        handler=_delete,
        access=_EVERYBODY,
        query=_OWNER_QUERY,
    ),
    Route(method="GET", pattern="/projects/current", handler=_read_project, access=_EVERYBODY),
)

"""`/auth/sessions` of the sandbox (contract 3.5, 4.8)."""

from __future__ import annotations

from ._routing import BOOLEAN, EVERYBODY, NUMBER, USER, Call, Field, Route, required
from ._wire import Refusal, Reply, access_token_expired, json_reply, known_error, text_reply

__all__ = ["ROUTES"]

_YEAR_MILLIS = 365 * 86_400_000


def _list(call: Call) -> Reply:
    """A user's sessions, newest first. Impersonations show to an admin only."""
    _check_owner(call, "list")
    items = []
    for session in reversed(call.project.live_sessions(call.query["user_id"])):
        if session.is_impersonation and call.caller.access != "admin":
            continue
        items.append(session.shape() | {"is_current_session": session.id == call.caller.session_id})
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
    return json_reply({"refresh_token": session.refresh_token, "access_token": token, "user_id": user.id})


def _delete(call: Call) -> Reply:
    _check_owner(call, "delete")
    session = call.project.sessions.get(call.params["session_id"])
    if session is None or session.user_id != call.query["user_id"]:
        raise Refusal(text_reply("Session not found.", 404))
    if session.id == call.caller.session_id:
        raise known_error("CANNOT_DELETE_CURRENT_SESSION")
    del call.project.sessions[session.id]
    return json_reply({"success": True})


def _delete_current(call: Call) -> Reply:
    """Sign out. The access token stays good until it expires; signing out twice fails (contract 11).

    Without an access token the real server says that it has expired, just now.
    """
    if call.caller.session_id is None:
        raise access_token_expired(call.project.now_millis())
    if call.project.sessions.pop(call.caller.session_id, None) is None:
        raise Refusal(text_reply("Internal Server Error.", 500))
    return json_reply({"success": True})


def _refresh(call: Call) -> Reply:
    """A new access token; the refresh token stays the same."""
    refresh_token = call.header("refresh-token")
    if refresh_token is None:
        text = "Request validation failed on POST /api/v1/auth/sessions/current/refresh:"
        raise known_error("SCHEMA_ERROR", message=f"{text}\n  - headers.x-stack-refresh-token must be defined")
    session = call.project.find_session(refresh_token)
    if session is None:
        raise known_error("REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")
    session.last_used_at = call.project.now_millis()
    return json_reply({"access_token": call.project.mint(call.project.users[session.user_id], session.id)})


def _check_owner(call: Call, verb: str) -> None:
    if call.caller.is_client and call.query["user_id"] != call.caller.require_user().id:
        raise Refusal(text_reply(f"Client can only {verb} sessions for their own user.", 403))


_CURRENT = "/auth/sessions/current"
_OWNER_QUERY = {"user_id": required(USER)}
_CREATE_FIELDS = {
    "user_id": required(USER),
    "expires_in_millis": Field(NUMBER),
    "is_impersonation": Field(BOOLEAN),
}
ROUTES = (
    Route(method="POST", pattern=f"{_CURRENT}/refresh", handler=_refresh, access=EVERYBODY),
    Route(method="DELETE", pattern=_CURRENT, handler=_delete_current, access=EVERYBODY),
    Route(method="GET", pattern="/auth/sessions", handler=_list, access=EVERYBODY, query=_OWNER_QUERY),
    Route(method="POST", pattern="/auth/sessions", handler=_create, body=_CREATE_FIELDS),
    Route(
        method="DELETE",
        pattern="/auth/sessions/{session_id}",
        handler=_delete,
        access=EVERYBODY,
        query=_OWNER_QUERY,
    ),
)

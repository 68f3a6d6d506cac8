"""`/users` of the sandbox (contract 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._project import Project
from ._records import User
from ._routing import ANYTHING, BOOLEAN, BOOLEAN_TEXT, STRING, UUID, AccessType, Call, Field, Route, nullable, one_of
from ._wire import Reply, json_reply, known_error

__all__ = ["ROUTES"]

_EVERYBODY: tuple[AccessType, ...] = ("client", "server", "admin")

_CLIENT_FIELDS = {
    "display_name": Field(nullable(STRING)),
    "profile_image_url": Field(nullable(STRING)),
    "client_metadata": Field(ANYTHING),
    "selected_team_id": Field(nullable(UUID)),
    "primary_email": Field(nullable(STRING)),
}
_SERVER_FIELDS = _CLIENT_FIELDS | {
    "client_read_only_metadata": Field(ANYTHING),
    "server_metadata": Field(ANYTHING),
    "primary_email_verified": Field(BOOLEAN),
    "primary_email_auth_enabled": Field(BOOLEAN),
    "is_anonymous": Field(one_of(False)),
    "restricted_by_admin": Field(BOOLEAN),
    "restricted_by_admin_reason": Field(nullable(STRING)),
    "restricted_by_admin_private_details": Field(nullable(STRING)),
    "country_code": Field(nullable(STRING)),
}
_LIST_QUERY = {
    "team_id": Field(UUID),
    "limit": Field(lambda value: None if value.isdecimal() and int(value) > 0 else "must be a positive integer"),
    "cursor": Field(UUID),
    "order_by": Field(one_of("signed_up_at")),
    "desc": Field(BOOLEAN_TEXT),
    "query": Field(STRING),
    "include_restricted": Field(BOOLEAN_TEXT),
    "include_anonymous": Field(BOOLEAN_TEXT),
    "only_anonymous": Field(BOOLEAN_TEXT),
}


def _read_me(call: Call) -> Reply:
    return _show(call, call.caller.require_user())


def _update_me(call: Call) -> Reply:
    user = call.caller.require_user()
    unknown = [name for name in call.body if call.caller.is_client and name not in _CLIENT_FIELDS]
    if unknown:
        names = ", ".join(unknown)
        raise known_error(
            "SCHEMA_ERROR",
            message="Request validation failed on PATCH /api/v1/users/me:"
            f"\n  - body contains unknown properties: {names}",
        )
    return _update(call, user)


def _delete_me(call: Call) -> Reply:
    call.project.delete_user(call.caller.require_user().id)
    return json_reply({"success": True})


def _read(call: Call) -> Reply:
    return _show(call, _find(call))


def _update_one(call: Call) -> Reply:
    return _update(call, _find(call))


def _delete(call: Call) -> Reply:
    call.project.delete_user(_find(call).id)
    return json_reply({"success": True})


def _list(call: Call) -> Reply:
    """A page in order of sign-up; restricted and anonymous users only if asked for (contract 9.16)."""
    query = call.query
    users = [user for user in call.project.users.values() if _is_listed(call.project, user, query)]
    users.sort(key=lambda user: (user.signed_up_at_millis, user.id), reverse=query.get("desc") == "true")
    if "cursor" in query:
        start = next((index for index, user in enumerate(users) if user.id == query["cursor"]), len(users))
        users = users[start:]
    limit = int(query.get("limit", len(users)))
    following = users[limit].id if len(users) > limit else None
    items = [user.server_shape(call.project.selected_team(user)) for user in users[:limit]]
    return json_reply({"items": items, "is_paginated": True, "pagination": {"next_cursor": following}})


def _is_listed(project: Project, user: User, query: Mapping[str, str]) -> bool:
    with_anonymous = query.get("include_anonymous") == "true"
    with_restricted = with_anonymous or query.get("include_restricted") == "true"
    if not {"regular": True, "restricted": with_restricted, "anonymous": with_anonymous}[user.kind]:
        return False
    if query.get("only_anonymous") == "true" and user.kind != "anonymous":
        return False
    if "team_id" in query and (query["team_id"], user.id) not in project.members:
        return False
    words = query.get("query", "").lower()
    return not words or any(words in (text or "").lower() for text in (user.id, user.display_name, user.primary_email))


def _find(call: Call) -> User:
    user = call.project.users.get(call.params["user_id"])
    if user is None:
        raise known_error("USER_NOT_FOUND")
    return user


def _show(call: Call, user: User) -> Reply:
    team = call.project.selected_team(user)
    return json_reply(user.client_shape(team) if call.caller.is_client else user.server_shape(team))


def _update(call: Call, user: User) -> Reply:
    changes: dict[str, Any] = dict(call.body)
    team_id = changes.get("selected_team_id")
    if team_id is not None and (team_id, user.id) not in call.project.members:
        raise known_error("TEAM_MEMBERSHIP_NOT_FOUND", team_id=team_id, user_id=user.id)
    is_restricted = changes.get("restricted_by_admin", user.restricted_by_admin)
    for name in ("restricted_by_admin_reason", "restricted_by_admin_private_details"):
        if not is_restricted and changes.get(name) is not None:
            raise known_error("SCHEMA_ERROR", message=f"{name} must be null unless restricted_by_admin is true")
        if not is_restricted:
            changes[name] = None
    for name, value in changes.items():
        setattr(user, name, value)
    call.project.user_changed(user)
    return _show(call, user)


ROUTES = (
    Route(method="GET", pattern="/users/me", handler=_read_me, access=_EVERYBODY),
    Route(method="PATCH", pattern="/users/me", handler=_update_me, access=_EVERYBODY, body=_SERVER_FIELDS),
    Route(method="DELETE", pattern="/users/me", handler=_delete_me, access=_EVERYBODY),
    Route(method="GET", pattern="/users/{user_id}", handler=_read),
    Route(method="PATCH", pattern="/users/{user_id}", handler=_update_one, body=_SERVER_FIELDS),
    Route(method="DELETE", pattern="/users/{user_id}", handler=_delete),
    Route(method="GET", pattern="/users", handler=_list, query=_LIST_QUERY),
)

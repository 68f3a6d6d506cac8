"""`/teams` and `/team-memberships` of the sandbox (contract 4.2)."""

from __future__ import annotations

import uuid
from typing import Any

from ._project import Project
from ._records import Team
from ._routing import (
    ANYTHING,
    BOOLEAN_TEXT,
    EVERYBODY,
    PAGE_SIZE,
    STRING,
    USER,
    UUID,
    Call,
    Field,
    Route,
    nullable,
    one_of,
    required,
)
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES", "require_member", "require_permission"]

_CLIENT_FIELDS = {"profile_image_url": Field(nullable(STRING)), "client_metadata": Field(ANYTHING)}
_SERVER_FIELDS = _CLIENT_FIELDS | {
    "client_read_only_metadata": Field(ANYTHING),
    "server_metadata": Field(ANYTHING),
}
_TO_CREATE = {"display_name": required(STRING), "creator_user_id": Field(USER)}
_TO_UPDATE = {"display_name": Field(STRING)}
_LIST_QUERY = {
    "user_id": Field(USER),
    "order_by": Field(one_of("created_at")),
    "desc": Field(BOOLEAN_TEXT),
    "limit": Field(PAGE_SIZE),
    "cursor": Field(UUID),
    "query": Field(STRING),
}


def require_member(project: Project, team_id: str, user_id: str) -> None:
    """Refuse with `TEAM_MEMBERSHIP_NOT_FOUND`, for an unknown team as well."""
    if (team_id, user_id) not in project.members:
        raise known_error("TEAM_MEMBERSHIP_NOT_FOUND", team_id=team_id, user_id=user_id)


def require_permission(project: Project, team_id: str, user_id: str, permission_id: str) -> None:
    """Refuse with `TEAM_PERMISSION_REQUIRED` unless the user holds the permission, nested or not."""
    if (team_id, user_id, permission_id) not in project.team_permissions(recursive=True):
        raise known_error("TEAM_PERMISSION_REQUIRED", team_id=team_id, user_id=user_id, permission_id=permission_id)


def _list(call: Call) -> Reply:
    user_id = call.query.get("user_id")
    if call.caller.is_client and user_id != call.caller.require_user().id:
        text = (
            'Client can only list teams for their own user. user_id must be either "me" or the ID of the current user'
        )
        raise Refusal(text_reply(text, 403))
    teams = [
        team for team in call.project.teams.values() if user_id is None or (team.id, user_id) in call.project.members
    ]
    words = call.query.get("query", "").lower()
    teams = [team for team in teams if words in ("", team.id) or words in team.display_name.lower()]
    if call.query.get("desc") == "true":
        teams.reverse()
    if "limit" not in call.query:
        return json_reply({"items": [_shape(call, team) for team in teams], "is_paginated": False})
    if "cursor" in call.query:
        ids = [team.id for team in teams]
        teams = teams[ids.index(call.query["cursor"]) :] if call.query["cursor"] in ids else []
    limit = int(float(call.query["limit"]))
    following = teams[limit].id if len(teams) > limit else None
    items = [_shape(call, team) for team in teams[:limit]]
    return json_reply({"items": items, "is_paginated": True, "pagination": {"next_cursor": following}})


def _read(call: Call) -> Reply:
    return json_reply(_shape(call, _find(call)))


def _create(call: Call) -> Reply:
    """Make a team. A client's own user is always the creator."""
    values: dict[str, Any] = dict(call.body)
    creator_id = values.pop("creator_user_id", None)
    if call.caller.is_client:
        creator_id = call.caller.require_user().id
    elif creator_id is not None and creator_id not in call.project.users:
        raise known_error("USER_NOT_FOUND")
    team = Team(id=str(uuid.uuid4()), created_at_millis=call.project.now_millis(), **values)
    call.project.add_team(team, creator_id)
    return json_reply(_shape(call, team), 201)


def _update(call: Call) -> Reply:
    team = _find(call, permission_id="$update_team")
    for name, value in call.body.items():
        setattr(team, name, value)
    call.project.team_changed(team)
    return json_reply(_shape(call, team))


def _delete(call: Call) -> Reply:
    call.project.delete_team(_find(call, permission_id="$delete_team").id)
    return json_reply({"success": True})


def _find(call: Call, permission_id: str | None = None) -> Team:
    team_id = call.params["team_id"]
    if call.caller.is_client:
        user_id = call.caller.require_user().id
        require_member(call.project, team_id, user_id)
        if permission_id:
            require_permission(call.project, team_id, user_id, permission_id)
    team = call.project.teams.get(team_id)
    if team is None:
        raise known_error("TEAM_NOT_FOUND", team_id=team_id)
    return team


def _shape(call: Call, team: Team) -> dict[str, Any]:
    return team.client_shape() if call.caller.is_client else team.server_shape()


def _add_member(call: Call) -> Reply:
    team_id, user_id = call.params["team_id"], call.params["user_id"]
    if team_id not in call.project.teams:
        raise known_error("TEAM_NOT_FOUND", team_id=team_id)
    if user_id not in call.project.users:
        raise known_error("USER_NOT_FOUND")
    if (team_id, user_id) in call.project.members:
        raise known_error("TEAM_MEMBERSHIP_ALREADY_EXISTS")
    call.project.add_member(team_id, user_id)
    return json_reply({"team_id": team_id, "user_id": user_id}, 201)


def _remove_member(call: Call) -> Reply:
    team_id, user_id = call.params["team_id"], call.params["user_id"]
    if call.caller.is_client and user_id != call.caller.require_user().id:
        require_permission(call.project, team_id, call.caller.require_user().id, "$remove_members")
    require_member(call.project, team_id, user_id)
    call.project.remove_member(team_id, user_id)
    return json_reply({"success": True})


_MEMBERSHIP = "/team-memberships/{team_id}/{user_id}"
ROUTES = (
    Route(method="GET", pattern="/teams", handler=_list, access=EVERYBODY, query=_LIST_QUERY),
    Route(
        method="POST",
        pattern="/teams",
        handler=_create,
        access=EVERYBODY,
        body=_TO_CREATE | _SERVER_FIELDS,
        client_body=_TO_CREATE | _CLIENT_FIELDS,
    ),
    Route(method="GET", pattern="/teams/{team_id}", handler=_read, access=EVERYBODY),
    Route(
        method="PATCH",
        pattern="/teams/{team_id}",
        handler=_update,
        access=EVERYBODY,
        body=_TO_UPDATE | _SERVER_FIELDS,
        client_body=_TO_UPDATE | _CLIENT_FIELDS,
    ),
    Route(method="DELETE", pattern="/teams/{team_id}", handler=_delete, access=EVERYBODY),
    Route(method="POST", pattern=_MEMBERSHIP, handler=_add_member, body={}),
    Route(method="DELETE", pattern=_MEMBERSHIP, handler=_remove_member, access=EVERYBODY),
)

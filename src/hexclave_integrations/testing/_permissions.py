"""`/team-permissions` and `/project-permissions` of the sandbox (contract 4.3)."""

from __future__ import annotations

from ._records import Scope
from ._routing import BOOLEAN_TEXT, EVERYBODY, PERMISSION, USER, UUID, Call, Field, Route
from ._teams import require_member
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES"]


def _list_team(call: Call) -> Reply:
    user_id = _listed_user(call)
    held = sorted(
        call.project.team_permissions(recursive=call.query.get("recursive") == "true"),
        key=lambda grant: tuple(part.upper() for part in grant),
    )
    items = [
        {"id": permission_id, "team_id": team_id, "user_id": member_id}
        for team_id, member_id, permission_id in held
        if call.query.get("team_id", team_id) == team_id
        and user_id in (None, member_id)
        and call.query.get("permission_id", permission_id) == permission_id
    ]
    return json_reply({"items": items, "is_paginated": False})


def _grant_team(call: Call) -> Reply:
    team_id, user_id, permission_id = _team_target(call)
    _check_definition(call, permission_id, "team")
    call.project.grant_team(team_id, user_id, permission_id)
    return json_reply({"id": permission_id, "user_id": user_id, "team_id": team_id}, 201)


def _revoke_team(call: Call) -> Reply:
    team_id, user_id, permission_id = grant = _team_target(call)
    if grant not in call.project.team_grants:
        raise known_error("TEAM_PERMISSION_NOT_FOUND", team_id=team_id, user_id=user_id, permission_id=permission_id)
    call.project.revoke_team(*grant)
    return json_reply({"success": True})


def _list_project(call: Call) -> Reply:
    user_id = _listed_user(call)
    held = sorted(
        call.project.project_permissions(recursive=call.query.get("recursive") == "true"),
        key=lambda grant: tuple(part.upper() for part in grant),
    )
    items = [
        {"id": permission_id, "user_id": holder_id}
        for holder_id, permission_id in held
        if user_id in (None, holder_id) and call.query.get("permission_id", permission_id) == permission_id
    ]
    return json_reply({"items": items, "is_paginated": False})


def _grant_project(call: Call) -> Reply:
    user_id, permission_id = _project_target(call)
    _check_definition(call, permission_id, "project")
    call.project.grant_project(user_id, permission_id)
    return json_reply({"id": permission_id, "user_id": user_id}, 201)


def _revoke_project(call: Call) -> Reply:
    grant = _project_target(call)
    if grant not in call.project.project_grants:
        raise known_error("PERMISSION_NOT_FOUND", permission_id=grant[1])
    call.project.revoke_project(*grant)
    return json_reply({"success": True})


def _listed_user(call: Call) -> str | None:
    user_id = call.query.get("user_id")
    if call.caller.is_client and user_id != call.caller.require_user().id:
        text = (
            "Client can only list permissions for their own user. "
            'user_id must be either "me" or the ID of the current user'
        )
        raise Refusal(text_reply(text, 403))
    return user_id


def _team_target(call: Call) -> tuple[str, str, str]:
    team_id, user_id = call.params["team_id"], call.params["user_id"]
    if user_id not in call.project.users:
        raise known_error("USER_NOT_FOUND")
    require_member(call.project, team_id, user_id)
    return team_id, user_id, call.params["permission_id"]


def _project_target(call: Call) -> tuple[str, str]:
    user_id = call.params["user_id"]
    if user_id not in call.project.users:
        raise known_error("USER_NOT_FOUND")
    return user_id, call.params["permission_id"]


def _check_definition(call: Call, permission_id: str, scope: Scope) -> None:
    definition = call.project.permissions.get(permission_id)
    if definition is None:
        raise known_error("PERMISSION_NOT_FOUND", permission_id=permission_id)
    if definition.scope != scope:
        raise known_error(
            "WRONG_PERMISSION_SCOPE",
            permission_id=permission_id,
            expected_scope=scope,
            actual_scope=definition.scope,
        )


_PROJECT_QUERY = {
    "user_id": Field(USER),
    "permission_id": Field(PERMISSION),
    "recursive": Field(BOOLEAN_TEXT),
}
_TEAM_QUERY = {"team_id": Field(UUID)} | _PROJECT_QUERY
_TEAM_GRANT = "/team-permissions/{team_id}/{user_id}/{permission_id}"
_PROJECT_GRANT = "/project-permissions/{user_id}/{permission_id}"
ROUTES = (
    Route(method="GET", pattern="/team-permissions", handler=_list_team, access=EVERYBODY, query=_TEAM_QUERY),
    Route(method="POST", pattern=_TEAM_GRANT, handler=_grant_team, body={}),
    Route(method="DELETE", pattern=_TEAM_GRANT, handler=_revoke_team),
    Route(
        method="GET",
        pattern="/project-permissions",
        handler=_list_project,
        access=EVERYBODY,
        query=_PROJECT_QUERY,
    ),
    Route(method="POST", pattern=_PROJECT_GRANT, handler=_grant_project, body={}),
    Route(method="DELETE", pattern=_PROJECT_GRANT, handler=_revoke_project),
)

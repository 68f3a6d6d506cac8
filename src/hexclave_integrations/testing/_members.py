"""`/team-member-profiles` of the sandbox: how a user is called and looks in one team (contract 4.2)."""

from __future__ import annotations

from typing import Any

from ._routing import EVERYBODY, STRING, USER, UUID, Call, Field, Route, nullable
from ._teams import require_member, require_permission
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES"]


def _list(call: Call) -> Reply:
    team_id, user_id = call.query.get("team_id"), call.query.get("user_id")
    if call.caller.is_client:
        if team_id is None:
            raise Refusal(text_reply("team_id is required for access type client", 400))
        _check_reader(call, team_id, user_id)
    members = [
        member for member in call.project.members if team_id in (None, member[0]) and user_id in (None, member[1])
    ]
    return json_reply({"items": [_profile(call, *member) for member in members], "is_paginated": False})


def _read(call: Call) -> Reply:
    team_id, user_id = call.params["team_id"], call.params["user_id"]
    if call.caller.is_client:
        _check_reader(call, team_id, user_id)
    if user_id not in call.project.users:
        raise known_error("USER_NOT_FOUND")
    require_member(call.project, team_id, user_id)
    return json_reply(_profile(call, team_id, user_id))


def _check_reader(call: Call, team_id: str, user_id: str | None) -> None:
    reader = call.caller.require_user()
    require_member(call.project, team_id, reader.id)
    if user_id != reader.id:
        require_permission(call.project, team_id, reader.id, "$read_members")


def _update(call: Call) -> Reply:
    team_id, user_id = call.params["team_id"], call.params["user_id"]
    if call.caller.is_client and user_id != call.caller.require_user().id:
        raise Refusal(text_reply("Cannot update another user's profile", 403))
    require_member(call.project, team_id, user_id)
    call.project.member_profiles.setdefault(team_id, {}).setdefault(user_id, {}).update(call.body)
    return json_reply(_profile(call, team_id, user_id))


def _profile(call: Call, team_id: str, user_id: str) -> dict[str, Any]:
    user = call.project.users[user_id]
    own = call.project.member_profiles.get(team_id, {}).get(user_id, {})
    image = own.get("profile_image_url")
    profile: dict[str, Any] = {
        "team_id": team_id,
        "user_id": user_id,
        "display_name": own.get("display_name") or user.display_name,
        "profile_image_url": user.profile_image_url if image is None else image,
    }
    if not call.caller.is_client:
        profile["user"] = call.project.server_view(user)
    return profile


_ONE = "/team-member-profiles/{team_id}/{user_id}"
_QUERY = {"team_id": Field(UUID), "user_id": Field(USER)}
_FIELDS = {"display_name": Field(nullable(STRING)), "profile_image_url": Field(nullable(STRING))}
ROUTES = (
    Route(method="GET", pattern="/team-member-profiles", handler=_list, access=EVERYBODY, query=_QUERY),
    Route(method="GET", pattern=_ONE, handler=_read, access=EVERYBODY),
    Route(method="PATCH", pattern=_ONE, handler=_update, access=EVERYBODY, body=_FIELDS),
)

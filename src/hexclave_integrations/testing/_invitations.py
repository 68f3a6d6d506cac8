"""`/team-invitations` of the sandbox: the e-mail lands in the project's mailbox (contract 4.2)."""

from __future__ import annotations

import uuid
from typing import Any

from ._channels import channels_of, normalize
from ._codes import check_callback, with_code
from ._mailbox import SandboxEmail
from ._project import Project
from ._records import Invitation, Team, User
from ._routing import EMAIL, EVERYBODY, STRING, URL, USER, UUID, Call, Field, Route, required
from ._teams import require_member, require_permission
from ._wire import Refusal, Reply, json_reply, known_error, random_text, text_reply

__all__ = ["ROUTES", "accept", "invite"]

_LIFETIME_MILLIS = 7 * 86_400_000


def invite(project: Project, team: Team, email: str, callback_url: str) -> Invitation:
    """Invite whoever reads that mailbox to a team; the link is `callback_url` with the code as its `code`."""
    invitation = Invitation(
        id=str(uuid.uuid4()),
        team_id=team.id,
        email=email,
        code=random_text(45),
        expires_at_millis=project.now_millis() + _LIFETIME_MILLIS,
    )
    project.invitations[invitation.id] = invitation
    mail = SandboxEmail(
        to=email,
        kind="team_invitation",
        subject=f"You have been invited to join {team.display_name}",
        code=invitation.code,
        link=with_code(callback_url, invitation.code),
    )
    project.emails.append(mail)
    return invitation


def accept(project: Project, invitation: Invitation, user: User) -> None:
    """Let a user into the team; the invitation is used up, for a member too."""
    if (invitation.team_id, user.id) not in project.members:
        project.add_member(invitation.team_id, user.id)
    invitation.used = True


def _send(call: Call) -> Reply:
    team_id = call.body["team_id"]
    if call.caller.is_client:
        require_permission(call.project, team_id, _require_user(call).id, "$invite_members")
    team, callback_url = _team(call.project, team_id), call.body["callback_url"]
    check_callback(call.project, callback_url)
    invitation = invite(call.project, team, call.body["email"], callback_url)
    return json_reply({"success": True, "id": invitation.id})


def _list(call: Call) -> Reply:
    """The invitations to a team, or those sent to a user's verified addresses."""
    team_id, user_id = call.query.get("team_id"), call.query.get("user_id")
    if team_id is not None and user_id is not None:
        raise Refusal(text_reply("Cannot specify both team_id and user_id", 400))
    if team_id is not None:
        _check_team(call, team_id, "$read_members", "$invite_members")
        return _items(call.project, [item for item in _open(call.project) if item.team_id == team_id])
    if user_id is None:
        raise Refusal(text_reply("Must specify either team_id or user_id", 400))
    if call.caller.is_client and call.caller.require_user().id != user_id:
        raise known_error("CANNOT_GET_OWN_USER_WITHOUT_USER")
    return _items(call.project, [item for item in _open(call.project) if _is_for(call.project, item, user_id)])


def _items(project: Project, invitations: list[Invitation]) -> Reply:
    items: list[dict[str, Any]] = [
        {
            "id": invitation.id,
            "team_id": invitation.team_id,
            "team_display_name": project.teams[invitation.team_id].display_name,
            "expires_at_millis": invitation.expires_at_millis,
            "recipient_email": invitation.email,
        }
        for invitation in invitations
    ]
    return json_reply({"items": items, "is_paginated": False})


def _delete(call: Call) -> Reply:
    team_id = call.query.get("team_id")
    if team_id is None:
        raise Refusal(text_reply("team_id is required for deleting a team invitation", 400))
    _check_team(call, team_id, "$remove_members")
    invitation = call.project.invitations.get(call.params["invitation_id"])
    if invitation is None or invitation.team_id != team_id:
        raise known_error("VERIFICATION_CODE_NOT_FOUND")
    del call.project.invitations[invitation.id]
    return json_reply({"success": True})


def _accept(call: Call) -> Reply:
    invitation = _by_code(call)
    accept(call.project, invitation, _require_able(call))
    return json_reply({})


def _details(call: Call) -> Reply:
    invitation = _by_code(call)
    _require_able(call)
    team = call.project.teams[invitation.team_id]
    return json_reply({"team_id": team.id, "team_display_name": team.display_name})


def _check_code(call: Call) -> Reply:
    _by_code(call)
    return json_reply({"is_code_valid": True})


def _accept_by_id(call: Call) -> Reply:
    """Accept without the code: only for who has proved that the address is theirs."""
    user_id = call.query["user_id"]
    if call.caller.is_client and _require_able(call).id != user_id:
        raise known_error("CANNOT_GET_OWN_USER_WITHOUT_USER")
    invitation = next((item for item in _open(call.project) if item.id == call.params["invitation_id"]), None)
    if invitation is None or not _is_for(call.project, invitation, user_id):
        raise known_error("VERIFICATION_CODE_NOT_FOUND")
    accept(call.project, invitation, call.project.users[user_id])
    return json_reply({})


def _by_code(call: Call) -> Invitation:
    code = call.body["code"].lower()
    invitation = next((item for item in call.project.invitations.values() if item.code == code), None)
    if invitation is None:
        raise known_error("VERIFICATION_CODE_NOT_FOUND")
    if invitation.expires_at_millis <= call.project.now_millis():
        raise known_error("VERIFICATION_CODE_EXPIRED")
    if invitation.used:
        raise known_error("VERIFICATION_CODE_ALREADY_USED")
    return invitation


def _open(project: Project) -> list[Invitation]:
    now = project.now_millis()
    return [item for item in project.invitations.values() if not item.used and item.expires_at_millis > now]


def _is_for(project: Project, invitation: Invitation, user_id: str) -> bool:
    user, address = project.users.get(user_id), normalize(invitation.email)
    channels = [] if user is None else channels_of(project, user)
    return any(channel.is_verified and normalize(channel.value) == address for channel in channels)


def _check_team(call: Call, team_id: str, *permission_ids: str) -> None:
    if not call.caller.is_client:
        _team(call.project, team_id)
        return
    user_id = call.caller.require_user().id
    require_member(call.project, team_id, user_id)
    for permission_id in permission_ids:
        require_permission(call.project, team_id, user_id, permission_id)


def _team(project: Project, team_id: str) -> Team:
    if team_id not in project.teams:
        raise known_error("TEAM_NOT_FOUND", team_id=team_id)
    return project.teams[team_id]


def _require_user(call: Call) -> User:
    if call.caller.user is None:
        raise known_error("USER_AUTHENTICATION_REQUIRED")
    return call.caller.user


def _require_able(call: Call) -> User:
    """The caller's user, who has to be neither anonymous nor restricted."""
    user = _require_user(call)
    if user.restricted_reason is not None:
        raise known_error("TEAM_INVITATION_RESTRICTED_USER_NOT_ALLOWED", restricted_reason=user.restricted_reason)
    return user


_CODE = {"code": required(STRING)}
_BASE = "/team-invitations"
_QUERY = {"team_id": Field(UUID), "user_id": Field(USER)}
ROUTES = (
    Route(
        method="POST",
        pattern=f"{_BASE}/send-code",
        handler=_send,
        access=EVERYBODY,
        body={"team_id": required(UUID), "email": required(EMAIL), "callback_url": required(URL)},
    ),
    Route(method="GET", pattern=_BASE, handler=_list, access=EVERYBODY, query=_QUERY),
    Route(method="POST", pattern=f"{_BASE}/accept", handler=_accept, access=EVERYBODY, body=_CODE),
    Route(method="POST", pattern=f"{_BASE}/accept/details", handler=_details, access=EVERYBODY, body=_CODE),
    Route(method="POST", pattern=f"{_BASE}/accept/check-code", handler=_check_code, access=EVERYBODY, body=_CODE),
    Route(
        method="POST",
        pattern=f"{_BASE}/{{invitation_id}}/accept",
        handler=_accept_by_id,
        access=EVERYBODY,
        query={"user_id": required(USER)},
    ),
    Route(method="DELETE", pattern=f"{_BASE}/{{invitation_id}}", handler=_delete, access=EVERYBODY, query=_QUERY),
)

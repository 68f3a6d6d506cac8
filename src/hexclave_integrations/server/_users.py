"""Users and teams (contract 4.1 and 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar, Unpack

from .._policy.effects import Flow
from .._policy.events import tags_of_event
from .._policy.state import Core
from .._wire.messages import Reply
from ..records import InvitationData, Record, TeamData, TeamMemberData, TeamMembershipData, UserData
from ._arguments import Id, check_fields, check_text, uuid
from ._calls import ask
from ._fields import NewTeam, NewUser, TeamChanges, UserChanges, names_of
from ._replies import Page, done, page_of, record, records, text_in

__all__ = [
    "Listing",
    "add_member",
    "create_team",
    "create_user",
    "delete_team",
    "delete_user",
    "get_team",
    "get_user",
    "invitations",
    "invite",
    "list_teams",
    "list_users",
    "members",
    "remove_member",
    "update_team",
    "update_user",
]

R = TypeVar("R", bound=Record)
Listing: TypeAlias = Callable[[str | None], Flow[Page[R]]]
"""Makes the flow of the page that a cursor names; of the first one for None."""

# An answer may have a megabyte, and metadata make a user large.
_PAGE_SIZE: Final = "100"
_NEW_USER, _USER_CHANGES = names_of(NewUser), names_of(UserChanges)
_NEW_TEAM, _TEAM_CHANGES = names_of(NewTeam), names_of(TeamChanges)


def get_user(core: Core, user_id: Id) -> Flow[UserData]:
    """The user with this id, of any kind.

    Raises:
        NotFound: there is none.
        Unavailable: it cannot be told now.
    """
    name = uuid("user_id", user_id)
    return ask(core, "a user", "GET", f"/users/{name}", record(UserData, id=name))


def list_users(
    core: Core,
    *,
    team_id: Id | None = None,
    query: str | None = None,
    include_restricted: bool = False,
    include_anonymous: bool = False,
) -> Listing[UserData]:
    """The users of the project, in order of sign-up; pages are fetched as they are read.

    Args:
        team_id: only members of this team.
        query: only users whose name, address or id has this in it.
        include_restricted: restricted users too (contract 9.16).
        include_anonymous: anonymous and restricted users too.

    Raises:
        Unavailable: a page cannot be had now.
    """
    asked = {"limit": _PAGE_SIZE}
    if team_id is not None:
        asked["team_id"] = uuid("team_id", team_id)
    if query is not None:
        asked["query"] = check_text("query", query)
    if include_restricted is True:
        asked["include_restricted"] = "true"
    if include_anonymous is True:
        asked["include_anonymous"] = "true"

    def page(cursor: str | None) -> Flow[Page[UserData]]:
        place = {} if cursor is None else {"cursor": cursor}
        return ask(core, "users", "GET", "/users", page_of(UserData), query=asked | place)

    return page


def create_user(core: Core, **fields: Unpack[NewUser]) -> Flow[UserData]:
    """Create a user; without an address and a password nobody can sign in as them.

    Args:
        fields: see `NewUser`.

    Raises:
        AlreadyExists: the address signs another user in.
        HexclaveApiError: Hexclave does not accept the fields.
        Unavailable: it is not known whether the user was created.
    """
    given: dict[str, Any] = dict(fields)
    check_fields("create", _NEW_USER, given)
    return ask(core, "a new user", "POST", "/users", record(UserData), body=given)


def update_user(core: Core, user_id: Id, **fields: Unpack[UserChanges]) -> Flow[UserData]:
    """Change a user; a new password ends their sessions.

    Args:
        fields: see `UserChanges`; what is not named stays as it is.

    Raises:
        NotFound: there is no such user.
        AlreadyExists: the address signs another user in.
        HexclaveApiError: Hexclave does not accept the fields.
        Unavailable: it is not known whether the user was changed.
    """
    name, given = uuid("user_id", user_id), dict[str, Any](fields)
    check_fields("update", _USER_CHANGES, given)
    if given.get("selected_team_id") is not None:
        given["selected_team_id"] = uuid("selected_team_id", given["selected_team_id"])
    forgets = tags_of_event("user.updated", {"id": name})
    return ask(
        core, "a user's change", "PATCH", f"/users/{name}", record(UserData, id=name), body=given, forgets=forgets
    )


def delete_user(core: Core, user_id: Id) -> Flow[None]:
    """Delete a user; what is remembered of them is forgotten at once. Their access tokens live on for minutes.

    Raises:
        NotFound: there is no such user.
        Unavailable: it is not known whether the user was deleted, or the fleet could not be told.
    """
    name = uuid("user_id", user_id)
    forgets = tags_of_event("user.deleted", {"id": name})
    return ask(core, "a user's deletion", "DELETE", f"/users/{name}", done, forgets=forgets)


def get_team(core: Core, team_id: Id) -> Flow[TeamData]:
    """The team with this id.

    Raises:
        NotFound: there is none.
        Unavailable: it cannot be told now.
    """
    name = uuid("team_id", team_id)
    return ask(core, "a team", "GET", f"/teams/{name}", record(TeamData, id=name))


def list_teams(core: Core, *, user_id: Id | None = None) -> Flow[list[TeamData]]:
    """The teams of the project, oldest first.

    Args:
        user_id: only the teams of this user; an unknown one has none.

    Raises:
        Unavailable: it cannot be told now.
    """
    query = {} if user_id is None else {"user_id": uuid("user_id", user_id)}
    return ask(core, "teams", "GET", "/teams", records(TeamData), query=query)


def create_team(core: Core, **fields: Unpack[NewTeam]) -> Flow[TeamData]:
    """Create a team; without a creator it has no members.

    Args:
        fields: see `NewTeam`; `display_name` has to be there.

    Raises:
        NotFound: there is no such creator.
        Unavailable: it is not known whether the team was created.
    """
    given: dict[str, Any] = dict(fields)
    check_fields("create", _NEW_TEAM, given, required=("display_name",))
    check_text("display_name", given["display_name"])
    if "creator_user_id" in given:
        given["creator_user_id"] = uuid("creator_user_id", given["creator_user_id"])
    return ask(core, "a new team", "POST", "/teams", record(TeamData), body=given)


def update_team(core: Core, team_id: Id, **fields: Unpack[TeamChanges]) -> Flow[TeamData]:
    """Change a team.

    Args:
        fields: see `TeamChanges`; what is not named stays as it is.

    Raises:
        NotFound: there is no such team.
        Unavailable: it is not known whether the team was changed.
    """
    name, given = uuid("team_id", team_id), dict[str, Any](fields)
    check_fields("update", _TEAM_CHANGES, given)
    return ask(core, "a team's change", "PATCH", f"/teams/{name}", record(TeamData, id=name), body=given)


def delete_team(core: Core, team_id: Id) -> Flow[None]:
    """Delete a team; its memberships, permissions and API keys are forgotten at once.

    Raises:
        NotFound: there is no such team.
        Unavailable: it is not known whether the team was deleted, or the fleet could not be told.
    """
    name = uuid("team_id", team_id)
    forgets = tags_of_event("team.deleted", {"id": name})
    return ask(core, "a team's deletion", "DELETE", f"/teams/{name}", done, forgets=forgets)


def members(core: Core, team_id: Id) -> Flow[list[TeamMemberData]]:
    """The members of a team, restricted and anonymous ones included; of an unknown team none.

    Raises:
        Unavailable: it cannot be told now.
    """
    name = uuid("team_id", team_id)
    read = records(TeamMemberData, team_id=name)
    return ask(core, "the members of a team", "GET", "/team-member-profiles", read, query={"team_id": name})


def add_member(core: Core, team_id: Id, user_id: Id) -> Flow[TeamMembershipData]:
    """Let a user into a team, with the permissions that members get there.

    Raises:
        NotFound: there is no such team or user.
        AlreadyExists: they are a member.
        Unavailable: it is not known whether they were added, or the fleet could not be told.
    """
    team, user = uuid("team_id", team_id), uuid("user_id", user_id)
    read = record(TeamMembershipData, team_id=team, user_id=user)
    path, forgets = f"/team-memberships/{team}/{user}", _member_tags(team, user)
    return ask(core, "a new membership", "POST", path, read, forgets=forgets)


def remove_member(core: Core, team_id: Id, user_id: Id) -> Flow[None]:
    """Take a user out of a team; their membership and permissions there are forgotten at once.

    Raises:
        NotFound: they are no member.
        Unavailable: it is not known whether they were removed, or the fleet could not be told.
    """
    team, user = uuid("team_id", team_id), uuid("user_id", user_id)
    path, forgets = f"/team-memberships/{team}/{user}", _member_tags(team, user)
    return ask(core, "the end of a membership", "DELETE", path, done, forgets=forgets)


def invite(core: Core, team_id: Id, email: str, callback_url: str) -> Flow[InvitationData]:
    """Invite whoever reads an address to a team, by an e-mail.

    Args:
        callback_url: where the link in it leads, with the code as its `code`; of one of the project's domains.

    Raises:
        NotFound: there is no such team.
        HexclaveApiError: the address or URL is not accepted.
        Unavailable: it is not known whether the invitation was sent.
    """
    name = uuid("team_id", team_id)
    body = {
        "team_id": name,
        "email": check_text("email", email),
        "callback_url": check_text("callback_url", callback_url),
    }

    def read(reply: Reply) -> InvitationData:
        return InvitationData.read({"id": text_in("id")(reply), "team_id": name, "recipient_email": email})

    return ask(core, "an invitation", "POST", "/team-invitations/send-code", read, body=body)


def invitations(core: Core, team_id: Id) -> Flow[list[InvitationData]]:
    """The invitations to a team that nobody has accepted yet.

    Raises:
        NotFound: there is no such team.
        Unavailable: it cannot be told now.
    """
    name = uuid("team_id", team_id)
    read = records(InvitationData, team_id=name)
    return ask(core, "invitations", "GET", "/team-invitations", read, query={"team_id": name})


def _member_tags(team_id: str, user_id: str) -> list[str]:
    return tags_of_event("team_membership.deleted", {"team_id": team_id, "user_id": user_id})

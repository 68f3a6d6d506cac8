"""`/users` of the sandbox (contract 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

from ._accounts import add_account
from ._profiles import CREATE_FIELDS, OWN_FIELDS, UPDATE_FIELDS, create_user, update_user
from ._project import Project
from ._records import User
from ._routing import BOOLEAN_TEXT, EVERYBODY, PAGE_SIZE, STRING, UUID, Call, Field, Route, one_of
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES"]

_LIST_QUERY = {
    "team_id": Field(UUID),
    "limit": Field(PAGE_SIZE),
    "cursor": Field(UUID),
    "order_by": Field(one_of("signed_up_at", "last_active_at")),
    "desc": Field(BOOLEAN_TEXT),
    "query": Field(STRING),
    "include_restricted": Field(BOOLEAN_TEXT),
    "include_anonymous": Field(BOOLEAN_TEXT),
    "only_anonymous": Field(BOOLEAN_TEXT),
}


def _read_me(call: Call) -> Reply:
    return _show(call, call.caller.require_user())


def _update_me(call: Call) -> Reply:
    return _update(call, call.caller.require_user())


def _delete_me(call: Call) -> Reply:
    user = call.caller.require_user()
    if call.caller.is_client and not call.project.client_user_deletion_enabled:
        raise Refusal(text_reply("Client user deletion is not enabled for this project", 400))
    call.project.delete_user(user.id)
    return json_reply({"success": True})


def _create(call: Call) -> Reply:
    fields = dict(call.body)
    accounts = fields.pop("oauth_providers", [])
    user = create_user(call.project, fields)
    for account in accounts:
        add_account(call.project, user.id, account["id"], account["account_id"], email=account.get("email"))
    call.project.add_user(user)
    return json_reply(call.project.server_view(user), 201)


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
    if query.get("only_anonymous") == "true" and query.get("include_anonymous") != "true":
        raise Refusal(text_reply("only_anonymous=true requires include_anonymous=true", 400))
    by = f"{query.get('order_by', 'signed_up_at')}_millis"
    users = [user for user in call.project.users.values() if _is_listed(call.project, user, query)]
    users.sort(key=lambda user: (getattr(user, by), user.id), reverse=query.get("desc") == "true")
    if "cursor" in query:
        start = next((index for index, user in enumerate(users) if user.id == query["cursor"]), len(users))
        users = users[start:]
    limit = int(float(query.get("limit", len(users))))
    following = users[limit].id if len(users) > limit else None
    items = [call.project.server_view(user) for user in users[:limit]]
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
    texts = ((text or "").lower() for text in (user.display_name, user.primary_email))
    return words in ("", user.id) or any(words in text for text in texts)


def _find(call: Call) -> User:
    user = call.project.users.get(call.params["user_id"])
    if user is None:
        raise known_error("USER_NOT_FOUND")
    return user


def _show(call: Call, user: User) -> Reply:
    return json_reply(call.project.client_view(user) if call.caller.is_client else call.project.server_view(user))


def _update(call: Call, user: User) -> Reply:
    update_user(call.project, user, call.body)
    call.project.user_changed(user)
    return _show(call, user)


ROUTES = (
    Route(method="GET", pattern="/users/me", handler=_read_me, access=EVERYBODY),
    Route(
        method="PATCH",
        pattern="/users/me",
        handler=_update_me,
        access=EVERYBODY,
        body=UPDATE_FIELDS,
        client_body=OWN_FIELDS,
    ),
    Route(method="DELETE", pattern="/users/me", handler=_delete_me, access=EVERYBODY),
    Route(method="POST", pattern="/users", handler=_create, body=CREATE_FIELDS),
    Route(method="GET", pattern="/users/{user_id}", handler=_read),
    Route(method="PATCH", pattern="/users/{user_id}", handler=_update_one, body=UPDATE_FIELDS),
    Route(method="DELETE", pattern="/users/{user_id}", handler=_delete),
    Route(method="GET", pattern="/users", handler=_list, query=_LIST_QUERY),
)
